#include "atlascore/track/largest_costs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

using atlascore::track::LargestCosts;

namespace {

constexpr double start = 1'800'000'000, window = 300;

void add_all(LargestCosts& costs, std::initializer_list<double> values, double time) {
    for (const double value : values) CHECK(costs.add(value, time, time, window));
}

}  // namespace

TEST_CASE("fewer than five are missing, then the fifth largest is read") {
    LargestCosts costs{};
    add_all(costs, {40, 1, 30, 20}, start);
    CHECK(std::isnan(costs.fifth(start, window)));
    add_all(costs, {10}, start);
    CHECK(costs.fifth(start, window) == 1);
    add_all(costs, {50, 0.5}, start);
    CHECK(costs.fifth(start, window) == 10);
    costs.reset();
    CHECK(std::isnan(costs.fifth(start, window)));
}

TEST_CASE("what has left the window does not keep newer values out") {
    LargestCosts costs{};
    add_all(costs, {900, 900, 900, 900, 900}, start);
    CHECK(costs.fifth(start + window - 1, window) == 900);
    CHECK(std::isnan(costs.fifth(start + window, window)));
    for (int i = 0; i < 5; ++i) CHECK(costs.add(12, start + window, start + window, window));
    CHECK(costs.fifth(start + window, window) == 12);
}

TEST_CASE("of equal values the newer stays") {
    LargestCosts costs{};
    for (int i = 0; i < 100; ++i) CHECK(costs.add(20, start + 10 * i, start + 10 * i, window));
    CHECK(costs.fifth(start + 990 + window - 50, window) == 20);
    CHECK(std::isnan(costs.fifth(start + 990 + window, window)));
}

TEST_CASE("what comes too late pushes nothing out") {
    LargestCosts costs{};
    add_all(costs, {11, 12, 13, 14, 15}, start + 2 * window);
    CHECK(costs.add(1'000, start, start + 2 * window, window));
    CHECK(costs.fifth(start + 2 * window, window) == 11);
    // In the window, though out of order.
    CHECK(costs.add(1'000, start + window + 1, start + 2 * window, window));
    CHECK(costs.fifth(start + 2 * window, window) == 12);
}

TEST_CASE("values of any size fit") {
    LargestCosts costs{};
    add_all(costs, {1e300, 1e300, 1e300, 1e300, 1e300}, start);
    CHECK(costs.fifth(start, window) == std::numeric_limits<float>::max());
}

// Against all values of the window: never more, and there the first time that a threshold is reached.
TEST_CASE("a threshold is reached when five of the window reach it") {
    constexpr double threshold = 10;
    std::mt19937_64 random(3);
    std::lognormal_distribution<double> draw(1, 1.2);
    int crossings = 0;
    for (int run = 0; run < 300; ++run) {
        LargestCosts costs{};
        std::vector<std::pair<double, double>> all;
        double now = start;
        bool reached = false;
        for (int i = 0; i < 200 && !reached; ++i) {
            now += static_cast<double>(random() % 60);
            const double value = draw(random);
            all.emplace_back(value, now);
            CHECK(costs.add(value, now, now, window));
            std::vector<double> inside;
            for (const auto& [v, t] : all) {
                if (now - t < window) inside.push_back(v);
            }
            std::sort(inside.rbegin(), inside.rend());
            const double fifth = costs.fifth(now, window);
            if (inside.size() < 5) {
                CHECK(std::isnan(fifth));
                continue;
            }
            CHECK(!(fifth > inside[4] * (1 + 1e-6)));
            reached = inside[4] >= threshold;
            CHECK((fifth >= threshold) == reached);
        }
        crossings += reached;
    }
    CHECK(crossings > 30);
}

TEST_CASE("writers at once leave values that were added") {
    LargestCosts costs{};
    constexpr int writers = 4, each = 20'000;
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers; ++writer) {
        threads.emplace_back([&costs, writer] {
            for (int i = 0; i < each; ++i) {
                costs.add(1 + i * writers + writer, start + i / 1000, start + i / 1000, window);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    constexpr int most = each * writers;
    for (const std::uint64_t word : costs.words) {
        float value;
        std::memcpy(&value, &word, sizeof value);
        const int number = static_cast<int>(value) - 1;
        REQUIRE((number >= 0 && number < most));
        CHECK(static_cast<double>(word >> 32) == start + number / writers / 1000);
    }
    // Each writer's last values are among the largest; contention may have lost a few.
    CHECK(costs.fifth(start + each / 1000, window) > most / 2);
}
