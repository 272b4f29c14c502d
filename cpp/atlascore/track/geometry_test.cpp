#include "atlascore/track/geometry.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "atlascore/track/climb.hpp"

using namespace atlascore;

namespace {

struct Point {
    float values[track::linear_size] = {};
    explicit Point(float x, float y = 0, float z = 0) {
        values[0] = x;
        values[1] = y;
        values[2] = z;
    }
};

track::SlotRow stored(const Point& point) {
    track::Sketch sketch{};
    sketch.kind = track::SketchKind::dense;
    std::copy(std::begin(point.values), std::end(point.values), sketch.linear);
    return track::pack(sketch);
}

track::Between test(const Point& x, const Point& a, const Point& b, float shortest = 1e-3f) {
    return track::between(x.values, a.values, b.values, shortest);
}

// The step to the second of two points after the step to the first.
track::Turn turn(const Point& from, const Point& over, const Point& to) {
    track::Head first, second;
    track::step_from(track::first_head(from.values), over.values, first);
    return track::step_from(track::unpack(track::pack(first)), to.values, second);
}

}  // namespace

TEST_CASE("between, midpoint, and neither") {
    CHECK(test(Point(3), Point(0), Point(10)).between);
    CHECK_FALSE(test(Point(3), Point(0), Point(10)).midpoint);
    CHECK(test(Point(5), Point(0), Point(10)).midpoint);
    CHECK(test(Point(5, 0.3f), Point(0), Point(10)).midpoint);
    CHECK_FALSE(test(Point(5, 1), Point(0), Point(10)).between);  // 11 degrees
    CHECK_FALSE(test(Point(12), Point(0), Point(10)).between);    // beyond the end
    CHECK_FALSE(test(Point(-1), Point(0), Point(10)).between);
}

TEST_CASE("a displacement that is too short is no line") {
    CHECK_FALSE(test(Point(0.5f), Point(0), Point(10), 1).between);
    CHECK_FALSE(test(Point(9.5f), Point(0), Point(10), 1).between);
    CHECK_FALSE(test(Point(1), Point(1), Point(10), 0).between);  // no displacement at all
}

TEST_CASE("steps: halving forwards and back, other ratios, other directions") {
    CHECK(turn(Point(0), Point(8), Point(12)).halving());
    CHECK(turn(Point(0), Point(8), Point(4)).halving());
    CHECK_FALSE(turn(Point(0), Point(8), Point(13)).halving());
    CHECK_FALSE(turn(Point(0), Point(8), Point(8, 4)).halving());
    CHECK(turn(Point(0), Point(8), Point(8, 4)).cosine == doctest::Approx(0).epsilon(1e-3));
    CHECK(turn(Point(0), Point(8), Point(4)).ratio == doctest::Approx(0.5));
}

TEST_CASE("steps below the precision of float32 are not measured") {
    CHECK_FALSE(turn(Point(1000), Point(1000), Point(1001)).measured);
    CHECK_FALSE(turn(Point(1000), Point(1001), Point(1001.001f)).measured);
    CHECK(turn(Point(1000), Point(1001), Point(1001.5f)).halving());
}

TEST_CASE("coordinates that differ, as they are stored") {
    CHECK(track::changed_coordinates(stored(Point(1, 2, 3)), stored(Point(1, 2.5f, 3))) == 2);
    CHECK(track::changed_coordinates(stored(Point(1, 2, 3)), stored(Point(1.1f, 2, 3.1f))) == 5);
    // 5,001 is stored as 5,000: what float32 tells apart and half precision does not is no change.
    CHECK(track::changed_coordinates(stored(Point(5001)), stored(Point(5000))) == 0);
    CHECK(track::is_sparse(0b11, 12));
    CHECK_FALSE(track::is_sparse(0b111, 12));
    CHECK(track::is_sparse(0b111, 64));
    CHECK_FALSE(track::is_sparse(0b1111, 64));
    CHECK(track::is_sparse(0b1111, 784));
    CHECK_FALSE(track::is_sparse(0b11111, 784));
    CHECK_FALSE(track::is_sparse(0, 784));
}

TEST_CASE("coordinates that a line lies along") {
    CHECK(track::dominant_coordinates(stored(Point(1, 2, 3)), stored(Point(1, 2, 3))) == 0);
    CHECK(track::dominant_coordinates(stored(Point(0, 0, 0)), stored(Point(0, 5, 0.5f))) == 2);
    CHECK(track::dominant_coordinates(stored(Point(0, 0, 0)), stored(Point(3, 5, 0.5f))) == 3);
    CHECK(track::dominant_coordinates(stored(Point(0, 0, 0)), stored(Point(3, 5, 4))) == ~std::uint64_t{0});
}

// Inputs of two coordinates with a score; distances to those before are computed here.
struct Climber {
    track::Cluster cluster{};
    std::vector<std::array<float, 2>> inputs;
    std::size_t remembered;  // newest inputs that may be the nearest

    explicit Climber(std::size_t count = 24) : remembered(count) { cluster.members = 1; }
    track::Climb ask(float x, float y, double score, bool forgotten = false) {
        float nearest = -1;
        for (std::size_t i = inputs.size() > remembered ? inputs.size() - remembered : 0; i < inputs.size();
             ++i) {
            const float distance = std::hypot(x - inputs[i][0], y - inputs[i][1]);
            if (nearest < 0 || distance < nearest) nearest = distance;
        }
        inputs.push_back({x, y});
        const auto to = [&](track::MemberName name) {
            if (forgotten || name >= inputs.size()) return -1.0f;
            return std::hypot(x - inputs[name][0], y - inputs[name][1]);
        };
        const track::MemberDistances distances{
            nearest,
            to(cluster.previous),
            {to(cluster.lowest.before), to(cluster.lowest.older)},
            {to(cluster.highest.before), to(cluster.highest.older)},
        };
        const double scores[] = {1 - score, score};
        return track::join(cluster, static_cast<track::MemberName>(inputs.size() - 1), scores, distances);
    }
};

TEST_CASE("who climbs goes on from improvements, and from other members back to the best") {
    Climber climber;
    climber.ask(0, 0, 0.9);
    climber.ask(1, 0, 0.8);
    climber.ask(1, 1, 0.85);
    CHECK_FALSE(climber.ask(2, 0, 0.7).descent.observed);  // (1, 1) may still be followed
    CHECK(climber.ask(3, 0, 0.6).descent.hit);             // not from (1, 1), but from (2, 0)
    CHECK_FALSE(climber.ask(3, 1, 0.65).descent.observed);
    CHECK_FALSE(climber.ask(4, 0, 0.5).descent.observed);
    const track::Climb next = climber.ask(5, 0, 0.52);
    CHECK(next.descent.observed);  // (3, 0), and (3, 1)
    CHECK(next.descent.hit);
    CHECK_FALSE(next.ascent.observed);
    CHECK(climber.cluster.label == 2);
    CHECK_FALSE(climber.ask(6, 0, 0.4, true).descent.observed);  // what came before is no longer known
}

TEST_CASE("a drift follows all of its members, whatever their scores") {
    Climber drift;
    unsigned observed = 0, hits = 0;
    for (int i = 0; i < 40; ++i) {
        const auto test =
            drift.ask(static_cast<float>(i), 0, 0.5 - 0.01 * i + (i % 2 == 0 ? 0.1 : 0)).descent;
        observed += test.observed;
        hits += test.hit;
    }
    CHECK(observed > 10);
    CHECK(hits == 0);
}

TEST_CASE("a sweep over a grid returns to the beginning of its rows, whatever its scores") {
    for (const double rise : {-0.01, 0.001}) {
        Climber sweep;
        unsigned observed = 0, hits = 0;
        for (int i = 0; i < 196; ++i) {
            const int row = i / 14, column = i % 14;
            const auto test = sweep
                                  .ask(0.1f * static_cast<float>(row), 0.1f * static_cast<float>(column),
                                       0.9 - 0.003 * row + rise * column)
                                  .descent;
            observed += test.observed;
            hits += test.hit;
        }
        CHECK(observed > 0);
        CHECK(hits == 0);
    }
}

TEST_CASE("whoever does not look at scores is a hit one time in four at most") {
    for (const double stays : {0.1, 0.5, 0.9}) {
        Climber caller(1);  // more of them would be nearer than the two that are compared, on a line
        std::mt19937 random(7);
        std::uniform_real_distribution<double> uniform;
        unsigned observed = 0, hits = 0;
        float x = 0;
        double lowest = 1;
        for (int i = 0; i < 60'000; ++i) {
            // Goes on from where it is or begins again at 0. Half of the scores are records.
            x = (uniform(random) < stays ? x : 0) + static_cast<float>(uniform(random) - 0.5);
            const double score = lowest - (uniform(random) < 0.5 ? 1e-6 : -1e-6);
            lowest = std::min(lowest, score);
            const auto test = caller.ask(x, 0, score).descent;
            observed += test.observed;
            hits += test.hit;
        }
        CAPTURE(stays);
        CHECK(observed > 5'000);
        CHECK(hits < 0.25 * observed + 4 * std::sqrt(0.1875 * observed));
    }
}
