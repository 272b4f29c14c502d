#include "atlascore/track/principal_clusters.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"

namespace {

using namespace atlascore;
using track::PrincipalClusters;

constexpr double day = 86'400, start = 20'000 * day;

struct Table {
    explicit Table(std::uint64_t capacity = 1000)
        : words(PrincipalClusters::words_for(capacity)), clusters(words) {}
    std::vector<std::uint64_t> words;
    PrincipalClusters clusters;
};

std::uint64_t person(std::uint64_t i) {
    return base::mix64(i, 77) | 1;
}

}  // namespace

TEST_CASE("who is not linked is in no cluster") {
    Table t;
    CHECK(t.clusters.find(person(1), start) == 0);
    t.clusters.link(person(1), person(2), 0, start);
    CHECK(t.clusters.find(person(3), start) == 0);
}

TEST_CASE("links join: two, a third to one of them, and two clusters") {
    Table t;
    const std::uint64_t first = t.clusters.link(person(1), person(2), 0, start);
    CHECK(first != 0);
    CHECK(t.clusters.find(person(1), start) == first);
    CHECK(t.clusters.find(person(2), start) == first);
    CHECK(t.clusters.link(person(3), person(1), 0, start) == first);
    const std::uint64_t second = t.clusters.link(person(4), person(5), 0, start);
    t.clusters.link(person(6), person(5), 0, start);
    CHECK(second != first);
    SUBCASE("the one that is preferred stays") {
        CHECK(t.clusters.link(person(3), person(6), second, start) == second);
        for (std::uint64_t i = 1; i <= 6; ++i) CHECK(t.clusters.find(person(i), start) == second);
    }
    SUBCASE("else that of the other") {
        CHECK(t.clusters.link(person(3), person(6), 0, start) == second);
        for (std::uint64_t i = 1; i <= 6; ++i) CHECK(t.clusters.find(person(i), start) == second);
    }
}

TEST_CASE("a membership ends seven days after the last match") {
    Table t;
    const std::uint64_t cluster = t.clusters.link(person(1), person(2), 0, start);
    CHECK(t.clusters.find(person(1), start + 6 * day) == cluster);
    CHECK(t.clusters.find(person(1), start + 7 * day) == 0);
    t.clusters.link(person(1), person(2), 0, start + 6 * day);
    CHECK(t.clusters.find(person(1), start + 12 * day) == cluster);
    // A query from before the match is no reason to forget it.
    CHECK(t.clusters.find(person(1), start) == cluster);
}

TEST_CASE("chains of clusters come to an end") {
    Table t;
    for (std::uint64_t i = 0; i < 100; ++i) t.clusters.link(person(2 * i), person(2 * i + 1), 0, start);
    for (std::uint64_t i = 1; i < 100; ++i) t.clusters.link(person(2 * i - 1), person(2 * i), 0, start);
    const std::uint64_t last = t.clusters.find(person(199), start);
    CHECK(t.clusters.find(person(198), start) == last);
    CHECK(t.clusters.find(person(190), start) == last);
}

TEST_CASE("when a set is full the one without a match for longest goes") {
    Table t;
    const auto time = [](std::uint64_t i) { return start + static_cast<double>(i) * day / 1000; };
    for (std::uint64_t i = 0; i < 5000; ++i) t.clusters.link(person(2 * i), person(2 * i + 1), 0, time(i));
    int late = 0;
    for (std::uint64_t i = 4900; i < 5000; ++i) late += t.clusters.find(person(2 * i), time(5000)) != 0;
    CHECK(late > 70);
}

TEST_CASE("a claim that a killed process left behind is taken over") {
    Table t;
    for (std::size_t i = 0; i < t.words.size(); i += 2) t.words[i] = 1;
    const std::uint64_t cluster = t.clusters.link(person(1), person(2), 0, start);
    CHECK(t.clusters.find(person(1), start) == cluster);
}

TEST_CASE("threads that link at once agree afterwards, or after the next match") {
    Table t(1'000'000);
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] {
            for (std::uint64_t i = 0; i < 2000; ++i)
                t.clusters.link(person(4 * i + n), person(4 * i + (n + 1) % 4), 0, start);
        });
    }
    for (std::thread& thread : threads) thread.join();
    const auto apart = [&](std::uint64_t i) {
        const std::uint64_t cluster = t.clusters.find(person(4 * i), start);
        return cluster == 0 || cluster != t.clusters.find(person(4 * i + 1), start);
    };
    int split = 0, still = 0;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        if (!apart(i)) continue;
        ++split;
        t.clusters.link(person(4 * i), person(4 * i + 1), 0, start);
        still += apart(i);
    }
    CHECK(split < 200);
    CHECK(still == 0);
}
