#include "atlascore/track/coverage.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <set>

#include "atlascore/track/coverage_reference.hpp"

using namespace atlascore;
using track::Coverage;
using track::CoverageReference;

namespace {

constexpr std::uint64_t owner = 9;

Coverage::Step cell(unsigned i, std::uint16_t reference = 1) {
    return {static_cast<std::uint16_t>(i % Coverage::bit_count), reference};
}

track::Manifold manifold(float mean, std::uint32_t count, std::uint32_t space = 3) {
    track::Manifold m{};
    m.space = space;
    m.count = count;
    for (float& value : m.mean) value = mean;
    return m;
}

}  // namespace

TEST_CASE("bits are counted as the cells that leave so few empty") {
    Coverage c{};
    for (unsigned i = 0; i < 63; ++i) c.add(cell(16 * i));
    CHECK(std::isnan(c.share({})));
    CHECK(c.share(cell(1)) == doctest::Approx(66.1 / 4096).epsilon(0.01));
    CHECK(c.share(cell(0)) == doctest::Approx(65.0 / 4096).epsilon(0.01));  // seen before
    for (unsigned i = 0; i < 1023; ++i) c.add(cell(i));
    CHECK(c.cells({}) == 4096);
    CHECK(c.inputs({}) == 63 + 1023);
    c.add(cell(1023));
    CHECK(c.share({}) == 1.0);
}

TEST_CASE("another reference begins anew") {
    Coverage c{};
    for (unsigned i = 0; i < 100; ++i) c.add(cell(i));
    CHECK(c.inputs(cell(5, 2)) == 1);
    CHECK(c.cells(cell(5, 2)) == doctest::Approx(1).epsilon(0.01));
    c.add(cell(5, 2));
    CHECK(c.inputs({}) == 1);
    c.add(cell(6, 0));  // of no reference
    CHECK(c.inputs({}) == 1);
}

TEST_CASE("planes go through the center") {
    const track::CoveragePlanes planes(owner);
    float x[track::linear_size], center[track::linear_size] = {}, mirrored[track::linear_size];
    std::set<unsigned> bits;
    int opposite = 0;
    for (int i = 0; i < 400; ++i) {
        for (std::size_t k = 0; k < track::linear_size; ++k)
            x[k] = std::sin(static_cast<float>(37 * i + 11) * static_cast<float>(k + 1));
        bits.insert(planes.bit_of(x, center));
        for (std::size_t k = 0; k < track::linear_size; ++k) mirrored[k] = 3 * x[k];
        CHECK(planes.bit_of(mirrored, center) == planes.bit_of(x, center));
        for (std::size_t k = 0; k < track::linear_size; ++k) mirrored[k] = -x[k];
        opposite += planes.bit_of(mirrored, x) != planes.bit_of(x, mirrored);
    }
    CHECK(opposite > 390);  // of two cells in a thousand the hashes are equal
    CHECK(bits.size() > 200);
}

TEST_CASE("levels are powers of two from 64 on") {
    CHECK(CoverageReference::level_of(0) == -1);
    CHECK(CoverageReference::level_of(32) == -1);
    CHECK(CoverageReference::level_of(64) == 0);
    CHECK(CoverageReference::level_of(96) == -1);
    CHECK(CoverageReference::level_of(32'768) == 9);
    CHECK(CoverageReference::level_of(65'536) == -1);
}

TEST_CASE("the center stays until twice as many inputs are known, or the scale is another") {
    auto r = std::make_unique<CoverageReference>();
    float center[track::linear_size];
    CHECK(r->center(3, center) == 0);
    r->follow(manifold(1, 30));
    CHECK(r->center(3, center) == 1);
    CHECK(center[63] == 1);
    CHECK(r->center(4, center) == 0);
    r->follow(manifold(2, 59));
    CHECK(r->center(3, center) == 1);
    r->follow(manifold(2, 60));
    CHECK(r->center(3, center) == 2);
    CHECK(center[0] == 2);
    for (int i = 0; i < 100; ++i) r->learn(0, 10);
    r->follow(manifold(3, 40, 4));
    CHECK(r->center(3, center) == 0);
    CHECK(r->center(4, center) == 3);
    CHECK_FALSE(r->rank(0, 10).known);
}

TEST_CASE("the center of texts is the mean of the first 32, 64, 128, 256") {
    auto r = std::make_unique<CoverageReference>();
    float center[track::linear_size], text[track::linear_size] = {};
    for (int i = 1; i <= 300; ++i) {
        text[3] = static_cast<float>(i);
        r->add_text(text, 5);
        CHECK((r->center(5, center) != 0) == (i >= 32));
        if (i == 32) CHECK(center[3] == 16.5f);
        if (i == 63) CHECK(center[3] == 16.5f);
        if (i >= 256) CHECK(center[3] == 128.5f);
    }
    CHECK(r->center(5, center) == 4);
}

TEST_CASE("a center that a killed process left half-moved is moved again") {
    auto r = std::make_unique<CoverageReference>();
    float center[track::linear_size];
    r->follow(manifold(1, 30));
    r->sequence |= 1;
    CHECK(r->center(3, center) == 0);
    r->follow(manifold(1, 30));
    CHECK(r->center(3, center) == 2);
}

TEST_CASE("wide is more than 99 in 100 principals at that level") {
    auto r = std::make_unique<CoverageReference>();
    for (int i = 0; i < 99; ++i) r->learn(0, 30);
    CHECK_FALSE(r->rank(0, 60).known);
    r->learn(0, 30);
    CHECK(r->rank(0, 60).known);
    CHECK(r->rank(0, 60).wide);
    CHECK_FALSE(r->rank(0, 30).wide);
    CHECK_FALSE(r->rank(1, 60).known);
    r->learn(0, 60);
    CHECK(r->rank(0, 60).wide);  // 1 of 101
    r->learn(0, 60);
    CHECK_FALSE(r->rank(0, 60).wide);
    for (int i = 0; i < 5'000; ++i) r->learn(0, 20);
    CHECK(r->rank(0, 60).wide);
}
