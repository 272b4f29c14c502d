#include "atlascore/rule/number.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace atlascore::rule {
namespace {

std::string text(const Number& number) {
    char buffer[number_text_capacity];
    return std::string(number_text(number, buffer));
}

Number parsed(std::string_view literal) {
    const auto number = parse_number(literal);
    REQUIRE(number.has_value());
    return *number;
}

Number integer(std::int64_t value) {
    return Number::of(value);
}
Number natural(std::uint64_t value) {
    return Number::of(value);
}
Number real(double value) {
    return Number::of(value);
}

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("comparisons between number types are exact") {
    CHECK(compare(integer(9007199254740993), real(9007199254740992.0)) > 0);
    CHECK(compare(real(9007199254740992.0), integer(9007199254740993)) < 0);
    CHECK(compare(natural(18446744073709551615u), real(18446744073709551616.0)) < 0);
    CHECK(compare(integer(-1), natural(18446744073709551615u)) < 0);
    CHECK(compare(natural(5), integer(5)) == 0);
    CHECK(compare(integer(std::numeric_limits<std::int64_t>::min()), real(-0x1p63)) == 0);
    CHECK(compare(integer(std::numeric_limits<std::int64_t>::max()), real(0x1p63)) < 0);
    CHECK(compare(integer(1), real(1.5)) < 0);
    CHECK(compare(integer(-1), real(-1.5)) > 0);
    CHECK(compare(natural(0), real(-0.5)) > 0);
    CHECK(compare(integer(0), real(-0.0)) == 0);
    CHECK(compare(integer(0), real(infinity)) < 0);
    CHECK(compare(natural(0), real(-infinity)) > 0);
    const auto with_nan = compare(integer(0), real(std::numeric_limits<double>::quiet_NaN()));
    CHECK(with_nan == std::partial_ordering::unordered);
}

TEST_CASE("texts are numbers when they are decimal literals as a whole") {
    for (const char* literal : {"", " 1", "1 ", "+", "-", ".5", "5.", "1e", "1e+", "0x1F", "1_000", "1,5",
                                "nan", "inf", "1.5.2", "--1", "1e5.0"}) {
        CAPTURE(literal);
        CHECK_FALSE(parse_number(literal).has_value());
    }
    CHECK(parsed("04688").int64 == 4688);
    CHECK(parsed("-9223372036854775808").int64 == std::numeric_limits<std::int64_t>::min());
    CHECK(parsed("18446744073709551615").kind == Number::Kind::uint64);
    CHECK(parsed("18446744073709551616").kind == Number::Kind::real);
    CHECK(parsed("-9223372036854775809").kind == Number::Kind::real);
    CHECK(parsed("+1.50e2").real == 150.0);
    CHECK(parsed("1e999").real == infinity);
    CHECK(parsed("-1e999").real == -infinity);
    CHECK(parsed("1e-999").real == 0.0);
    CHECK(parsed("0e999").real == 0.0);
    CHECK(parsed("1e99999999999999999999").real == infinity);
    CHECK(parsed("1e-99999999999999999999").real == 0.0);
    CHECK(parsed(std::string(400, '9')).real == infinity);
    CHECK(parsed("0." + std::string(400, '0') + "1").real == 0.0);
    CHECK(parsed("0." + std::string(400, '0') + "1e401").real == doctest::Approx(1.0));
}

TEST_CASE("numbers have one text, the shortest that reads back") {
    CHECK(text(integer(-42)) == "-42");
    CHECK(text(natural(18446744073709551615u)) == "18446744073709551615");
    CHECK(text(real(1.0)) == "1");
    CHECK(text(real(-0.0)) == "0");
    CHECK(text(real(0.1)) == "0.1");
    CHECK(text(real(-1.5)) == "-1.5");
    CHECK(text(real(100000.0)) == "100000");
    CHECK(text(real(1e20)) == "100000000000000000000");
    CHECK(text(real(1e21)) == "1e+21");
    CHECK(text(real(1.25e-6)) == "0.00000125");
    CHECK(text(real(1.25e-7)) == "1.25e-7");
    CHECK(text(real(123456.789)) == "123456.789");
    CHECK(text(real(-5e-324)) == "-5e-324");
    CHECK(text(real(-1.7976931348623157e308)) == "-1.7976931348623157e+308");
    CHECK(text(real(infinity)).empty());
    CHECK(text(real(std::numeric_limits<double>::quiet_NaN())).empty());
}

}  // namespace atlascore::rule
