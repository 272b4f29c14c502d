// The kernels on text and on hashes of its shingles.
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "atlascore/simd/kernels.hpp"

// This file is compiled once for every target; the table is the same for all.
#ifndef ATLASCORE_SIMD_LANES_OF_BITS
#define ATLASCORE_SIMD_LANES_OF_BITS
namespace atlascore::simd {
// The numbers of the bits that are set, lowest first, in four bits each.
constexpr std::array<std::uint32_t, 256> lanes_of_bits = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t bits = 0; bits < 256; ++bits) {
        for (std::uint32_t lane = 0, place = 0; lane < 8; ++lane) {
            if (bits >> lane & 1) table[bits] |= lane << 4 * place++;
        }
    }
    return table;
}();
}  // namespace atlascore::simd
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "atlascore/simd/text_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "atlascore/simd/load_tail-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace atlascore::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

std::size_t AsciiPrefix(const char* text, std::size_t size) {
    const hn::ScalableTag<std::int8_t> d;
    const std::size_t n = hn::Lanes(d);
    const auto* bytes = reinterpret_cast<const std::int8_t*>(text);
    std::size_t i = 0;
    for (; i + n <= size; i += n) {
        const auto first = hn::FindFirstTrue(d, hn::Lt(hn::LoadU(d, bytes + i), hn::Zero(d)));
        if (first >= 0) return i + static_cast<std::size_t>(first);
    }
    for (; i < size && bytes[i] >= 0; ++i) {
    }
    return i;
}

#if HWY_TARGET == HWY_SCALAR
std::size_t FoldAscii(const char* text, std::size_t size, bool after_space, char* out) {
    std::size_t i = 0;
    for (; i < size; ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool space = c - unsigned{'\t'} < 5 || c - 0x1Cu < 5;
        if (c >= 0x80 || (space && after_space)) break;
        after_space = space;
        const bool letter = c - unsigned{'A'} < 26, digit = c - unsigned{'0'} < 10;
        out[i] = static_cast<char>(space ? ' ' : digit ? '0' : letter ? c + 0x20 : c);
    }
    return i;
}
#else
template <class D>
HWY_INLINE std::uint64_t bits_of(D d, hn::Mask<D> mask) {
    alignas(8) std::uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, mask, bytes);
    std::uint64_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return bits;
}

std::size_t FoldAscii(const char* text, std::size_t size, bool after_space, char* out) {
    const hn::CappedTag<std::int8_t, 64> d;
    const std::size_t n = hn::Lanes(d);
    const auto constant = [d](int value) HWY_ATTR { return hn::Set(d, static_cast<std::int8_t>(value)); };
    // Of values from 0 on: those above `high` wrap below zero.
    const auto between = [constant](auto v, int low, int high) HWY_ATTR {
        return hn::Gt(hn::Add(v, constant(127 - high)), constant(126 - high + low));
    };
    std::uint64_t carry = after_space;
    for (std::size_t i = 0; i < size; i += n) {
        const auto* at = reinterpret_cast<const std::int8_t*>(text) + i;
        auto v = i + n <= size ? hn::LoadU(d, at) : load_tail(d, at, size - i);
        const std::uint64_t other = bits_of(d, hn::Lt(v, hn::Zero(d)));
        const auto space = hn::Or(between(v, '\t', '\r'), between(v, 0x1C, ' '));
        v = hn::Or(v, hn::IfThenElseZero(between(v, 'A', 'Z'), constant(0x20)));
        v = hn::IfThenElse(between(v, '0', '9'), constant('0'), v);
        v = hn::IfThenElse(space, constant(' '), v);
        hn::StoreU(v, d, reinterpret_cast<std::int8_t*>(out) + i);
        const std::uint64_t spaces = bits_of(d, space), refused = other | (spaces & (spaces << 1 | carry));
        if (refused != 0) return i + static_cast<std::size_t>(std::countr_zero(refused));
        carry = spaces >> (n - 1);
    }
    return size;
}
#endif

#if HWY_TARGET == HWY_SCALAR
void HashWindows5(const char* text, std::size_t count, std::uint64_t flip, std::uint64_t* out) {
    constexpr std::uint64_t multiplier = 0x9FB21C651E98DF25ull;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t head, tail;
        std::memcpy(&head, text + i, 4);
        std::memcpy(&tail, text + i + 1, 4);
        std::uint64_t h = (tail + (static_cast<std::uint64_t>(head) << 32)) ^ flip;
        h ^= std::rotl(h, 49) ^ std::rotl(h, 24);
        h *= multiplier;
        h ^= (h >> 35) + 5;
        h *= multiplier;
        out[i] = h ^ (h >> 28);
    }
}
#else
// a * multiplier mod 2^64, lane by lane.
template <class D>
HWY_INLINE hn::Vec<D> times(D d, hn::Vec<D> a, std::uint64_t multiplier) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
    return hn::Mul(a, hn::Set(d, multiplier));
#else
    const hn::Repartition<std::uint32_t, D> d32;
    const auto low = hn::BitCast(d32, hn::Set(d, multiplier & 0xFFFFFFFFu));
    const auto high = hn::BitCast(d32, hn::Set(d, multiplier >> 32));
    const auto a_low = hn::BitCast(d32, a), a_high = hn::BitCast(d32, hn::ShiftRight<32>(a));
    const auto cross = hn::Add(hn::MulEven(a_high, low), hn::MulEven(a_low, high));
    return hn::Add(hn::MulEven(a_low, low), hn::ShiftLeft<32>(cross));
#endif
}

// Windows i .. i + 7 lie in 12 bytes; each 64-bit lane picks its five from a copy of the 16 bytes at i. The
// hash reads them as two overlapping words: bytes 1-4 below, bytes 0-3 above.
void HashWindows5(const char* text, std::size_t count, std::uint64_t flip, std::uint64_t* out) {
    const hn::CappedTag<std::uint64_t, 8> d;
    const hn::Repartition<std::uint8_t, decltype(d)> d8;
    constexpr std::uint64_t multiplier = 0x9FB21C651E98DF25ull;
    alignas(64) std::uint8_t picks[64];
    for (std::uint8_t lane = 0; lane < 8; ++lane) {
        for (std::uint8_t byte = 0; byte < 4; ++byte) {
            picks[8 * lane + byte] = lane + byte + 1;
            picks[8 * lane + byte + 4] = lane + byte;
        }
    }
    const auto pick = hn::Load(d8, picks);
    const auto secret = hn::Set(d, flip), length = hn::Set(d, 5);
    for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
        const auto bytes = hn::LoadDup128(d8, reinterpret_cast<const std::uint8_t*>(text) + i);
        auto h = hn::Xor(hn::BitCast(d, hn::TableLookupBytes(bytes, pick)), secret);
        h = hn::Xor(h, hn::Xor(hn::RotateRight<15>(h), hn::RotateRight<40>(h)));
        h = times(d, h, multiplier);
        h = hn::Xor(h, hn::Add(hn::ShiftRight<35>(h), length));
        h = times(d, h, multiplier);
        hn::StoreU(hn::Xor(h, hn::ShiftRight<28>(h)), d, out + i);
    }
}
#endif

// The bound of a hash is the largest minimum among the bins of its lane, (h >> 8) mod lanes. With fewer
// than eight lanes, choosing costs more than it saves.
std::size_t KeepCandidates(std::uint64_t* hashes, std::size_t count, const std::uint64_t* minima,
                           std::size_t bins) {
    const hn::CappedTag<std::uint64_t, 8> d;
    const std::size_t n = hn::Lanes(d);
    if (n < 8 || bins < n) return count;
    auto bounds = hn::LoadU(d, minima);
    for (std::size_t bin = n; bin < bins; bin += n) bounds = hn::Max(bounds, hn::LoadU(d, minima + bin));
    const auto last = hn::Set(d, n - 1), places = hn::ShiftLeft<2>(hn::Iota(d, 0));
    hn::StoreU(hn::Set(d, ~std::uint64_t{0}), d, hashes + count);  // what the last vector has too many
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; i += n) {
        const auto h = hn::LoadU(d, hashes + i);
        const auto lane = hn::IndicesFromVec(d, hn::And(hn::ShiftRight<8>(h), last));
        std::uint8_t below = 0;
        hn::StoreMaskBits(d, hn::Lt(h, hn::TableLookupLanes(bounds, lane)), &below);
        const auto chosen =
            hn::IndicesFromVec(d, hn::And(hn::Shr(hn::Set(d, lanes_of_bits[below]), places), last));
        hn::StoreU(hn::TableLookupLanes(h, chosen), d, hashes + kept);
        kept += static_cast<std::size_t>(std::popcount(below));
    }
    return kept;
}

}  // namespace atlascore::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atlascore::simd {

HWY_EXPORT(AsciiPrefix);
HWY_EXPORT(FoldAscii);
HWY_EXPORT(HashWindows5);
HWY_EXPORT(KeepCandidates);

std::size_t ascii_prefix(const char* text, std::size_t size) noexcept {
    return HWY_DYNAMIC_DISPATCH(AsciiPrefix)(text, size);
}

std::size_t fold_ascii(const char* text, std::size_t size, bool after_space, char* out) noexcept {
    return HWY_DYNAMIC_DISPATCH(FoldAscii)(text, size, after_space, out);
}

void hash_windows5(const char* text, std::size_t count, std::uint64_t flip, std::uint64_t* out) noexcept {
    HWY_DYNAMIC_DISPATCH(HashWindows5)(text, count, flip, out);
}

std::size_t keep_candidates(std::uint64_t* hashes, std::size_t count, const std::uint64_t* minima,
                            std::size_t bins) noexcept {
    return HWY_DYNAMIC_DISPATCH(KeepCandidates)(hashes, count, minima, bins);
}

}  // namespace atlascore::simd
#endif
