// Threads and processes on one pool of hot slabs, with processes killed at random.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/track_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr std::array<double, 2> horizons{10, 300};
constexpr double start = 1e9;
constexpr std::uint64_t capacity = 20'000, crowd = 5'000;
constexpr std::uint32_t slabs = 164;  // two groups and a part of one

constexpr EvidenceForm form{nullptr, nullptr, [](const std::uint64_t* words, double) noexcept {
                                return static_cast<double>(words[0]);
                            }};

struct Tracks {
    base::Region region;
    TrackTable table;
    explicit Tracks(const std::string& state = "")
        : region({state, TrackTable::section_bytes(capacity, slabs), 0, "", 1}),
          table(region, 0, capacity, slabs, horizons, form) {}
    std::uint64_t counter(base::Counter c) const { return region.counters()[static_cast<std::size_t>(c)]; }
};

std::uint64_t tag(std::uint64_t i) {
    return KeyTable::tag_of(base::hash64(&i, sizeof i, 42));
}

// What a query may do to the pool.
void ask(TrackTable& table, std::mt19937_64& random, std::uint64_t who, double now) {
    auto track = table.open(tag(who), now);
    table.warm(track, now, false);
    if (HotTrack* hot = table.hot(track.hot)) {
        std::atomic_ref(hot->evidence[0]).store(random() % 100, std::memory_order_relaxed);
    }
    const std::uint64_t what = random() % 16;
    if (what < 6) table.promote(track, now, what < 2);
    if (what < 3) table.keep(track, static_cast<Keep>(1 + what));
    table.touch(track);
}

// No slab has two tracks, and the main part is no larger than it may be.
void check_whole(const Tracks& tracks) {
    std::set<std::uint32_t> seen;
    std::size_t linked = 0, in_main = 0;
    for (std::uint64_t i = 0; i < crowd; ++i) {
        const auto track = tracks.table.look(tag(i), start);
        if (!track || !track->hot) continue;
        ++linked;
        in_main += tracks.table.promoted(*track);
        seen.insert(track->hot.slab);
    }
    CHECK(seen.size() == linked);
    CHECK(linked <= slabs);
    CHECK(in_main <= slabs - slabs / 4);
    CHECK(tracks.table.hot_census().probation <= slabs);
}

}  // namespace

TEST_CASE("threads: a pool whose slabs change hands all the time stays whole") {
    Tracks tracks;
    std::vector<std::thread> workers;
    for (int t = 0; t < 4; ++t) {
        workers.emplace_back([&tracks, t] {
            std::mt19937_64 random(static_cast<std::uint64_t>(t));
            for (int i = 0; i < 30'000; ++i) ask(tracks.table, random, random() % crowd, start + i * 0.01);
        });
    }
    for (auto& worker : workers) worker.join();
    check_whole(tracks);
    const auto census = tracks.table.hot_census();
    CHECK(census.claimed == 0);
    CHECK(census.probation >= slabs / 4 - 3);  // a slab may be free, where two gave one track a slab
    CHECK(tracks.counter(base::Counter::demotions_standing) > 0);
}

TEST_CASE("threads: a flood leaves the main part alone") {
    Tracks tracks;
    std::vector<TrackTable::Track> mains;
    for (std::uint64_t i = 0; i < 123; ++i) {
        auto track = tracks.table.open(tag(i), start);
        tracks.table.promote(track, start, false);
        REQUIRE(tracks.table.promoted(track));
        mains.push_back(track);
    }
    std::vector<std::thread> workers;
    for (std::uint64_t t = 1; t <= 4; ++t) {
        workers.emplace_back([&tracks, t] {
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                auto track = tracks.table.open(tag(t * 100'000 + i), start);
                tracks.table.warm(track, start, false);
            }
        });
    }
    for (auto& worker : workers) worker.join();
    for (const auto& track : mains) CHECK(tracks.table.promoted(track));
    for (const auto& track : mains) CHECK(tracks.table.hot(track.hot) != nullptr);
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("processes: random kills leave a pool that is whole and serves everybody") {
    const std::string state = "shm:atlascore-pool-stress-" + std::to_string(::getpid());
    constexpr int processes = 6;
    {
        Tracks tracks(state);
        std::mt19937_64 random(11);
        for (int round = 0; round < 4; ++round) {
            std::vector<pid_t> children;
            for (int p = 0; p < processes; ++p) {
                const pid_t child = ::fork();
                if (child == 0) {
                    Tracks mine(state);
                    std::mt19937_64 own(static_cast<std::uint64_t>(round * processes + p));
                    for (int i = 0;; ++i) ask(mine.table, own, own() % crowd, start + i * 0.001);
                }
                children.push_back(child);
            }
            for (const pid_t child : children) {
                std::this_thread::sleep_for(std::chrono::microseconds(5'000 + random() % 20'000));
                ::kill(child, SIGKILL);
                ::waitpid(child, nullptr, 0);
            }
            check_whole(tracks);
        }
        // A flood takes over what the dead left claimed on probation; every newcomer gets a slab.
        std::uint64_t without = 0;
        for (std::uint64_t i = 0; i < 4 * slabs; ++i) {
            auto track = tracks.table.open(tag(1'000'000 + i), start + 1e5);
            tracks.table.warm(track, start + 1e5, false);
            without += !track.hot;
        }
        CHECK(without == 0);
        // Suspects take the places of all others, also of what the dead left claimed in the main part.
        for (std::uint64_t i = 0; i < 20 * slabs; ++i) {
            auto track = tracks.table.open(tag(2'000'000 + i), start + 1e5);
            tracks.table.keep(track, Keep::suspect);
            tracks.table.promote(track, start + 1e5, true);
        }
        const auto census = tracks.table.hot_census();
        CHECK(census.claimed == 0);
        CHECK(census.used - census.probation == slabs - slabs / 4);
    }
    CHECK(base::Region::unlink(state));
}
#endif
