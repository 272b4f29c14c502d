#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/limit_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

struct Limits {
    base::Region region{{"", LimitTable::section_bytes(1'000), 0, "", 1}};
    LimitTable table{region, 0, 1'000};
};

constexpr std::uint64_t tag = 12345;

}  // namespace

TEST_CASE("no window admits more than the maximum, at any time") {
    Limits limits;
    const WindowShape shape = LimitTable::shape(60);
    std::mt19937_64 random(3);
    std::exponential_distribution<double> gap(5.0);
    std::deque<double> admitted;
    double now = 1e9;
    std::size_t most = 0;
    for (int i = 0; i < 20'000; ++i) {
        now += gap(random);
        if (limits.table.reserve(tag, shape, now, 1, 100).admitted) admitted.push_back(now);
        while (!admitted.empty() && admitted.front() <= now - 60) admitted.pop_front();
        most = std::max(most, admitted.size());
    }
    CHECK(most == 100);
}

TEST_CASE("a refusal says when there is room again") {
    Limits limits;
    const WindowShape shape = LimitTable::shape(62);
    for (int i = 0; i < 10; ++i) CHECK(limits.table.reserve(tag, shape, 1e6 + i, 1, 10).admitted);
    const auto refused = limits.table.reserve(tag, shape, 1e6 + 10, 1, 10);
    CHECK_FALSE(refused.admitted);
    CHECK(refused.retry_after > 50);
    CHECK(refused.retry_after <= 64);
    CHECK_FALSE(limits.table.reserve(tag, shape, 1e6 + 10 + refused.retry_after - 2.1, 1, 10).admitted);
    CHECK(limits.table.reserve(tag, shape, 1e6 + 10 + refused.retry_after, 1, 10).admitted);
}

TEST_CASE("what is taken back can be used again") {
    Limits limits;
    const WindowShape shape = LimitTable::shape(60);
    CHECK(limits.table.reserve(tag, shape, 1e6, 10, 10).admitted);
    CHECK_FALSE(limits.table.reserve(tag, shape, 1e6, 1, 10).admitted);
    limits.table.take_back(tag, shape, 1e6, 4);
    CHECK(limits.table.reserve(tag, shape, 1e6, 4, 10).admitted);
}

TEST_CASE("threads together get exactly the maximum") {
    Limits limits;
    const WindowShape shape = LimitTable::shape(3600);
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5'000; ++i)
                admitted += limits.table.reserve(tag, shape, 1e9, 1, 1'000).admitted;
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(admitted == 1'000);
}

TEST_CASE("two who meet at the edge of a bucket are never both admitted beyond the maximum") {
    Limits limits;
    const WindowShape shape = LimitTable::shape(60);
    const double edge = std::ceil(1e9 * shape.per_width) / shape.per_width;
    std::atomic<int> arrived{0};
    std::array<std::vector<bool>, 2> admitted;
    constexpr int trials = 20'000;
    const auto work = [&](int side) {
        for (int trial = 0; trial < trials; ++trial) {
            const auto key = KeyTable::tag_of(base::mix64(7, static_cast<std::uint64_t>(trial)));
            arrived.fetch_add(1);
            while (arrived.load() < 2 * (trial + 1)) std::this_thread::yield();
            const double now = side == 0 ? edge - 0.05 : edge + 0.05;
            admitted[static_cast<std::size_t>(side)].push_back(
                limits.table.reserve(key, shape, now, 1, 1).admitted);
        }
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    int both = 0;
    for (std::size_t trial = 0; trial < trials; ++trial) both += admitted[0][trial] && admitted[1][trial];
    CHECK(both == 0);
}
