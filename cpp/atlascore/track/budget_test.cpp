#include "atlascore/track/budget.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

using namespace atlascore::track;

namespace {

constexpr double start = 1.9e9, day = 86400;

}  // namespace

TEST_CASE("the sum halves in 30 days, and zero memory is nothing spent") {
    std::uint64_t word = 0;
    CHECK(budget_spent(word, start) == 0);
    CHECK(spend_budget(word, start, 100));
    CHECK(budget_spent(word, start) == 100);
    CHECK(budget_spent(word, start + 30 * day) == doctest::Approx(50));
    CHECK(budget_spent(word, start - day) == 100);
    CHECK(spend_budget(word, start + 30 * day, 10));
    CHECK(budget_spent(word, start + 60 * day) == doctest::Approx(30));
    CHECK(spend_budget(word, start, 1));  // late: time does not run backwards
    CHECK(budget_spent(word, start + 30 * day) == doctest::Approx(61));
}

TEST_CASE("single queries add up, however many") {
    std::uint64_t word = 0;
    std::mt19937 random(1);
    double expected = 0, now = start;
    for (int i = 0; i < 1'000'000; ++i) {
        const double step = static_cast<double>(random() % 8);
        now += step;
        expected = expected * std::exp2(-step / (30 * day)) + 1;
        spend_budget(word, now, 1);
    }
    CHECK(budget_spent(word, now) == doctest::Approx(expected).epsilon(1e-3));
}

TEST_CASE("threads lose nothing but under contention, and make nothing up") {
    std::uint64_t word = 0;
    std::vector<std::thread> threads;
    std::atomic<int> lost{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20'000; ++i) lost += !spend_budget(word, start, 1);
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(budget_spent(word, start) == 80'000 - lost);
}
