#include "atlascore/track/recent.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "atlascore/track/references.hpp"

using namespace atlascore;
using track::HotSlab;
using track::Observation;
using track::Sketch;

namespace {

// Inputs of one feature: their distance is the difference of the values.
Sketch point(float value) {
    Sketch sketch;
    track::sketch_dense(&value, 1, {}, 7, sketch);
    return sketch;
}

struct Track {
    std::unique_ptr<HotSlab> slab = std::make_unique<HotSlab>();
    std::unique_ptr<track::ModelReferences> references = std::make_unique<track::ModelReferences>();
    double now = 1000;
    track::Wanted wanted{.lines = true, .sparse = true};
    track::Head head;

    Track() { slab->reset(77); }
    Observation see(const Sketch& sketch) { return slab->observe(sketch, *references, now, wanted, &head); }
    Observation send(const Sketch& sketch, double step = 1) {
        now += step;
        const Observation o = see(sketch);
        slab->commit(sketch, o, now, slab->take_tickets(1), &head);
        return o;
    }
    track::WindowSummary summary(double window = 300, const Observation* pending = nullptr) {
        return slab->summary(now, window, pending);
    }
};

}  // namespace

TEST_CASE("the first query has nothing to be compared with") {
    Track t;
    const Observation o = t.send(point(1));
    CHECK_FALSE(o.compared);
    CHECK(std::isnan(o.distance));
    CHECK(std::isnan(o.survival));
    CHECK(o.comparable);
}

TEST_CASE("distance to the nearest, cold-start survival and near pairs") {
    Track t;
    t.send(point(1));
    t.send(point(3));
    const Observation o = t.see(point(1.5f));
    CHECK(o.distance == doctest::Approx(0.5));
    CHECK(o.survival == doctest::Approx(std::exp(-5.0)));
    CHECK(o.entries == 2);
    CHECK_FALSE(o.near);
    CHECK_FALSE(o.calibrated);
    CHECK(t.see(point(1.04f)).near);
    CHECK_FALSE(t.see(point(1.06f)).near);
}

TEST_CASE("observing changes nothing") {
    Track t;
    t.send(point(1));
    const HotSlab before = *t.slab;
    t.see(point(1.01f));
    t.summary();
    CHECK(std::memcmp(&before, t.slab.get(), sizeof before) == 0);
}

TEST_CASE("exact duplicates are seen for 64 queries and are not compared") {
    Track t;
    t.send(point(0.5f));
    t.send(point(5));
    for (int i = 0; i < 62; ++i) t.send(point(100.0f + static_cast<float>(i)));
    CHECK(t.see(point(5)).duplicate);
    CHECK_FALSE(t.see(point(5)).compared);
    for (int i = 0; i < 4; ++i) t.send(point(200.0f + static_cast<float>(i)));
    // Both are anchors, so they are still known.
    CHECK(t.see(point(5)).duplicate);
    CHECK_FALSE(t.see(point(100)).duplicate);
}

TEST_CASE("members of a near pair stay when everything recent has gone") {
    Track t;
    for (int i = 0; i < 3; ++i) t.send(point(-10.0f * static_cast<float>(i + 1)));
    t.send(point(1));
    CHECK(t.send(point(1.01f)).near);
    for (int i = 0; i < 100; ++i) t.send(point(100.0f + 10.0f * static_cast<float>(i)));
    const Observation o = t.see(point(1.02f));
    CHECK(o.distance == doctest::Approx(0.01).epsilon(0.1));
    CHECK(o.near);
}

TEST_CASE("keeping again refreshes: the least recently used goes") {
    Track t;
    t.send(point(-100));
    t.send(point(-200));
    t.send(point(1));
    t.send(point(1.01f));  // kept with its neighbour
    // 14 more kept sketches in 7 pairs; then the first pair is used again, then 14 others come.
    const auto pairs = [&](float from) {
        for (int i = 0; i < 7; ++i) {
            t.send(point(from + 10.0f * static_cast<float>(i)));
            t.send(point(from + 10.0f * static_cast<float>(i) + 0.015625f));
        }
    };
    pairs(1000);
    CHECK(t.send(point(1.02f)).near);
    pairs(500);
    for (int i = 0; i < 30; ++i) t.send(point(5000.0f + 100.0f * static_cast<float>(i)));
    CHECK(t.see(point(1.03f)).near);
}

TEST_CASE("anchors: the first two inputs, a new pair after half an hour of silence") {
    Track t;
    t.send(point(1));
    t.send(point(2));
    for (int i = 0; i < 100; ++i) t.send(point(100.0f + 10.0f * static_cast<float>(i)));
    CHECK(t.see(point(1.01f)).near);
    CHECK(t.see(point(2.01f)).near);
    t.send(point(50), 1801);
    t.send(point(60));
    for (int i = 0; i < 100; ++i) t.send(point(3000.0f + 10.0f * static_cast<float>(i)));
    CHECK(t.see(point(50.01f)).near);
    CHECK(t.see(point(60.01f)).near);
    CHECK_FALSE(t.see(point(1.01f)).near);
}

TEST_CASE("an input that is recent and an anchor counts once") {
    Track t;
    t.send(point(1));
    t.send(point(2));
    t.send(point(2.01f));
    CHECK(t.see(point(9)).entries == 3);
    for (int i = 0; i < 40; ++i) t.send(point(100.0f + 10.0f * static_cast<float>(i)));
    CHECK(t.see(point(9)).entries == 24 + 3);  // 2 anchors, and the pair, of which one is an anchor
}

TEST_CASE("scale epochs and short texts are not compared") {
    Track t;
    t.send(point(1));
    track::Scale other;
    other.epoch = 20;
    const float value = 1.001f;
    Sketch sketch;
    track::sketch_dense(&value, 1, other, 7, sketch);
    CHECK_FALSE(t.see(sketch).compared);
    track::TextScratch scratch;
    track::sketch_text("hello", 7, scratch, sketch);
    t.send(sketch);
    CHECK(t.see(sketch).duplicate);
    track::sketch_text("hello!", 7, scratch, sketch);
    CHECK_FALSE(t.see(sketch).compared);
}

TEST_CASE("ratios need eight queries, count the pending one, and end with the window") {
    Track t;
    for (int i = 0; i < 8; ++i) t.send(point(static_cast<float>(i)));
    CHECK(std::isnan(t.summary().similarity_score));  // seven of them were compared
    CHECK(t.summary().near_ratio == 0);
    const Observation pending = t.see(point(7.01f));
    CHECK(t.summary(300, &pending).near_ratio == doctest::Approx(1.0 / 9));
    CHECK(t.summary(300, &pending).similarity_score > 0);
    const Observation repeated = t.see(point(3));
    CHECK(t.summary(300, &repeated).duplicate_ratio == doctest::Approx(1.0 / 9));
    CHECK(t.summary(300, &repeated).near_ratio == 0);
    // Queries lie one second apart; (now - 8, now] holds all of them, (now - 7, now] only seven.
    CHECK(t.summary(8).near_ratio == 0);
    CHECK(std::isnan(t.summary(7).near_ratio));
}

TEST_CASE("pending and committed give the same summary, also when the ring is full") {
    Track t;
    for (int i = 0; i < 150; ++i) {
        const Sketch sketch = point(static_cast<float>(i * i % 37) + static_cast<float>(i) * 0.001f);
        t.now += 1;
        const Observation o = t.see(sketch);
        const auto before = t.summary(1000, &o);
        t.slab->commit(sketch, o, t.now, t.slab->take_tickets(1), &t.head);
        const auto after = t.summary(1000);
        CHECK((before.near_ratio == after.near_ratio || std::isnan(before.near_ratio)));
        CHECK((before.similarity_score == after.similarity_score || std::isnan(before.similarity_score)));
        CHECK((before.duplicate_ratio == after.duplicate_ratio || std::isnan(before.duplicate_ratio)));
    }
}

TEST_CASE("late queries, equal times, extreme times") {
    Track t;
    t.send(point(1));
    t.send(point(2), -500);
    t.send(point(3), 0);
    for (const double now : {-1e300, 1e300, 0.0}) {
        t.now = now;
        t.send(point(static_cast<float>(now > 0)), 0);
        t.summary(1e300);
    }
    t.now = 999;
    CHECK(t.see(point(3.01f)).near);
}

TEST_CASE("a new owner finds nothing, and the old one's late commit leaves nothing") {
    Track t;
    t.send(point(1));
    const Observation late = t.see(point(2));
    t.slab->reset(78);
    t.slab->commit(point(2), late, t.now, 1, &t.head);
    CHECK_FALSE(t.see(point(2)).duplicate);
    CHECK_FALSE(t.see(point(2.01f)).compared);
    CHECK(t.slab->owner() == 78);
}

TEST_CASE("what another owner's sleeping writer leaves in a slot is not the nearest") {
    Track t;
    t.send(point(1));
    t.send(point(5));
    // A sketch written under another owner's check, published all the same.
    const Sketch foreign = point(5.01f);
    track::write_slot(t.slab->meta[1], t.slab->rows[1], track::pack(foreign), {1, foreign.space()}, 1234);
    const Observation o = t.see(point(5.01f));
    CHECK(o.distance == doctest::Approx(0.01).epsilon(0.2));  // the anchor's copy of 5
    CHECK(o.entries == 2);
}

TEST_CASE("all-zero memory is a valid slab") {
    Track t;
    std::memset(static_cast<void*>(t.slab.get()), 0, sizeof(HotSlab));
    CHECK_FALSE(t.see(point(1)).compared);
    t.send(point(1));
    CHECK(t.see(point(1)).duplicate);
}

TEST_CASE("a history that is adopted goes on as the first would have") {
    Track first, second;
    second.slab->reset(88);
    second.now = first.now;
    for (int i = 0; i < 40; ++i) first.send(point(static_cast<float>(i * i)));
    for (const float near : {1600.0f, 1600.5f, 1600.25f}) first.send(point(near));
    second.slab->adopt(*first.slab);
    second.now = first.now;
    for (const float value : {1600.125f, 1500.0f, 700.0f, 5000.0f}) {
        const Observation a = first.see(point(value)), b = second.see(point(value));
        CHECK(a.distance == doctest::Approx(b.distance));
        CHECK(a.neighbour == b.neighbour);
        CHECK(a.near == b.near);
        CHECK(a.halving == b.halving);
        CHECK(a.entries == b.entries);
    }
    // Sent before, though not by this slab: among the newest that is a duplicate, and it is the new owner's
    // now.
    CHECK(second.see(point(1600.5f)).duplicate);
    CHECK(second.send(point(9000)).owner == 88);
    CHECK(second.see(point(9001)).distance == doctest::Approx(1));
    CHECK(first.see(point(9001)).distance > 1000);  // the other stays as it is
}

TEST_CASE("the newest inputs of another history") {
    Track first, second;
    second.slab->reset(88);
    for (int i = 1; i <= 30; ++i) first.send(point(static_cast<float>(100 * i)));
    second.send(point(10'000));
    second.slab->add_recent(*first.slab);
    CHECK(second.see(point(3001)).distance == doctest::Approx(1));
    CHECK(second.see(point(1901)).distance == doctest::Approx(1));
    CHECK(second.see(point(1801)).distance == doctest::Approx(99));  // twelve are taken over
    CHECK(second.see(point(10'001)).distance == doctest::Approx(1));
    first.slab->reset(99);
    Track third;
    third.slab->add_recent(*first.slab);
    CHECK_FALSE(third.see(point(3001)).compared);
}
