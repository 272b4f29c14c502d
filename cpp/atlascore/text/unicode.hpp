// Code points: their classes, decompositions, compositions and lower-case forms, and UTF-8. The tables come
// from the Unicode data of the Python that builds (generate_tables.py); `tables::unicode_version` says which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace atlascore::text {

namespace tables {
// Two-stage tables: values[index[code / 128] * 128 + code % 128].
extern const std::uint16_t class_index[], combining_index[], decomposition_index[], lower_index[];
extern const std::uint8_t class_values[], combining_values[];
extern const std::uint16_t decomposition_values[], lower_values[];
extern const char32_t decomposition_pool[], lower_pool[];  // length, then the code points
extern const std::uint64_t composition_pairs[];            // first << 32 | second, ascending
extern const char32_t composition_results[];
extern const std::size_t composition_count;
extern const char unicode_version[];

template <class Value>
inline Value look_up(const std::uint16_t* index, const Value* values, char32_t code) noexcept {
    return values[index[code >> 7] * 128u + (code & 127)];
}
}  // namespace tables

enum CodeClass : std::uint8_t {
    decomposes = 1,  // has a compatibility decomposition, or is a Hangul syllable
    combines = 2,    // combining class is not 0
    follows = 4,     // may compose with the starter before it
    lowers = 8,      // has another lower-case form
    space = 16,      // white space
    word = 32,       // letter, number or underscore
    digit = 64,      // decimal
};

inline std::uint8_t classes_of(char32_t code) noexcept {
    return tables::look_up(tables::class_index, tables::class_values, code);
}
inline std::uint8_t combining_class(char32_t code) noexcept {
    return tables::look_up(tables::combining_index, tables::combining_values, code);
}
// The full compatibility decomposition of a code point that has one and is no Hangul syllable.
std::span<const char32_t> decomposition(char32_t code) noexcept;
// The lower-case form of a code point that has one. It depends on the code point alone: final sigma is not
// special.
std::span<const char32_t> lower_case(char32_t code) noexcept;
// The primary composite of two code points, Hangul included; 0 when there is none.
char32_t compose(char32_t first, char32_t second) noexcept;

inline constexpr char32_t replacement_character = 0xFFFD;
inline constexpr char32_t hangul_first = 0xAC00, hangul_count = 11172;
inline constexpr char32_t hangul_lead = 0x1100, hangul_vowel = 0x1161, hangul_final = 0x11A7;
inline constexpr char32_t hangul_vowels = 21, hangul_finals = 28;

// Reads one code point from [at, end), at < end, and moves `at` behind it. A maximal bad sequence reads as
// U+FFFD.
char32_t decode_any_utf8(const char*& at, const char* end) noexcept;
inline char32_t decode_utf8(const char*& at, const char* end) noexcept {
    const auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
    if (byte(0) < 0x80) return static_cast<char32_t>(*at++);
    // Two bytes, and three but for the leads that exclude some second bytes: most of the world's letters.
    if (end - at >= 3) {
        if (byte(0) >= 0xC2 && byte(0) <= 0xDF && (byte(1) & 0xC0) == 0x80) {
            const char32_t code = (byte(0) & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
            at += 2;
            return code;
        }
        if (byte(0) > 0xE0 && byte(0) < 0xED && (byte(1) & 0xC0) == 0x80 && (byte(2) & 0xC0) == 0x80) {
            const char32_t code = (byte(0) & 0xFu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
            at += 3;
            return code;
        }
    }
    return decode_any_utf8(at, end);
}

// Writes 1 to 4 bytes and returns the place behind them.
inline char* encode_utf8(char32_t code, char* out) noexcept {
    if (code < 0x80) {
        *out++ = static_cast<char>(code);
    } else if (code < 0x800) {
        *out++ = static_cast<char>(0xC0 | code >> 6);
        *out++ = static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = static_cast<char>(0xE0 | code >> 12);
        *out++ = static_cast<char>(0x80 | (code >> 6 & 0x3F));
        *out++ = static_cast<char>(0x80 | (code & 0x3F));
    } else {
        *out++ = static_cast<char>(0xF0 | code >> 18);
        *out++ = static_cast<char>(0x80 | (code >> 12 & 0x3F));
        *out++ = static_cast<char>(0x80 | (code >> 6 & 0x3F));
        *out++ = static_cast<char>(0x80 | (code & 0x3F));
    }
    return out;
}

}  // namespace atlascore::text
