// Answers: labels of near pairs in every order, and what becomes of them.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "atlascore/track/recent.hpp"
#include "atlascore/track/references.hpp"

using namespace atlascore;
using track::AnswerTests;
using track::HotSlab;

namespace {

track::Sketch point(float x) {
    const float values[8] = {x, x, x, x, x, x, x, x};
    track::Sketch sketch;
    track::sketch_dense(values, 8, {}, 7, sketch);
    return sketch;
}

struct Track {
    std::unique_ptr<HotSlab> slab = std::make_unique<HotSlab>();
    std::unique_ptr<track::ModelReferences> references = std::make_unique<track::ModelReferences>();
    double now = 1000;

    Track() { slab->reset(77); }
    std::uint32_t send(float x) {
        now += 1;
        track::Head next;
        const auto sketch = point(x);
        const auto o = slab->observe(sketch, *references, now, {.lines = true, .sparse = true}, &next);
        const std::uint32_t ticket = slab->take_tickets(1);
        slab->commit(sketch, o, now, ticket, &next);
        return ticket;
    }
    AnswerTests answer(std::uint32_t ticket, std::uint16_t label) {
        return slab->answer(ticket, {.label = label});
    }
    double flip_rate() { return slab->summary(now, 300, nullptr).label_flip_rate; }
};

}  // namespace

TEST_CASE("a near pair is tested when its second label arrives, in either order") {
    for (const bool in_order : {true, false}) {
        Track t;
        const std::uint32_t first = t.send(1), second = t.send(1.01f);
        CHECK(t.answer(in_order ? first : second, 5).pair_count == 0);
        const AnswerTests tests = t.answer(in_order ? second : first, 6);
        REQUIRE(tests.pair_count == 1);
        CHECK(tests.pairs[0].flip);
        CHECK_FALSE(tests.pairs[0].fine_observed);
    }
}

TEST_CASE("one late answer tests every pair that has waited for it") {
    Track t;
    const std::uint32_t centre = t.send(1);
    for (int i = 0; i < 3; ++i)
        t.answer(t.send(i % 2 == 0 ? 1.04f : 0.96f + 0.001f * static_cast<float>(i)), 5);
    CHECK(t.answer(centre, 6).pair_count >= 2);
}

TEST_CASE("an answer counts once, and only while the query is remembered") {
    Track t;
    const std::uint32_t ticket = t.send(1);
    CHECK(t.answer(ticket, 5).known);
    CHECK_FALSE(t.answer(ticket, 6).known);
    CHECK_FALSE(t.answer(ticket + 1, 5).known);  // never sent
    const std::uint32_t old = t.send(2);
    for (int i = 0; i < 64; ++i) t.send(static_cast<float>(10 + i));
    CHECK_FALSE(t.answer(old, 5).known);
    t.slab->reset(78);
    CHECK_FALSE(t.answer(ticket, 5).known);
}

TEST_CASE("flips are a share of the near pairs with two labels") {
    Track t;
    t.answer(t.send(1), 5);
    for (int i = 1; i <= 10; ++i) t.answer(t.send(1 + 0.001f * static_cast<float>(i)), i > 8 ? 6 : 5);
    CHECK(t.flip_rate() == doctest::Approx(1.0 / 10));  // 9 flips against 8, 10 agrees with 9
    t.send(1.02f);
    CHECK(t.flip_rate() == doctest::Approx(1.0 / 10));
}

TEST_CASE("a fine flip is nearer than half the median of earlier near pairs") {
    Track t;
    for (int i = 0; i < 10; ++i) {
        t.answer(t.send(static_cast<float>(10 * i)), 5);
        const AnswerTests far = t.answer(t.send(static_cast<float>(10 * i) + 0.04f), 5);
        REQUIRE(far.pair_count == 1);
        CHECK(far.pairs[0].fine_observed == (i >= 8));
        CHECK_FALSE(far.pairs[0].fine_flip);
    }
    t.answer(t.send(500), 5);
    CHECK(t.answer(t.send(500.0625f), 6).pair_count == 0);  // no near pair at all
    t.answer(t.send(2.5f), 5);
    const AnswerTests fine = t.answer(t.send(2.515625f), 6);
    REQUIRE(fine.pair_count == 1);
    CHECK(fine.pairs[0].fine_flip);
}

TEST_CASE("an exact duplicate's answer labels nothing") {
    Track t;
    const std::uint32_t first = t.send(1);
    t.answer(t.send(1.01f), 5);
    CHECK(t.answer(t.send(1), 6).pair_count == 0);
    CHECK(t.answer(first, 5).pair_count == 1);
}

TEST_CASE("the trend: inputs on the other side come closer to the anchor") {
    Track t;
    t.answer(t.send(0), 5);
    CHECK(std::isnan(t.slab->anchor_trend()));
    for (int i = 0; i < 60; ++i) t.answer(t.send(3 - 0.04f * static_cast<float>(i)), 6);
    CHECK(t.slab->anchor_trend() == doctest::Approx(-1));
}
