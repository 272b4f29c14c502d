#include "atlascore/text/unicode.hpp"

#include <algorithm>

namespace atlascore::text {
namespace {

std::span<const char32_t> pooled(const char32_t* pool, std::uint16_t at) noexcept {
    return {pool + at + 1, static_cast<std::size_t>(pool[at])};
}

}  // namespace

std::span<const char32_t> decomposition(char32_t code) noexcept {
    return pooled(tables::decomposition_pool,
                  tables::look_up(tables::decomposition_index, tables::decomposition_values, code));
}

std::span<const char32_t> lower_case(char32_t code) noexcept {
    return pooled(tables::lower_pool, tables::look_up(tables::lower_index, tables::lower_values, code));
}

char32_t compose(char32_t first, char32_t second) noexcept {
    if (first - hangul_lead < 19 && second - hangul_vowel < hangul_vowels) {
        return hangul_first +
               ((first - hangul_lead) * hangul_vowels + (second - hangul_vowel)) * hangul_finals;
    }
    if (first - hangul_first < hangul_count && (first - hangul_first) % hangul_finals == 0 &&
        second - (hangul_final + 1) < hangul_finals - 1) {
        return first + (second - hangul_final);
    }
    const std::uint64_t pair = static_cast<std::uint64_t>(first) << 32 | second;
    const std::uint64_t* end = tables::composition_pairs + tables::composition_count;
    const std::uint64_t* found = std::lower_bound(tables::composition_pairs, end, pair);
    if (found == end || *found != pair) return 0;
    return tables::composition_results[found - tables::composition_pairs];
}

char32_t decode_any_utf8(const char*& at, const char* end) noexcept {
    const auto byte = [](const char* p) { return static_cast<unsigned char>(*p); };
    const unsigned lead = byte(at++);
    if (lead < 0x80) return lead;
    // Length and the range of the second byte, which excludes overlong forms, surrogates and what is above
    // U+10FFFF.
    unsigned more, low = 0x80, high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        more = 2;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        more = 3;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return replacement_character;
    }
    char32_t code = lead & (0x3F >> more);
    for (; more != 0; --more) {
        if (at == end || byte(at) < low || byte(at) > high) return replacement_character;
        code = code << 6 | (byte(at++) & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return code;
}

}  // namespace atlascore::text
