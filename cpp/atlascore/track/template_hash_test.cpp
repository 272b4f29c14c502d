#include "atlascore/track/template_hash.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <string>

namespace {

using namespace atlascore;

std::uint64_t hash(std::string_view text) {
    track::TemplateScratch scratch;
    return track::template_hash(text, 9, scratch);
}

}  // namespace

TEST_CASE("what templates vary is masked") {
    const std::string head = "Classify the message and answer with the category alone, please: ";
    CHECK(hash(head + "\"Where is my parcel?\"") == hash(head + "“It is late again, the 3. time”"));
    CHECK(hash(head + "12.5 apples") == hash(head + "7 apples"));
    CHECK(hash(head + "see https://a.org/b?c") == hash(head + "see www.example.com"));
    CHECK(hash(head + "```\nx y\n```") == hash(head + "`z`"));
    CHECK(hash(head + "a.b@c.de") == hash(head + "long-name+tag@example.co.uk"));
    CHECK(hash(head + std::string(41, 'x')) == hash(head + std::string(90, 'y')));
    CHECK(hash(head + std::string(40, 'x')) != hash(head + std::string(40, 'y')));
    CHECK(hash(head + "it isn't") != hash(head + "it won't"));
}

TEST_CASE("white space between words does not matter, their order and case do") {
    CHECK(hash(" one  two\nthree\u3000four ") == hash("one two three four"));
    CHECK(hash("one two three four") != hash("two one three four"));
    CHECK(hash("one two three four") != hash("One two three four"));
}

TEST_CASE("of a long text the beginning counts") {
    std::string text;
    while (text.size() < track::template_bytes) text += "some words that go on ";
    const std::string cut = text.substr(0, track::template_bytes);
    CHECK(hash(cut) == hash(cut + "\xC3\xA9 and more"));
    // A code point that the end cuts in two does not count.
    CHECK(hash(cut.substr(1) + "\xC3\xA9 and more") == hash(cut.substr(1)));
}
