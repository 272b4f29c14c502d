#include "atlascore/rule/fold.hpp"

#include <doctest/doctest.h>

namespace atlascore::rule {

TEST_CASE("folding is simple, Unicode and code point by code point") {
    CHECK(folded("PREDICT /v1/Model_[X]@") == "predict /v1/model_[x]@");
    CHECK(folded("ÄÖÜ ΣΑΣ ДЖ") == "äöü σασ дж");
    CHECK(folded("\u212A") == "k");         // three bytes to one
    CHECK(folded("\u023A") == "\u2C65");    // two bytes to three
    CHECK(folded("ς") == "σ");              // both sigmas are one
    CHECK(folded("ß") == "ß");              // no full folding
    CHECK(folded("\u1E9E") == "ß");         // status S
    CHECK(folded("\u1F88") == "\u1F80");    // status S, where full folding gives two code points
    CHECK(folded("\u0130") == "\u0130");    // dotted capital I: full and Turkic foldings only
    CHECK(folded("e\u0301") == "e\u0301");  // no normalisation
    CHECK(folded("\U00010400") == "\U00010428");
    CHECK(fold(0x10FFFF) == 0x10FFFF);
}

TEST_CASE("ill-formed sequences read as U+FFFD, one for each longest part") {
    CHECK(folded("a\xFFz") == "a\uFFFDz");
    CHECK(folded("\xC3") == "\uFFFD");
    CHECK(folded("\xE2\x82") == "\uFFFD");
    CHECK(folded("\xF0\x9F\x98z") == "\uFFFDz");
    CHECK(folded("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
    CHECK(folded("\xC0\xAF") == "\uFFFD\uFFFD");
    CHECK(folded("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
    CHECK_FALSE(is_well_formed("a\xFF"));
    CHECK(is_well_formed("ä\uFFFD"));
}

TEST_CASE("a text that does not fit is refused, not cut") {
    char out[4];
    CHECK(fold_into("ABCD", out, 4) == 4);
    CHECK_FALSE(fold_into("ABCDE", out, 4).has_value());
    CHECK_FALSE(fold_into("\u023A\u023A", out, 4).has_value());
    CHECK(fold_into("\u212A\u212A", out, 4) == 2);  // longer than the buffer before folding
}

}  // namespace atlascore::rule
