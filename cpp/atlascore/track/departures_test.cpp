#include "atlascore/track/departures.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

using atlascore::track::Departures;

namespace {

constexpr std::uint32_t centre = 0x1234, other = 0x77;
constexpr float step = 0.1f;

}  // namespace

TEST_CASE("departures from one input are counted, and all since the first of them") {
    Departures departures{};
    CHECK(departures.from(centre, step).same == 0);
    departures.add(other, step, false);
    departures.add(centre, step, false);
    departures.add(other, step, false);
    departures.add(centre, step, true);
    const Departures::Earlier earlier = departures.from(centre, step);
    CHECK(earlier.same == 2);
    CHECK(earlier.since == 3);
    CHECK(earlier.observed);
    CHECK(departures.radial() == 1);
}

TEST_CASE("no more than thirty are remembered") {
    Departures departures{};
    departures.add(centre, step, true);
    for (int i = 0; i < 29; ++i) departures.add(other, step, false);
    CHECK(departures.from(centre, step).since == 30);
    CHECK(departures.radial() == 1);
    departures.add(other, step, false);
    CHECK(departures.from(centre, step).same == 0);
    CHECK(departures.radial() == 0);
    CHECK(departures.from(other, step).same == 30);
}

TEST_CASE("much longer departures do not count, and are no observation themselves") {
    Departures departures{};
    departures.add(centre, 0.01f, false);
    for (int i = 0; i < 5; ++i) departures.add(other, 0.5f, false);
    const Departures::Earlier near = departures.from(centre, 0.01f);
    CHECK(near.since == 1);
    CHECK(near.observed);
    CHECK(departures.from(other, 0.019f).observed);
    CHECK_FALSE(departures.from(other, 0.5f).observed);
    CHECK(departures.from(other, 0.5f).same == 5);
}

TEST_CASE("any distance has a length, and what is cleared is empty") {
    Departures departures{};
    for (const float distance : {0.0f, 1e-30f, 1.0f, 1e30f}) {
        departures.add(0, distance, false);
        CHECK(departures.from(0, distance).same >= 1);
    }
    departures.clear();
    CHECK(departures.from(0, 1.0f).same == 0);
    CHECK(departures.head == 0);
}
