#include "atlascore/rule/number.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace atlascore::rule {
namespace {

template <class Integer>
std::partial_ordering compare_real(Integer integer, double real) noexcept {
    constexpr double below = static_cast<double>(std::numeric_limits<Integer>::min());
    constexpr double above = std::is_signed_v<Integer> ? 0x1p63 : 0x1p64;
    if (std::isnan(real)) return std::partial_ordering::unordered;
    if (real >= above) return std::partial_ordering::less;
    if (real < below) return std::partial_ordering::greater;
    const auto whole = static_cast<Integer>(real);
    if (integer != whole) return integer <=> whole;
    return static_cast<double>(whole) <=> real;
}

std::partial_ordering reversed(std::partial_ordering order) noexcept {
    return 0 <=> order;
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

std::size_t digits_at(std::string_view text, std::size_t start) noexcept {
    std::size_t end = start;
    while (end < text.size() && is_digit(text[end])) ++end;
    return end - start;
}

// The parts of a decimal literal; `whole` counts digits from `start`, past the sign.
struct Literal {
    bool negative = false;
    bool integer = true;
    std::size_t start = 0;
    std::size_t whole = 0;
    std::size_t fraction = 0;
};

std::optional<Literal> scan_literal(std::string_view text) noexcept {
    Literal literal;
    if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
        literal.negative = text[0] == '-';
        literal.start = 1;
    }
    literal.whole = digits_at(text, literal.start);
    if (literal.whole == 0) return std::nullopt;
    std::size_t at = literal.start + literal.whole;
    if (at < text.size() && text[at] == '.') {
        literal.integer = false;
        literal.fraction = digits_at(text, at + 1);
        if (literal.fraction == 0) return std::nullopt;
        at += 1 + literal.fraction;
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        literal.integer = false;
        ++at;
        if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
        const std::size_t exponent = digits_at(text, at);
        if (exponent == 0) return std::nullopt;
        at += exponent;
    }
    if (at != text.size()) return std::nullopt;
    return literal;
}

std::optional<Number> parse_integer(std::string_view digits, bool negative) noexcept {
    std::uint64_t magnitude = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude);
    if (error != std::errc()) return std::nullopt;
    constexpr std::uint64_t limit = std::uint64_t{1} << 63;
    if (negative) {
        if (magnitude > limit) return std::nullopt;
        return Number::of(static_cast<std::int64_t>(0 - magnitude));
    }
    return magnitude < limit ? Number::of(static_cast<std::int64_t>(magnitude)) : Number::of(magnitude);
}

// Whether a literal outside a double's range is too large rather than too small.
bool overflows(std::string_view unsigned_text) noexcept {
    const std::size_t e = unsigned_text.find_first_of("eE");
    const std::string_view mantissa = unsigned_text.substr(0, e);
    const std::size_t first = mantissa.find_first_of("123456789");
    if (first == std::string_view::npos) return false;
    const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
    const auto magnitude = static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first);
    if (e == std::string_view::npos) return magnitude > 0;
    std::string_view exponent_text = unsigned_text.substr(e + 1);
    const bool negative = exponent_text[0] == '-';
    if (exponent_text[0] == '+' || negative) exponent_text.remove_prefix(1);
    std::int64_t exponent = 0;
    const auto result =
        std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
    if (result.ec != std::errc()) return !negative;
    return magnitude + (negative ? -exponent : exponent) > 0;
}

std::string_view real_text(double value, char (&buffer)[number_text_capacity]) noexcept {
    if (!std::isfinite(value)) return {};
    if (value == 0) return "0";
    char scientific[number_text_capacity];
    const auto result = std::to_chars(scientific, scientific + sizeof scientific, std::abs(value),
                                      std::chars_format::scientific);
    char digits[number_text_capacity];
    int count = 0;
    const char* p = scientific;
    for (; *p != 'e'; ++p) {
        if (*p != '.') digits[count++] = *p;
    }
    int exponent = 0;
    std::from_chars(p + (p[1] == '+' ? 2 : 1), result.ptr, exponent);

    char* out = buffer;
    const auto put = [&out](const char* from, int n) {
        std::memcpy(out, from, static_cast<std::size_t>(n));
        out += n;
    };
    const auto zeros = [&out](int n) {
        std::memset(out, '0', static_cast<std::size_t>(n));
        out += n;
    };
    if (value < 0) *out++ = '-';
    const int point = exponent + 1;  // digits before the decimal point
    if (count <= point && point <= 21) {
        put(digits, count);
        zeros(point - count);
    } else if (0 < point && point <= 21) {
        put(digits, point);
        *out++ = '.';
        put(digits + point, count - point);
    } else if (-6 < point && point <= 0) {
        put("0.", 2);
        zeros(-point);
        put(digits, count);
    } else {
        put(digits, 1);
        if (count > 1) {
            *out++ = '.';
            put(digits + 1, count - 1);
        }
        *out++ = 'e';
        *out++ = exponent < 0 ? '-' : '+';
        out = std::to_chars(out, buffer + sizeof buffer, std::abs(exponent)).ptr;
    }
    return {buffer, static_cast<std::size_t>(out - buffer)};
}

}  // namespace

std::partial_ordering compare(const Number& a, const Number& b) noexcept {
    using enum Number::Kind;
    if (a.kind == real && b.kind == real) return a.real <=> b.real;
    if (b.kind == real) {
        return a.kind == int64 ? compare_real(a.int64, b.real) : compare_real(a.uint64, b.real);
    }
    if (a.kind == real) return reversed(compare(b, a));
    if (a.kind == b.kind) return a.kind == int64 ? a.int64 <=> b.int64 : a.uint64 <=> b.uint64;
    if (a.kind == uint64) return reversed(compare(b, a));
    if (std::cmp_less(a.int64, b.uint64)) return std::partial_ordering::less;
    return std::cmp_equal(a.int64, b.uint64) ? std::partial_ordering::equivalent
                                             : std::partial_ordering::greater;
}

std::optional<Number> parse_number(std::string_view text) noexcept {
    const std::optional<Literal> literal = scan_literal(text);
    if (!literal) return std::nullopt;
    const std::string_view magnitude = text.substr(literal->start);
    if (literal->integer) {
        if (const auto integer = parse_integer(magnitude, literal->negative)) return integer;
    }
    double value = 0;
    const auto result = std::from_chars(magnitude.data(), magnitude.data() + magnitude.size(), value);
    if (result.ec == std::errc::result_out_of_range) {
        value = overflows(magnitude) ? std::numeric_limits<double>::infinity() : 0.0;
    }
    return Number::of(literal->negative ? -value : value);
}

std::string_view number_text(const Number& number, char (&buffer)[number_text_capacity]) noexcept {
    if (number.kind == Number::Kind::real) return real_text(number.real, buffer);
    char* const end = buffer + sizeof buffer;
    const auto result = number.kind == Number::Kind::int64 ? std::to_chars(buffer, end, number.int64)
                                                           : std::to_chars(buffer, end, number.uint64);
    return {buffer, static_cast<std::size_t>(result.ptr - buffer)};
}

}  // namespace atlascore::rule
