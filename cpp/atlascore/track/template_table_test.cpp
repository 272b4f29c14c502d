#include "atlascore/track/template_table.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <thread>

#include "atlascore/base/hash.hpp"

namespace {

using namespace atlascore;
using track::TemplateTable;

constexpr double day = 86'400, start = 20'000 * day;

struct Table {
    explicit Table(std::uint64_t capacity = 1000) : region(spec(capacity)), table(region, 0, capacity) {}
    static base::RegionSpec spec(std::uint64_t capacity) {
        base::RegionSpec spec;
        spec.section_bytes = TemplateTable::section_bytes(capacity);
        spec.seed = 1;
        return spec;
    }
    base::Region region;
    TemplateTable table;
};

std::uint64_t person(std::uint64_t i) {
    return base::mix64(i, 77) | 1;
}

}  // namespace

TEST_CASE("three bits away is the same template, four are another") {
    Table t;
    std::mt19937_64 random(3);
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t hash = random() | 1;
        const auto founded = t.table.visit(hash, std::nullopt, start);
        REQUIRE(t.table.find(hash));
        std::uint64_t other = hash;
        for (int bits = 1; bits <= 4; ++bits) {
            std::uint64_t flip = 0;
            do {
                flip = std::uint64_t{1} << random() % 64;
            } while (((other ^ hash) & flip) != 0);
            other ^= flip;
            const auto found = t.table.find(other);
            CHECK(found.has_value() == (bits <= 3));
            if (found) CHECK(found->hash == founded.hash);
        }
    }
}

TEST_CASE("the nearest template counts, the older of equal ones") {
    Table t;
    const std::uint64_t base = 0xABCD;
    const auto first = t.table.visit(base, std::nullopt, start);
    const auto second = t.table.visit(base ^ 0b1111, std::nullopt, start);
    CHECK(second.hash == (base ^ 0b1111));
    CHECK(t.table.find(base ^ 0b0001)->hash == first.hash);
    CHECK(t.table.find(base ^ 0b0111)->hash == second.hash);
    CHECK(t.table.find(base ^ 0b0011)->hash == first.hash);
}

TEST_CASE("young principals are counted once each, for a day") {
    Table t;
    const auto found = t.table.visit(42, std::nullopt, start);
    CHECK(t.table.young(found, 0, start) == 0);
    CHECK(t.table.young(std::nullopt, person(1), start) == doctest::Approx(1).epsilon(0.05));
    for (std::uint64_t i = 0; i < 8; ++i) {
        for (int repeat = 0; repeat < 3; ++repeat) t.table.add_young(found, person(i), start + 100);
    }
    const double today = t.table.young(found, 0, start + 200);
    CHECK(std::abs(today - 8) < 2);
    CHECK(t.table.young(found, person(3), start + 200) == today);
    // Half of the next day, then none.
    t.table.visit(42, found, start + 1.5 * day);
    CHECK(t.table.young(found, 0, start + 1.5 * day) == doctest::Approx(today / 2));
    CHECK(t.table.young(found, 0, start + 2 * day) == 0);
    t.table.visit(42, found, start + 2 * day);
    t.table.add_young(found, person(100), start + 2 * day);
    CHECK(t.table.young(found, 0, start + 2 * day) == doctest::Approx(1).epsilon(0.05));
    t.table.add_young(found, person(101), start);  // too late to count
    CHECK(t.table.young(found, 0, start + 2 * day) == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("estimates of many principals are near") {
    double sum = 0;
    for (std::uint64_t run = 0; run < 40; ++run) {
        Table t;
        const auto found = t.table.visit(7, std::nullopt, start);
        for (std::uint64_t i = 0; i < 500; ++i) t.table.add_young(found, person(run * 1000 + i), start);
        sum += t.table.young(found, 0, start) / 500;
    }
    CHECK(sum / 40 == doctest::Approx(1).epsilon(0.08));
}

TEST_CASE("a flood of new templates does not push out one that is used") {
    Table t;
    std::mt19937_64 random(5);
    auto used = t.table.visit(random(), std::nullopt, start);
    t.table.add_young(used, person(1), start);
    for (int i = 0; i < 20'000; ++i) {
        t.table.visit(random(), std::nullopt, start + i);
        if (i % 500 == 0) t.table.visit(used.hash, std::nullopt, start + i);
    }
    const auto found = t.table.find(used.hash);
    REQUIRE(found);
    CHECK(t.table.young(found, 0, start + 20'000) == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("a slot that changes hands keeps nobody") {
    Table t;
    std::mt19937_64 random(6);
    for (int i = 0; i < 5'000; ++i) {
        const auto found = t.table.visit(random(), std::nullopt, start + i);
        CHECK(t.table.young(found, 0, start + i) == 0);
        for (std::uint64_t p = 0; p < 5; ++p) t.table.add_young(found, person(p), start + i);
    }
}

TEST_CASE("threads that visit the same templates do not lose them") {
    Table t;
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] {
            std::mt19937_64 noise(n);
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                const std::uint64_t hash = i % 4 == 0 ? base::mix64(i / 4 % 8, 1) : noise();
                const auto found = t.table.visit(hash, t.table.find(hash), start);
                if (i % 4 == 0) t.table.add_young(found, person(n * 5 + i % 5), start);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::uint64_t i = 0; i < 8; ++i) {
        const auto found = t.table.find(base::mix64(i, 1));
        REQUIRE(found);
        const double young = t.table.young(found, 0, start);
        CHECK(young > 2);
        CHECK(young < 32);
    }
}
