#include "atlascore/track/cost_references.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "atlascore/base/clock.hpp"

using namespace atlascore;
using track::CostReferences;

namespace {

constexpr double day = 86'400;

struct Model {
    std::unique_ptr<CostReferences> costs = std::make_unique<CostReferences>();
    std::mt19937_64 random{5};
    double now = 1.8e9;

    bool give(unsigned size, double cost, std::uint64_t principal, double step = 1) {
        now += step;
        const std::uint32_t before = costs->samples;
        if (costs->takes_part(cost, principal, now)) costs->update(size, cost, principal, now);
        return costs->samples != before;
    }
    void traffic(int requests, double scale = 1, unsigned size = 8, int principals = 40, double step = 1) {
        std::uniform_real_distribution<double> cost(40, 240);
        for (int i = 0; i < requests; ++i) {
            give(size, scale * cost(random), 1 + random() % static_cast<unsigned>(principals), step);
        }
    }
};

}  // namespace

TEST_CASE("sizes are powers of two") {
    CHECK(track::cost_size(0) == 0);
    CHECK(track::cost_size(1) == 0);
    CHECK(track::cost_size(2) == 1);
    CHECK(track::cost_size(1023) == 9);
    CHECK(track::cost_size(1024) == 10);
    CHECK(track::cost_size(std::size_t{1} << 40) == 15);
}

TEST_CASE("nothing is known before 1,000 samples") {
    Model m;
    m.traffic(999);
    CHECK(m.costs->samples == 999);
    CHECK(std::isnan(m.costs->read(8).median));
    CHECK(std::isnan(m.costs->read(8).rare));
    m.traffic(1);
    CHECK(m.costs->read(8).median == doctest::Approx(140).epsilon(0.06));
    // The upper edge of the bin that 240 lies in, of eight an octave.
    CHECK(m.costs->read(8).rare == doctest::Approx(256));
}

TEST_CASE("each size has its own median, a size seen too rarely that of all") {
    Model m;
    for (int i = 0; i < 500; ++i) {
        m.traffic(1, 1, 5);
        m.traffic(1, 50, 12);
    }
    CHECK(m.costs->read(5).median == doctest::Approx(140).epsilon(0.08));
    CHECK(m.costs->read(12).median == doctest::Approx(7'000).epsilon(0.08));
    const double all = m.costs->read(9).median;
    CHECK((all >= 238 && all <= 2'010));  // between the two
    CHECK(m.costs->read(9).rare == m.costs->read(5).rare);
}

TEST_CASE("costs in any unit") {
    for (const double unit : {1e-6, 1e-3, 1.0, 1e6}) {
        Model m;
        m.traffic(1'000, unit);
        CHECK(m.costs->read(8).median == doctest::Approx(140 * unit).epsilon(0.06));
        CHECK(m.costs->read(8).rare > 239 * unit);
        CHECK(m.costs->read(8).rare < 300 * unit);
    }
    Model beyond;  // of what can be told apart: then nothing is rare
    beyond.traffic(1'000, 1e12);
    CHECK(std::isinf(beyond.costs->read(8).rare));
}

TEST_CASE("what piles up at a cap is not rare") {
    Model m;
    for (int i = 0; i < 1'000; ++i) m.give(8, i % 20 == 0 ? 1'020.0 : 100.0 + i % 50, 1 + i % 16);
    CHECK(m.costs->read(8).rare > 1'020);
}

TEST_CASE("one principal gives an eighth of what is learnt, so seven never suffice") {
    Model m;
    int given = 0;
    for (int i = 0; i < 5'000; ++i) given += m.give(8, 1, 77);
    CHECK(given == 125);
    m.traffic(20'000, 1, 8, 6);
    CHECK(m.costs->samples == 875);
    CHECK(std::isnan(m.costs->read(8).median));
    m.traffic(1'000, 1, 8, 40);
    CHECK(m.costs->read(8).median > 100);
}

TEST_CASE("whoever gives much stays known while others come and go") {
    Model m;
    int given = 0;
    for (int i = 0; i < 700; ++i) {
        given += m.give(8, 1, 77);
        m.give(8, 140, 1'000 + static_cast<unsigned>(i));
    }
    CHECK(given == 125);
    CHECK(m.costs->samples == 825);
}

TEST_CASE("one principal gives a quarter of a size, and cannot make it its own") {
    Model m;
    for (int i = 0; i < 200; ++i) m.give(3, 1, 77);
    CHECK(m.costs->sizes[3].samples == 13);
    m.traffic(2'000);
    REQUIRE(m.costs->samples >= 1'000);
    CHECK(m.costs->read(3).median > 100);  // still that of all sizes
    for (int i = 0; i < 100'000; ++i) m.give(3, 1, 77, 60);
    CHECK(m.costs->sizes[3].samples == 13);
}

TEST_CASE("once settled a principal gives at most one sample a minute, and one request in a hundred counts") {
    Model m;
    m.traffic(8'000);
    REQUIRE(m.costs->samples == 8'000);
    int given = 0;
    for (int i = 0; i < 60'000; ++i) given += m.give(8, 140, 5, 0.01);  // ten minutes
    CHECK((given > 0 && given <= 11));
    given = 0;
    for (int i = 0; i < 20'000; ++i) given += m.give(8, 140, 6, 61);
    CHECK(given == doctest::Approx(200).epsilon(0.25));
}

TEST_CASE("a size that began with an exception starts again around what is usual") {
    Model m;
    m.give(8, 1e9, 9'999);
    m.traffic(1'200);
    CHECK(m.costs->read(8).median == doctest::Approx(140).epsilon(0.08));
    CHECK(m.costs->sizes[8].samples >= 900);
}

TEST_CASE("new costs replace the old within days, and a quiet week leaves no one in charge") {
    Model m;
    m.traffic(8'000);
    m.now += 30 * day;
    for (int i = 0; i < 2'000; ++i) m.give(8, 14'000, 10'000 + static_cast<unsigned>(i), 0);
    REQUIRE(m.costs->samples > 8'005);
    REQUIRE(m.costs->samples < 8'045);
    CHECK(m.costs->read(8).median < 260);  // some twenty strangers after a month
    for (int i = 0; i < 200'000; ++i) m.give(8, 14'000, 1 + m.random() % 40, 5);
    CHECK(m.costs->read(8).median == doctest::Approx(14'000).epsilon(0.1));
    CHECK(m.costs->read(8).rare > 14'000);
}

TEST_CASE("time that runs backwards changes nothing but the sample") {
    Model m;
    m.traffic(1'000);
    const double median = m.costs->read(8).median;
    m.costs->update(8, median, 123'456, m.now - day);
    CHECK(m.costs->read(8).median == doctest::Approx(median).epsilon(0.01));
    CHECK(m.costs->time == m.now);
}

TEST_CASE("the same requests give the same references") {
    Model one, other;
    one.traffic(12'000);
    other.traffic(12'000);
    CHECK(std::memcmp(one.costs.get(), other.costs.get(), sizeof(CostReferences)) == 0);
}

TEST_CASE("who finds another at work goes on; a killed updater is replaced") {
    Model m;
    m.traffic(1'000);
    m.costs->claim = static_cast<std::uint64_t>(base::monotonic_nanoseconds());
    const auto before = std::make_unique<CostReferences>(*m.costs);
    m.costs->update(8, 140, 1, m.now);
    CHECK(std::memcmp(before.get(), m.costs.get(), sizeof(CostReferences)) == 0);
    m.costs->claim -= 2'000'000'000;
    m.costs->update(8, 140, 1, m.now);
    CHECK(m.costs->samples == before->samples + 1);
    CHECK(m.costs->claim == 0);
}
