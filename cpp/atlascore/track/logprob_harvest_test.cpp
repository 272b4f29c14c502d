#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/logprob_harvest.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr double start = 1.9e9, hour = 3600, day = 86400;
constexpr std::uint64_t owner = 0x1234567890ABCDEF;

std::uint64_t hash(std::uint64_t i) {
    return base::hash64(&i, sizeof i, 11);
}

struct Harvest : LogprobHarvest {
    Harvest() : LogprobHarvest{} {}
    void call(std::uint64_t prompt, std::uint64_t tokens, double now) {
        add_call(hash(prompt), hash(tokens), owner, now);
    }
};

}  // namespace

TEST_CASE("calls on one prompt count when their tokens differ") {
    Harvest harvest;
    CHECK(harvest.empty());
    for (std::uint64_t i = 0; i < 300; ++i) {
        harvest.call(1, i, start + static_cast<double>(i));
        harvest.call(1, i, start + static_cast<double>(i));
    }
    // A hash of ten bits takes a few sets for the one before.
    CHECK(harvest.varied_calls(start + 300) >= 297);
    CHECK(harvest.varied_calls(start + 300) <= 300);
    CHECK_FALSE(harvest.empty());
}

TEST_CASE("the window is 16 to 24 h, and counts end somewhere") {
    const double begin = std::floor(start / day) * day;
    Harvest harvest;
    for (std::uint64_t i = 0; i < 100; ++i) harvest.call(1, i, begin);
    const double before = harvest.varied_calls(begin);
    CHECK(harvest.varied_calls(begin + 23.9 * hour) == before);
    CHECK(harvest.varied_calls(begin + 24 * hour) == 0);
    harvest.call(1, 1000, begin + 25 * hour);
    CHECK(harvest.varied_calls(begin + 25 * hour) == 1);
    // Late by a bucket or two: where it belongs.
    harvest.call(1, 1001, begin + 10 * hour);
    CHECK(harvest.varied_calls(begin + 25 * hour) == 2);
    CHECK(harvest.varied_calls(begin + 33 * hour) == 1);
    for (std::uint64_t i = 0; i < 2000; ++i) harvest.call(1, i, begin + 40 * hour);
    CHECK(harvest.varied_calls(begin + 40 * hour) == 511 + 1);
}

TEST_CASE("a prompt asked between others is found all the same") {
    for (const std::uint64_t others : {1u, 4u, 10u}) {
        int found = 0;
        for (std::uint64_t trial = 0; trial < 50; ++trial) {
            Harvest harvest;
            double now = start;
            for (std::uint64_t i = 0; i < 60; ++i) {
                harvest.call(trial, i, now += 1);
                for (std::uint64_t k = 0; k < others; ++k)
                    harvest.call(1000 + 997 * trial + 13 * i + k, i, now);
            }
            found += harvest.varied_calls(now) >= 50;
        }
        INFO(others, " others");
        CHECK(found >= 45);
    }
}

TEST_CASE("a prompt after another in its cell is counted from the 15th call at the latest") {
    for (std::uint64_t other = 0; other < 40; ++other) {
        Harvest harvest;
        for (std::uint64_t i = 0; i < 100; ++i) harvest.call(1000 + other, i, start);
        for (std::uint64_t i = 0; i < 200; ++i) harvest.call(1, i, start);
        CHECK(harvest.varied_calls(start) >= 200 - 14 - 3);
    }
}

TEST_CASE("ever new prompts with one set, or two, count as next to nothing") {
    Harvest harvest;
    double highest = 0;
    for (std::uint64_t i = 0; i < 200'000; ++i) {
        harvest.call(i, i % 2, start + 0.1 * static_cast<double>(i));
        highest = std::max(highest, harvest.varied_calls(start + 0.1 * static_cast<double>(i)));
    }
    CHECK(highest <= 4);
}

TEST_CASE("distinct tokens of two days") {
    const double begin = std::floor(start / day) * day;
    Harvest harvest;
    CHECK(harvest.distinct_tokens(owner, begin) == 0);
    for (std::uint64_t i = 0; i < 1000; ++i) harvest.add_token(hash(i), owner, begin + hour);
    const double first = harvest.distinct_tokens(owner, begin + hour);
    CHECK(first == doctest::Approx(1000).epsilon(0.3));
    CHECK(harvest.value(owner, begin + hour) == doctest::Approx(first / 20));
    // The day after they leave step by step, and of the day after that nothing is known of them.
    CHECK(harvest.distinct_tokens(owner, begin + day) == doctest::Approx(first));
    CHECK(harvest.distinct_tokens(owner, begin + 1.25 * day) == doctest::Approx(0.75 * first));
    CHECK(harvest.distinct_tokens(owner, begin + 2 * day) == 0);
    for (std::uint64_t i = 0; i < 1000; ++i) harvest.add_token(hash(i), owner, begin + 1.5 * day);
    CHECK(harvest.distinct_tokens(owner, begin + 1.5 * day) == doctest::Approx(first));
    harvest.add_token(hash(1), owner, begin + 2.5 * day);
    const double last = harvest.distinct_tokens(owner, begin + 2.5 * day);
    CHECK(last < 0.6 * first);
    // Two days late: dropped.
    for (std::uint64_t i = 0; i < 1000; ++i) harvest.add_token(hash(i), owner, begin + 0.5 * day);
    CHECK(harvest.distinct_tokens(owner, begin + 2.5 * day) == last);
}

TEST_CASE("many tokens are still estimated") {
    Harvest harvest;
    for (std::uint64_t i = 0; i < 50'000; ++i) harvest.add_token(hash(i), owner, start);
    CHECK(harvest.distinct_tokens(owner, start) == doctest::Approx(50'000).epsilon(0.35));
}

TEST_CASE("a slab that is used again starts empty, whatever the former owner's writers do") {
    Harvest harvest;
    for (std::uint64_t i = 0; i < 100; ++i) {
        harvest.call(1, i, start);
        harvest.add_token(hash(i), owner, start);
    }
    harvest.reset();
    CHECK(harvest.empty());
    CHECK(harvest.varied_calls(start) == 0);
    CHECK(harvest.distinct_tokens(owner + 1, start) == 0);
    for (std::uint64_t i = 0; i < 100; ++i) harvest.add_token(hash(i), owner, start);
    CHECK(harvest.distinct_tokens(owner + 1, start) == 0);
    harvest.add_token(hash(1), owner + 1, start);
    CHECK(harvest.distinct_tokens(owner + 1, start) == doctest::Approx(1).epsilon(0.1));
}

TEST_CASE("a writer killed while it empties a half costs nothing but that") {
    Harvest harvest;
    harvest.add_token(hash(1), owner, start);
    const std::size_t half = static_cast<std::size_t>(start / day) & 1;
    harvest.biased.days[half] |= 1;
    CHECK(harvest.distinct_tokens(owner, start) == 0);
    harvest.add_token(hash(2), owner, start);
    CHECK(harvest.distinct_tokens(owner, start) == doctest::Approx(1).epsilon(0.1));
}

TEST_CASE("threads together never count more than was sent") {
    const auto harvest = std::make_unique<Harvest>();
    constexpr std::uint64_t each = 20'000, prompts = 40, tokens = 300;
    std::atomic<bool> stop{false};
    std::atomic<int> excess{0};
    std::thread reader([&] {
        while (!stop.load()) {
            const LogprobHarvest seen = harvest->copy();
            excess += seen.varied_calls(start + day) > 3 * 511;
            excess += seen.distinct_tokens(owner, start + day) > 2 * tokens;
        }
    });
    std::vector<std::thread> writers;
    for (std::uint64_t t = 0; t < 4; ++t) {
        writers.emplace_back([&, t] {
            for (std::uint64_t i = 0; i < each; ++i) {
                const double now = start + 3 * day * static_cast<double>(i) / each;
                harvest->call((7 * i + t) % prompts, i, now);
                harvest->add_token(hash(i % tokens), owner, now);
            }
        });
    }
    for (std::thread& writer : writers) writer.join();
    stop = true;
    reader.join();
    CHECK(excess == 0);
    CHECK(harvest->distinct_tokens(owner, start + 3 * day) > tokens / 2.0);
    CHECK(harvest->distinct_tokens(owner, start + 3 * day) < tokens * 1.5);
    CHECK(harvest->varied_calls(start + 3 * day) > 0);
}
