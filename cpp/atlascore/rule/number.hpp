// Numbers as rules compare them: int64, uint64 and double keep their type, and comparisons between them are
// exact (request ids and byte counters do not fit a double). Texts count as numbers when they are decimal
// literals, and numbers have one text form (sigma.md V9, V13).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace atlascore::rule {

struct Number {
    enum class Kind : std::uint8_t { int64, uint64, real };

    Kind kind = Kind::int64;
    union {
        std::int64_t int64 = 0;
        std::uint64_t uint64;
        double real;
    };

    static Number of(std::int64_t value) noexcept {
        Number n;
        n.int64 = value;
        return n;
    }
    static Number of(std::uint64_t value) noexcept {
        Number n;
        n.kind = Kind::uint64;
        n.uint64 = value;
        return n;
    }
    static Number of(double value) noexcept {
        Number n;
        n.kind = Kind::real;
        n.real = value;
        return n;
    }
};

// Mathematical order; unordered when either is NaN. -0 equals 0.
std::partial_ordering compare(const Number& a, const Number& b) noexcept;

// A text that is, as a whole, [+-]digits[.digits][e[+-]digits]: no spaces, no hexadecimal. Integers that fit
// 64 bits stay integers; everything else becomes the nearest double.
std::optional<Number> parse_number(std::string_view text) noexcept;

// The text form: integers in decimal, doubles as ECMAScript and RFC 8785 write them (shortest digits that
// read back, 1.0 is "1"). Empty for NaN and the infinities, which have none.
inline constexpr std::size_t number_text_capacity = 32;
std::string_view number_text(const Number& number, char (&buffer)[number_text_capacity]) noexcept;

}  // namespace atlascore::rule
