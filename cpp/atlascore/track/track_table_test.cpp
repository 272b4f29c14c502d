#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/track_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr std::array<double, 2> horizons{10, 300};

std::uint64_t tag(std::uint64_t i) {
    return KeyTable::tag_of(base::hash64(&i, sizeof i, 42));
}

// In these tests the first word is the evidence.
constexpr EvidenceForm form{nullptr, nullptr, [](const std::uint64_t* words, double) noexcept {
                                return static_cast<double>(words[0]);
                            }};

struct Tracks {
    base::Region region;
    TrackTable table;
    Tracks(std::uint64_t capacity, std::uint32_t hot, const std::string& state = "")
        : region({state, TrackTable::section_bytes(capacity, hot), 0, "", 1}),
          table(region, 0, capacity, hot, horizons, form) {}
    std::uint64_t counter(base::Counter c) const { return region.counters()[static_cast<std::size_t>(c)]; }
    std::array<std::uint64_t, 3> demotions() const {
        return {counter(base::Counter::demotions_hot), counter(base::Counter::demotions_suspect),
                counter(base::Counter::demotions_standing)};
    }
    // A track with this against it that was asked for now and wants into the main part.
    TrackTable::Track make(std::uint64_t i, Keep worth, std::uint64_t evidence, double now,
                           bool urgent = true) {
        auto track = table.open(tag(i), now);
        table.warm(track, now, false);
        if (HotTrack* hot = table.hot(track.hot)) hot->evidence[0] = evidence;
        if (worth != Keep::cold) table.keep(track, worth);
        table.promote(track, now, urgent);
        table.touch(track);
        return track;
    }
    std::size_t in_main(std::uint64_t first, std::uint64_t last) const {
        std::size_t count = 0;
        for (std::uint64_t i = first; i < last; ++i) {
            const auto track = table.look(tag(i), 1e9);
            count += track && table.promoted(*track);
        }
        return count;
    }
};

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
        tracks.table.keep(track, Keep::suspect);
        tracks.table.promote(track, 1e9, true);
    }
    for (std::uint64_t i = 100; i < 400; ++i) {
        auto track = tracks.table.open(tag(i), 1e9 + 1e5);
        tracks.table.promote(track, 1e9 + 1e5, false);
        CHECK_FALSE(tracks.table.promoted(track));
    }
}

TEST_CASE("a flood of newcomers recycles probation only, however the main part lies") {
    for (const std::uint64_t first : {0, 30, 95}) {  // slabs in use before
        Tracks tracks(100'000, 400);
        const auto ask = [&](std::uint64_t i) {
            auto track = tracks.table.open(tag(i), 1e9);
            tracks.table.warm(track, 1e9, false);
            return track;
        };
        for (std::uint64_t i = 0; i < first; ++i) ask(900'000 + i);
        std::vector<TrackTable::Track> mains;
        for (std::uint64_t i = 0; mains.size() < 290; ++i) {
            auto track = ask(i);
            tracks.table.keep(track, static_cast<Keep>(1 + i % 3));
            tracks.table.promote(track, 1e9, false);
            if (tracks.table.promoted(track)) mains.push_back(track);
        }
        for (std::uint64_t i = 0; i < 40'000; ++i) CHECK(ask(100'000 + i).hot);
        for (const auto& track : mains) {
            CHECK(tracks.table.hot(track.hot) != nullptr);
            CHECK(tracks.table.promoted(track));
        }
        CHECK(tracks.demotions() == std::array<std::uint64_t, 3>{0, 0, 0});
    }
}

TEST_CASE("on probation a track lasts for as many newcomers as a quarter of the pool") {
    Tracks tracks(100'000, 400);
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.promote(track, 1e9, false);
    }
    CHECK(tracks.in_main(0, 1'000) == 300);
    for (std::uint64_t i = 2'000; i < 4'000; ++i) {
        auto track = tracks.table.open(tag(i), 1e9);
        tracks.table.warm(track, 1e9, false);
        // give or take a group's turn
        if (i >= 2'090) CHECK(tracks.table.look(tag(i - 90), 1e9)->hot);
        if (i >= 2'110) CHECK_FALSE(tracks.table.look(tag(i - 110), 1e9)->hot);
    }
}

TEST_CASE("class 3 above a quarter gives way to whoever comes, the lowest evidence first") {
    Tracks tracks(10'000, 64);
    for (std::uint64_t i = 0; i < 48; ++i) tracks.make(i, i < 30 ? Keep::standing : Keep::hot, 100 + i, 1e9);
    CHECK(tracks.in_main(0, 48) == 48);
    // Ordinary tracks that can wait, then one under suspicion: until a quarter is left.
    for (std::uint64_t i = 100; i < 114; ++i) {
        tracks.make(i, i % 2 == 0 ? Keep::hot : Keep::suspect, 1, 1e9 + 1, false);
        CHECK(tracks.in_main(i, i + 1) == 1);
        CHECK(tracks.in_main(0, i - 99) == 0);
    }
    CHECK(tracks.in_main(14, 48) == 34);
    CHECK(tracks.demotions() == std::array<std::uint64_t, 3>{0, 0, 14});
    tracks.make(200, Keep::hot, 1, 1e9 + 2, false);  // now it has to wait: everybody is busy
    CHECK(tracks.in_main(200, 201) == 0);
    CHECK(tracks.in_main(14, 30) == 16);
}

TEST_CASE("of class 3 who has less evidence than those in the main part stays out") {
    Tracks tracks(10'000, 64);
    for (std::uint64_t i = 0; i < 48; ++i) tracks.make(i, i < 16 ? Keep::standing : Keep::hot, 100 + i, 1e9);
    tracks.make(100, Keep::standing, 99, 1e9);
    CHECK(tracks.in_main(100, 101) == 0);
    tracks.make(101, Keep::standing, 200, 1e9);
    CHECK(tracks.in_main(101, 102) == 1);
    CHECK(tracks.in_main(0, 1) == 0);
    CHECK(tracks.in_main(1, 48) == 47);
}

TEST_CASE("accounts by the thousand, each with a standing decision, push out neither suspects nor the busy") {
    Tracks tracks(100'000, 400);
    const auto busy = [&](double now) {
        for (std::uint64_t i = 100; i < 300; ++i) {
            auto track = tracks.table.open(tag(i), now);
            if (!tracks.table.promoted(track)) tracks.table.promote(track, now, false);
            tracks.table.touch(track);
        }
    };
    for (std::uint64_t i = 0; i < 100; ++i) tracks.make(i, Keep::suspect, 20, 1e9);
    for (int round = 0; round < 5; ++round) busy(1e9 + round);
    CHECK(tracks.in_main(0, 300) == 300);
    const auto flood = [&](std::uint64_t first, std::uint64_t last, double now) {
        for (std::uint64_t i = first; i < last; ++i) {
            auto track = tracks.make(i, Keep::cold, 1'000'000, now);
            tracks.table.keep(track, Keep::standing);
            if (i % 100 == 0) busy(now);
        }
    };
    flood(10'000, 20'000, 1e9 + 10);
    CHECK(tracks.in_main(0, 100) == 100);
    CHECK(tracks.in_main(100, 300) >= 85);  // of 200 a class 3 at its quarter leaves 100
    CHECK(tracks.in_main(10'000, 20'000) <= 115);
    // All of them suspects first, so that they fill the main part, and standing only then.
    Tracks other(100'000, 400);
    std::vector<TrackTable::Track> attackers;
    for (std::uint64_t i = 0; i < 300; ++i) attackers.push_back(other.make(i, Keep::suspect, i, 1e9));
    for (const auto& track : attackers) other.table.keep(track, Keep::standing);
    for (std::uint64_t i = 1'000; i < 1'200; ++i) other.make(i, Keep::hot, 0, 1e9, false);
    CHECK(other.in_main(1'000, 1'200) >= 190);
    CHECK(other.in_main(0, 300) <= 110);
    CHECK(other.in_main(200, 300) >= 85);  // those with the highest evidence
}

TEST_CASE("the slab of a track that is gone is the first to leave the main part") {
    Tracks tracks(28, 64);
    for (std::uint64_t i = 0; i < 48; ++i) tracks.make(i, Keep::hot, 50, 1e9);
    const auto gone = [&] {
        int count = 0;
        for (std::uint64_t i = 0; i < 48; ++i) count += !tracks.table.look(tag(i), 1e9);
        return count;
    };
    for (std::uint64_t i = 100; gone() < 24; ++i) {  // until the table has thrown out half of them
        tracks.table.keep(tracks.table.open(tag(i), 1e9), Keep::suspect);
    }
    for (std::uint64_t i = 1'000; i < 1'016; ++i) {
        tracks.make(i, Keep::suspect, 50, 1e9);
        CHECK(tracks.in_main(i, i + 1) == 1);
    }
    CHECK(tracks.demotions() == std::array<std::uint64_t, 3>{0, 0, 0});
}

TEST_CASE("slabs that a killed process left claimed are taken over, on probation and in the main part") {
    const std::string state = "shm:atlascore-pool-" + std::to_string(::getpid());
    {
        Tracks tracks(10'000, 64, state);
        constexpr std::uint64_t of_the_dead = 0xFFFF'0009'0000'0001;
        const auto claim = [&](const TrackTable::Track& track) {
            auto* infos = reinterpret_cast<std::uint64_t*>(tracks.region.section(2) + 64);
            infos[track.hot.slab * 4] = of_the_dead;
        };
        REQUIRE(base::Region::is_claim(of_the_dead));
        REQUIRE_FALSE(tracks.region.claim_alive(of_the_dead));
        for (std::uint64_t i = 0; i < 48; ++i) {
            const auto track = tracks.make(i, Keep::suspect, 50, 1e9);
            if (i < 8) claim(track);
        }
        for (std::uint64_t i = 100; i < 116; ++i) {
            auto track = tracks.table.open(tag(i), 1e9);
            tracks.table.warm(track, 1e9, false);
            claim(track);
        }
        for (std::uint64_t i = 200; i < 216; ++i) {
            auto track = tracks.table.open(tag(i), 1e9);
            tracks.table.warm(track, 1e9, false);
            CHECK(track.hot);
        }
        CHECK(tracks.counter(base::Counter::claims_recovered) == 16);
        for (std::uint64_t i = 300; i < 308; ++i) tracks.make(i, Keep::suspect, 50, 1e9);
        CHECK(tracks.in_main(0, 8) == 0);
        CHECK(tracks.in_main(8, 48) == 40);
        CHECK(tracks.in_main(300, 308) == 8);
        CHECK(tracks.demotions() == std::array<std::uint64_t, 3>{0, 0, 0});
        for (std::uint64_t i = 400; i < 432; ++i) {
            auto track = tracks.table.open(tag(i), 1e9);
            tracks.table.warm(track, 1e9, false);
        }
        CHECK(tracks.table.hot_census().claimed == 0);
        CHECK(tracks.counter(base::Counter::claims_recovered) == 24);
    }
    CHECK(base::Region::unlink(state));
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

TEST_CASE("what a slab notes of a baseline is its track's, and gone with it") {
    Tracks tracks(10'000, 64);
    auto first = tracks.table.open(tag(1), 1e9);
    tracks.table.warm(first, 1e9, false);
    CHECK(tracks.table.baseline_note(first.hot).word() == 0);
    const BaselineNote note{277'777, 12, 4'097};
    CHECK(tracks.table.set_baseline_note(first.hot, {}, note));
    CHECK_FALSE(tracks.table.set_baseline_note(first.hot, {}, note));  // it is no longer what it was
    CHECK(tracks.table.baseline_note(first.hot).value() == 2);
    CHECK(tracks.table.baseline_note({}).word() == 0);
    bool clean = true;
    for (std::uint64_t i = 2; i < 2'000; ++i) {
        auto track = tracks.table.open(tag(i), 1e9 + static_cast<double>(i));
        tracks.table.warm(track, 1e9 + static_cast<double>(i), false);
        clean &= tracks.table.baseline_note(track.hot).word() == 0;
    }
    CHECK(clean);
    CHECK(tracks.table.hot(first.hot) == nullptr);
    CHECK(tracks.table.baseline_note(first.hot).word() == 0);
    CHECK_FALSE(tracks.table.set_baseline_note(first.hot, note, {}));
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
