#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/track_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr std::array<double, 2> horizons{10, 300};

struct Tracks {
    base::Region region;
    TrackTable table;
    Tracks(std::uint64_t capacity, std::uint32_t hot)
        : region({"", TrackTable::section_bytes(capacity, hot), 0, "", 1}),
          table(region, 0, capacity, hot, horizons) {}
    std::uint64_t counter(base::Counter c) const { return region.counters()[static_cast<std::size_t>(c)]; }
};

std::uint64_t tag(std::uint64_t i) {
    return KeyTable::tag_of(base::hash64(&i, sizeof i, 42));
}

}  // namespace

TEST_CASE("a hot track's reading follows an exact window where the coarse one cannot") {
    Tracks tracks(100, 10);
    double total = 0;
    int readings = 0;
    std::vector<double> times;
    for (int i = 0; i < 3000; ++i) {
        const double now = 1e9 + i * 0.7 + 40 * std::sin(i / 60.0);
        auto track = tracks.table.open(tag(1), now);
        tracks.table.warm(track, now, !track.slot.created);
        tracks.table.add(track, now, 1);
        times.push_back(now);
        double exact = 0;
        for (const double t : times) exact += t > track.newest - 300;
        if (exact < 100) continue;
        total += std::abs(tracks.table.count(track, 1) - exact) / exact;
        ++readings;
    }
    CHECK(readings > 1000);
    CHECK(total / readings < 0.02);
}

TEST_CASE("the pool recycles probation first and keeps what was promoted") {
    Tracks tracks(10'000, 100);
    std::vector<std::uint64_t> mains;
    for (std::uint64_t i = 0; i < 50; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.warm(track, 1e9, false);
        tracks.table.promote(track, 1e9, true);
        REQUIRE(track.hot);
    }
    for (std::uint64_t i = 1'000; i < 6'000; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.warm(track, 1e9, false);
        CHECK(track.hot);
    }
    std::size_t still = 0;
    for (std::uint64_t i = 0; i < 50; ++i) still += static_cast<bool>(tracks.table.look(tag(i), 1e9)->hot);
    CHECK(still == 50);
    CHECK(tracks.table.hot_census().used == 100);
    CHECK(tracks.counter(base::Counter::hot_recycled) == 5'000 - 50);
}

TEST_CASE("promotion beyond three quarters of the pool puts another track back on probation") {
    Tracks tracks(10'000, 100);
    for (std::uint64_t i = 0; i < 100; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.warm(track, 1e9, false);
        tracks.table.promote(track, 1e9, true);
    }
    CHECK(tracks.table.hot_census().probation >= 24);
    CHECK(tracks.table.hot_census().probation <= 26);
}

TEST_CASE("when more tracks are busy than the pool holds, those in it stay; who falls silent goes") {
    Tracks tracks(10'000, 100);
    const auto ask = [&](std::uint64_t first, std::uint64_t last, double now) {
        for (std::uint64_t i = first; i < last; ++i) {
            auto track = tracks.table.open(tag(i), now);
            tracks.table.promote(track, now, false);
            tracks.table.touch(track);
        }
    };
    const auto held = [&](std::uint64_t first, std::uint64_t last) {
        std::size_t count = 0;
        for (std::uint64_t i = first; i < last; ++i) {
            count += tracks.table.promoted(*tracks.table.look(tag(i), 1e9));
        }
        return count;
    };
    ask(0, 75, 1e9);
    const std::uint64_t before = tracks.counter(base::Counter::hot_assigned);
    for (int round = 0; round < 20; ++round) ask(0, 2'000, 1e9 + round);
    CHECK(held(0, 75) == 75);
    CHECK(held(75, 2'000) == 0);
    CHECK(tracks.counter(base::Counter::hot_assigned) == before);
    for (int round = 0; round < 50; ++round) ask(100, 160, 1e9 + 1e5 + round);
    CHECK(held(100, 160) == 60);
}

TEST_CASE("a track that gets another slab keeps what it is worth") {
    Tracks tracks(10'000, 100);
    for (std::uint64_t i = 0; i < 75; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.keep(track, Keep::standing);
        tracks.table.promote(track, 1e9, true);
    }
    for (std::uint64_t i = 100; i < 400; ++i) {
        auto track = tracks.table.open(tag(i), 1e9 + 1e5);
        tracks.table.promote(track, 1e9 + 1e5, false);
        CHECK_FALSE(tracks.table.promoted(track));
    }
}

TEST_CASE("a recycled slab leaves its former owner readable") {
    Tracks tracks(100, 4);
    auto first = tracks.table.open(tag(1), 1e9);
    tracks.table.warm(first, 1e9, false);
    tracks.table.add(first, 1e9, 3);
    for (std::uint64_t i = 2; i < 20; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.warm(track, 1e9, false);
    }
    CHECK(tracks.table.hot(first.hot) == nullptr);
    const auto again = tracks.table.look(tag(1), 1e9);
    REQUIRE(again);
    CHECK_FALSE(again->hot);
    CHECK(tracks.table.count(*again, 1) == 3);
}

TEST_CASE("standing decisions belong to one tenure of the slot") {
    Tracks tracks(28, 4);
    auto track = tracks.table.open(tag(1), 1e9);
    const Standing none = tracks.table.standing(track);
    CHECK(none.until == 0);
    CHECK(tracks.table.set_standing(track, none, {1'000'000'600, 3, 1, 77}));
    const Standing now = tracks.table.standing(track);
    CHECK(now.until == 1'000'000'600);
    CHECK(now.action == 3);
    CHECK(now.repeats == 1);
    CHECK(now.response == 77);
    CHECK_FALSE(tracks.table.set_standing(track, none, {1, 1, 1, 1}));  // it has changed since
    std::uint64_t next = 100;
    while (tracks.table.holds(track)) tracks.table.open(tag(next++), 1e9);
    CHECK_FALSE(tracks.table.set_standing(track, now, {2'000'000'000, 3, 2, 77}));
    CHECK(tracks.table.standing(tracks.table.open(tag(next - 1), 1e9)).until == 0);
}

TEST_CASE("the token bucket admits the rate and a burst of it") {
    Tracks tracks(28, 4);
    auto track = tracks.table.open(tag(1), 1000);
    int admitted = 0;
    for (int i = 0; i < 100; ++i) admitted += tracks.table.within_rate(track, 1000 + i * 0.1, 2, 1);
    CHECK(admitted >= 20);
    CHECK(admitted <= 22);
}
