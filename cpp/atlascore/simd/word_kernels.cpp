// Where words end: one bit a byte.
#include <bit>
#include <cstdint>
#include <cstring>

#include "atlascore/simd/kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "atlascore/simd/word_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace atlascore::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
void BlockBits(const char* text, std::uint64_t& spaces, std::uint64_t& special) {
    spaces = special = 0;
    for (unsigned i = 0; i < 64; ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool space = c - unsigned{'\t'} < 5 || c - 0x1Cu < 5;
        const bool odd = c >= 0x80 || c - unsigned{'0'} < 10 || c == '"' || c == '\'';
        spaces |= std::uint64_t{space} << i;
        special |= std::uint64_t{odd} << i;
    }
}
#else
void BlockBits(const char* text, std::uint64_t& spaces, std::uint64_t& special) {
    const hn::CappedTag<std::int8_t, 64> d;
    const std::size_t n = hn::Lanes(d);
    const auto constant = [d](int value) HWY_ATTR { return hn::Set(d, static_cast<std::int8_t>(value)); };
    // Of values from 0 on: those above `high` wrap below zero.
    const auto between = [constant](auto v, int low, int high) HWY_ATTR {
        return hn::Gt(hn::Add(v, constant(127 - high)), constant(126 - high + low));
    };
    const auto bits_of = [d](auto mask) HWY_ATTR {
        alignas(8) std::uint8_t bytes[8] = {};
        hn::StoreMaskBits(d, mask, bytes);
        std::uint64_t bits;
        std::memcpy(&bits, bytes, sizeof bits);
        return bits;
    };
    spaces = special = 0;
    for (std::size_t i = 0; i < 64; i += n) {
        const auto v = hn::LoadU(d, reinterpret_cast<const std::int8_t*>(text) + i);
        const auto quotes = hn::Or(hn::Eq(v, constant('"')), hn::Eq(v, constant('\'')));
        const auto odd = hn::Or(hn::Or(hn::Lt(v, hn::Zero(d)), between(v, '0', '9')), quotes);
        spaces |= bits_of(hn::Or(between(v, '\t', '\r'), between(v, 0x1C, ' '))) << i;
        special |= bits_of(odd) << i;
    }
}
#endif

void WordBits(const char* text, std::size_t size, std::uint64_t* spaces, std::uint64_t* special) {
    std::size_t i = 0;
    for (; i + 64 <= size; i += 64) BlockBits(text + i, spaces[i / 64], special[i / 64]);
    char rest[64];
    std::memset(rest, ' ', sizeof rest);
    std::memcpy(rest, text + i, size - i);
    BlockBits(rest, spaces[i / 64], special[i / 64]);
}

}  // namespace atlascore::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atlascore::simd {

HWY_EXPORT(WordBits);

void word_bits(const char* text, std::size_t size, std::uint64_t* spaces, std::uint64_t* special) noexcept {
    HWY_DYNAMIC_DISPATCH(WordBits)(text, size, spaces, special);
}

}  // namespace atlascore::simd
#endif
