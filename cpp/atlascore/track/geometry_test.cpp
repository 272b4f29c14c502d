#include "atlascore/track/geometry.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

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

TEST_CASE("a climb: records from a return to the best, after four members") {
    track::Cluster cluster{};
    cluster.members = 1;
    std::uint32_t digest = 100;
    const auto member = [&](double score, float to_best, float to_previous) {
        const double scores[] = {1 - score, score};
        return track::join(cluster, ++digest, scores, {to_best, to_best, to_previous});
    };
    member(0.9, 0, 0);
    member(0.8, 1, 1);
    CHECK_FALSE(member(0.95, 1, 1).descent_observed);
    CHECK(cluster.members == 4);
    CHECK(member(0.7, 1, 2).descent);  // back to 0.8, and lower
    const track::Climb after_best = member(0.6, 1, 1);
    CHECK(after_best.descent_observed);
    CHECK_FALSE(after_best.descent);  // it came from the best
    member(0.65, 1, 1);
    CHECK_FALSE(member(0.5, 2, 1).descent);            // nearer to where it came from
    CHECK_FALSE(member(0.55, 1, 1).descent);           // no record
    CHECK_FALSE(member(0.4, -1, 1).descent_observed);  // the best is no longer known
    CHECK(cluster.label == 2);
}
