#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/evidence/census.hpp"

using namespace atlascore::evidence;

namespace {

Observations one(Component id, bool hit) {
    Observations seen;
    seen.add(id, hit);
    return seen;
}

const Census::Count& count_of(const Census::Counts& counts, Component id) {
    return counts[static_cast<std::size_t>(id)];
}

}  // namespace

TEST_CASE("the beginning is a quarter to a half of what was observed, in order") {
    std::mt19937 random{5};
    Census census;
    std::vector<bool> all;
    for (std::uint32_t n = 1; n <= 5'000; ++n) {
        all.push_back(random() % 3 == 0);
        census.add(1, 2, one(Component::flip, all.back()));
        const Census::Counts counts = census.of(1, 2);
        const Census::Count& count = count_of(counts, Component::flip);
        REQUIRE(count.made == n);
        REQUIRE(count.hits == std::count(all.begin(), all.end(), true));
        REQUIRE(2 * count.first_made <= n);
        REQUIRE((n == 1 || 4 * count.first_made > n));
        REQUIRE(count.first_hits == std::count(all.begin(), all.begin() + count.first_made, true));
    }
}

TEST_CASE("models, principals and components are counted apart") {
    Census census;
    Observations both = one(Component::halving, true);
    both.add(Component::bias_set, false);
    census.add(1, 2, both);
    census.add(1, 3, one(Component::halving, false));
    census.add(2, 2, one(Component::far, true));
    census.add(7, 7, {});
    CHECK(count_of(census.of(1, 2), Component::halving).hits == 1);
    CHECK(count_of(census.of(1, 2), Component::bias_set).made == 1);
    CHECK(count_of(census.of(1, 2), Component::bias_set).hits == 0);
    CHECK(count_of(census.of(1, 3), Component::halving).made == 1);
    CHECK(count_of(census.of(1, 3), Component::halving).hits == 0);
    CHECK(count_of(census.of(2, 2), Component::halving).made == 0);
    CHECK(count_of(census.of(2, 2), Component::far).hits == 1);
    for (const Census::Count& count : census.of(7, 7)) CHECK(count.made == 0);
}

TEST_CASE("threads count together") {
    Census census;
    {
        std::vector<std::jthread> threads;
        for (std::uint64_t t = 0; t < 4; ++t) {
            threads.emplace_back([&census, t] {
                for (std::uint64_t i = 0; i < 2'000; ++i) {
                    census.add(1, i % 7, one(Component::flip, (i + t) % 4 == 0));
                    census.of(1, i % 7);
                }
            });
        }
    }
    std::uint32_t made = 0, hits = 0;
    for (std::uint64_t principal = 0; principal < 7; ++principal) {
        const Census::Counts counts = census.of(1, principal);
        made += count_of(counts, Component::flip).made;
        hits += count_of(counts, Component::flip).hits;
    }
    CHECK(made == 8'000);
    CHECK(hits == 2'000);
}
