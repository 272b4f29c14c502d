#include "atlascore/rule/pattern.hpp"

#include <doctest/doctest.h>

namespace atlascore::rule {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
    return glob_matches(parse_pattern(pattern, false, false, false).glob, text, true);
}

}  // namespace

TEST_CASE("patterns that are one literal are recognised") {
    using enum Pattern::Shape;
    const auto shape = [](std::string_view text, bool start = false, bool end = false) {
        return parse_pattern(text, start, end, false).shape;
    };
    CHECK(shape("a") == exact);
    CHECK(shape("") == exact);
    CHECK(shape("a*") == prefix);
    CHECK(shape("*a") == suffix);
    CHECK(shape("*a**") == substring);
    CHECK(shape("*") == anything);
    CHECK(shape("", true, true) == anything);
    CHECK(shape("a", true, true) == substring);
    CHECK(shape("a*b") == glob);
    CHECK(shape("?") == glob);
    CHECK(shape("\\*") == exact);
    CHECK(parse_pattern("*A\\*", false, false, false).literal == "a*");
    CHECK(parse_pattern("*A\\*", false, false, true).literal == "A*");
}

TEST_CASE("backslashes") {
    CHECK(matches(R"(a\*b)", "a*b"));
    CHECK_FALSE(matches(R"(a\*b)", "axb"));
    CHECK(matches(R"(a\\*)", R"(a\xyz)"));
    CHECK(matches(R"(a\\\*)", R"(a\*)"));
    CHECK_FALSE(matches(R"(a\\\*)", R"(a\x)"));
    CHECK(matches(R"(a\b)", R"(a\b)"));
    CHECK(matches(R"(a\\b)", R"(a\b)"));
    CHECK(matches(R"(a\\\b)", R"(a\\b)"));
    CHECK(matches(R"(a\\\\b)", R"(a\\b)"));
    CHECK(matches(R"(a\)", R"(a\)"));
}

TEST_CASE("wildcards match code points and newlines, on the whole value") {
    CHECK(matches("a?c", "a\u00E9c"));
    CHECK(matches("a?c", "a\nc"));
    CHECK_FALSE(matches("a?c", "ac"));
    CHECK(matches("*b*d*", "aBcD"));
    CHECK(matches("a*c*e", "a--c\n--e"));
    CHECK_FALSE(matches("a*c", "a--cd"));
    CHECK(matches("*\u212A?", "xKy"));
    CHECK(matches("*a*b", "aaab"));
    CHECK(matches("", ""));
    CHECK_FALSE(matches("", "a"));
    CHECK(matches("?\uFFFD", "\xFF\xFF"));
}

}  // namespace atlascore::rule
