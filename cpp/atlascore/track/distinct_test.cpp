#include "atlascore/track/distinct.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace atlascore::track;

namespace {

constexpr double day = 86400, start = 22'000 * day + 100;
constexpr std::uint64_t owner = 99;

}  // namespace

TEST_CASE("zero memory is nothing sent") {
    const DailyDistinct none{};
    CHECK(none.empty());
    CHECK(none.estimate(owner, start) == 0);
}

TEST_CASE("each counts once, to 13 percent") {
    std::mt19937_64 random(1);
    for (const int count : {1, 10, 100, 1000, 20'000}) {
        double mean = 0, squares = 0;
        constexpr int runs = 100;
        for (int run = 0; run < runs; ++run) {
            DailyDistinct seen{};
            for (int i = 0; i < count; ++i) {
                const std::uint64_t hash = random();
                for (int again = 0; again < 2; ++again) seen.add(hash, owner, start + i);
            }
            const double share = seen.estimate(owner, start + count) / count;
            mean += share / runs;
            squares += (share - 1) * (share - 1) / runs;
        }
        CHECK(mean == doctest::Approx(1).epsilon(0.05));
        CHECK(std::sqrt(squares) < 0.16);
    }
}

TEST_CASE("yesterday fades, the day before is gone, and a copy changes nothing") {
    std::mt19937_64 random(2);
    DailyDistinct seen{};
    for (int i = 0; i < 50; ++i) seen.add(random(), owner, start);
    const double all = seen.estimate(owner, start), tomorrow = 22'001 * day;
    CHECK(seen.estimate(owner, tomorrow + day / 4) == doctest::Approx(all * 0.75));
    CHECK(seen.estimate(owner, tomorrow + day) == 0);
    DailyDistinct tried = seen.copy();
    for (int i = 0; i < 50; ++i) tried.add(random(), owner, start);
    CHECK(tried.estimate(owner, start) > all + 20);
    CHECK(seen.estimate(owner, start) == all);
    CHECK(seen.estimate(owner + 2, start) == 0);  // another owner's
    seen.reset();
    CHECK(seen.empty());
}
