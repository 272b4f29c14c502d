#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/twin_counts.hpp"
#include "atlascore/track/twin_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr double start = 1.9e9, hour = 3600;

struct Table {
    explicit Table(std::size_t entries = 4096) : words(entries) {}
    alignas(32) std::vector<std::uint64_t> words;
    TwinTable table{words};
    bool add(std::uint64_t record, std::uint16_t value, double now = start) {
        return table.add({base::mix64(record, 77), value, 0}, now) == TwinTable::Seen::twin;
    }
};

struct Counts : TwinCounts {
    Counts() : TwinCounts{} {}
    void twins(std::uint16_t column, int n, double now = start, bool sensitive = false,
               unsigned sampling = 1) {
        for (int i = 0; i < n; ++i) add({column, 500, sensitive, false, sampling}, now);
    }
    double read(double now = start, int sensitive = -1) const {
        return value(now, [&](std::uint16_t column) { return column == sensitive; });
    }
};

}  // namespace

TEST_CASE("a key has one twin, however many values it gets") {
    Table of;
    CHECK_FALSE(of.add(1, 10));
    CHECK_FALSE(of.add(1, 10));
    CHECK(of.add(1, 11));
    CHECK_FALSE(of.add(1, 12));
    CHECK_FALSE(of.add(1, 10));
    CHECK_FALSE(of.add(2, 11));
    const auto known = of.table.look(base::mix64(1, 77), start);
    REQUIRE(known.has_value());
    CHECK(known->has_twin);
    CHECK(known->value == 10);
}

TEST_CASE("values that are 12 h apart are no twins; the key begins anew with the second") {
    Table of;
    of.add(1, 10, start);
    CHECK_FALSE(of.table.look(base::mix64(1, 77), start + 12 * hour).has_value());
    CHECK_FALSE(of.add(1, 11, start + 12 * hour));
    CHECK(of.add(1, 10, start + 23 * hour));
    CHECK_FALSE(of.add(1, 12, start + 23 * hour));
    CHECK_FALSE(of.add(1, 12, start + 24 * hour));
    CHECK(of.add(1, 13, start + 24 * hour));  // a new half day, a new twin
    CHECK(of.add(2, 1, start) == false);
    CHECK(of.add(2, 2, start - 1));  // late
}

TEST_CASE("the oldest of a set goes first") {
    Table of(4);
    for (std::uint64_t record = 0; record < 4; ++record)
        of.add(record, 1, start + static_cast<double>(record));
    of.add(9, 1, start + 10);
    CHECK(of.add(1, 2, start + 11));
    CHECK_FALSE(of.add(0, 2, start + 12));  // it was replaced, and replaces the next
    CHECK_FALSE(of.add(2, 2, start + 13));
    CHECK_FALSE(of.add(1, 3, start + 14));  // with a twin it is still there
    Table full;
    for (std::uint64_t record = 0; record < 3000; ++record) full.add(record, 1);
    int twins = 0;
    for (std::uint64_t record = 0; record < 3000; ++record) twins += full.add(record, 2);
    CHECK(twins >= 2400);
    CHECK(TwinTable::entries_for(1) == 4096);
    CHECK(TwinTable::entries_for(1'000'000) == 1u << 18);
    CHECK(TwinTable::entries_for(4'000'000) == 1u << 20);
}

TEST_CASE("each twin is counted by one of many threads") {
    Table of;
    std::atomic<int> twins{0};
    std::vector<std::thread> threads;
    for (std::uint16_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::uint64_t record = 0; record < 1000; ++record)
                twins += of.add(record, static_cast<std::uint16_t>(t / 2));
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(twins <= 1000);
    CHECK(twins >= 900);  // an exchange may be lost
}

TEST_CASE("fewer than three twins are missing; zero memory is empty") {
    Counts counts;
    CHECK(counts.empty());
    CHECK(std::isnan(counts.read()));
    counts.twins(4, 2);
    CHECK(std::isnan(counts.read()));
    counts.twins(4, 1);
    CHECK(counts.read() == 3);
    const TwinCounts same = counts.copy();
    CHECK(same.value(start, [](std::uint16_t) { return false; }) == 3);
    counts.reset();
    CHECK(counts.empty());
}

TEST_CASE("twins in other columns count against a column, against a sensitive one by half") {
    Counts counts;
    counts.twins(4, 60);
    counts.twins(5, 20);
    CHECK(counts.read() == 40);
    counts.twins(6, 40);
    CHECK(counts.read() == 0);
    counts.twins(9, 80, start, true);
    CHECK(counts.read(start, 9) == 80 - 120 / 2.0);
}

TEST_CASE("ordinary columns are sampled, sensitive ones are not") {
    Counts counts;
    counts.twins(4, 10, start, false, 4);
    CHECK(counts.read() == 40);
    counts.twins(7, 30, start, true, 4);
    CHECK(counts.read(start, 7) == 40);
    counts.twins(7, 30, start, true, 4);
    CHECK(counts.read(start, 7) == 60 - 20);
}

TEST_CASE("in an ordinary column values must be shared between records") {
    Counts drift, same, sensitive;
    for (std::uint16_t i = 0; i < 200; ++i) {
        drift.add({3, i, false, false, 1}, start);
        same.add({3, static_cast<std::uint16_t>(i % 2), false, false, 1}, start);
        sensitive.add({3, i, true, false, 1}, start);
    }
    CHECK(same.read() == 200);
    CHECK(sensitive.read(start, 3) == 200);
    CHECK((drift.read() == 0 || std::isnan(drift.read())));
}

TEST_CASE("a twin on a walk along another column counts against the others alone") {
    Counts counts;
    counts.twins(3, 30);
    for (int i = 0; i < 20; ++i) counts.add({3, 500, false, true, 1}, start);
    CHECK(counts.read() == 30 - 20);
    for (int i = 0; i < 40; ++i) counts.add({5, 500, true, true, 1}, start);
    CHECK(counts.read(start, 5) == 40 - 50 / 2.0);
}

TEST_CASE("a column whose count has ended does not count against itself") {
    Counts counts;
    counts.twins(3, 5000);
    CHECK(counts.read() == 255);
}

TEST_CASE("counts are of the last 16 to 24 h and end at 255 in 8 h") {
    const double begin = std::floor(start / (24 * hour)) * 24 * hour;
    Counts counts;
    counts.twins(1, 100, begin);
    counts.twins(1, 100, begin + 8 * hour);
    CHECK(counts.read(begin + 8 * hour) == 200);
    CHECK(counts.read(begin + 24 * hour) == 100);
    CHECK(std::isnan(counts.read(begin + 32 * hour)));
    counts.twins(1, 10, begin + 25 * hour);
    counts.twins(1, 10, begin);  // late: with the newest
    CHECK(counts.read(begin + 25 * hour) == 120);
    counts.twins(1, 1000, begin + 25 * hour, true);
    CHECK(counts.read(begin + 25 * hour, 1) == 100 + 255 - 0.5 * 120);
}

TEST_CASE("one column with the majority keeps its word among many") {
    Counts counts;
    for (int round = 0; round < 40; ++round) {
        counts.twins(300, 3, start, true);
        counts.twins(static_cast<std::uint16_t>(round), 1, start, true);
        counts.twins(static_cast<std::uint16_t>(100 + round), 1, start, true);
    }
    CHECK(counts.read(start, 300) >= 120 - 80 / 8.0);
    CHECK(counts.read(start, 300) <= 120);
}

TEST_CASE("a count is never too high, and contention loses few") {
    Counts counts;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { counts.twins(2, 50, start, true); });
    for (std::thread& thread : threads) thread.join();
    CHECK(counts.read(start, 2) <= 200);
    CHECK(counts.read(start, 2) >= 190);
}
