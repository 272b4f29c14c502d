#include "atlascore/evidence/process.hpp"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>

using namespace atlascore::evidence;

namespace {

constexpr double start = 1'800'000'000;

const ComponentInfo& info(Component id) {
    return components()[static_cast<std::size_t>(id)];
}

Observations one(Component id, bool hit) {
    Observations seen;
    seen.add(id, hit);
    return seen;
}

double r_of(std::uint64_t word) {
    return std::exp(static_cast<double>(log_r(word, start)));
}

}  // namespace

TEST_CASE("the tables agree with themselves") {
    double weights[family_count] = {};
    for (std::size_t i = 0; i < component_count; ++i) {
        const ComponentInfo& c = components()[i];
        CHECK(static_cast<std::size_t>(c.id) == i);
        CHECK((0 < c.p0 && c.p0 < c.p1 && c.p1 < 1));
        weights[static_cast<std::size_t>(c.family)] += c.weight;
    }
    for (std::size_t i = 0; i < family_count; ++i) {
        CHECK(static_cast<std::size_t>(families()[i].id) == i);
        CHECK(weights[i] == doctest::Approx(1));
    }
}

TEST_CASE("one observation multiplies 1 + R") {
    const ComponentInfo& flip = info(Component::flip);
    std::uint64_t word = after(0, flip, true, start);
    CHECK(r_of(word) == doctest::Approx(3.5));
    word = after(word, flip, true, start);
    CHECK(r_of(word) == doctest::Approx(4.5 * 3.5));
    word = after(word, flip, false, start);
    CHECK(r_of(word) == doctest::Approx((1 + 4.5 * 3.5) * 0.65 / 0.9));
}

TEST_CASE("R stays within its bounds and can always rise again") {
    const ComponentInfo& halving = info(Component::halving);
    std::uint64_t word = 0;
    for (int i = 0; i < 100; ++i) word = after(word, halving, true, start);
    CHECK(log_r(word, start) == doctest::Approx(most));
    for (int i = 0; i < 10'000; ++i) word = after(word, halving, false, start);
    CHECK(r_of(word) == doctest::Approx(0.9 / 0.999 / (1 - 0.9 / 0.999)).epsilon(1e-3));
}

TEST_CASE("evidence halves in a day, and time that runs backwards changes nothing") {
    std::uint64_t word = 0;
    for (int i = 0; i < 20; ++i) word = after(word, info(Component::flip), true, start);
    const float before = log_r(word, start);
    CHECK(log_r(word, start + half_life_seconds) == doctest::Approx(before - std::log(2.0)));
    CHECK(log_r(word, start - 3600) == before);
    CHECK(log_r(word, start + 400 * half_life_seconds) == least);
    const std::uint64_t late = after(word, info(Component::flip), false, start - 3600);
    CHECK((late >> 32) == (word >> 32));
}

TEST_CASE("families are averages, the total is the average of the strict ones") {
    Words words{};
    for (int i = 0; i < 8; ++i) update_private(words, one(Component::flip, true), start);
    const Reading reading = read(words, start, false, every_component);
    const double r = r_of(words[0]);
    CHECK(reading.family[0] == doctest::Approx(std::log10(1 + r / 2)));
    CHECK(reading.family[1] == 0);
    CHECK(reading.total == doctest::Approx(std::log10(1 + r / 6)));
    CHECK(reading.families == 1);
}

TEST_CASE("a certain line search counts twice, except for rows") {
    Words words{};
    for (int i = 0; i < 5; ++i) {
        Observations seen;
        seen.add(Component::halving, true);
        seen.add(Component::collinear_flip, true);
        update_private(words, seen, start);
    }
    REQUIRE(read(words, start, false, every_component).family[1] >= certain_line_search);
    CHECK(read(words, start, false, every_component).families == 2);
    CHECK(read(words, start, true, every_component).families == 1);
}

TEST_CASE("shared and private updates agree") {
    std::mt19937_64 random(7);
    Words one_word{}, other{};
    for (int i = 0; i < 2000; ++i) {
        Observations seen;
        for (const ComponentInfo& c : components()) {
            if (random() % 3 != 0) seen.add(c.id, random() % 5 == 0);
        }
        const double now = start + i * 7.5;
        update_private(one_word, seen, now);
        CHECK(update_shared(other, seen, now) == 0);
    }
    for (std::size_t i = 0; i < component_room; ++i) CHECK(one_word[i] == other[i]);
}

TEST_CASE("the average of two callers is of R, whoever is the larger, and decays as both do") {
    Words a{}, b{}, mean{};
    for (int i = 0; i < 3; ++i) update_private(a, one(Component::flip, true), start);
    update_private(b, one(Component::flip, false), start);
    update_private(b, one(Component::halving, true), start);
    average(a, b, start, mean);
    const auto r = [&](const std::uint64_t* words, Component id) {
        const std::uint64_t word = words[static_cast<std::size_t>(id)];
        return word == 0 ? 0 : r_of(word);
    };
    CHECK(r(mean, Component::flip) == doctest::Approx((r(a, Component::flip) + r(b, Component::flip)) / 2));
    CHECK(r(mean, Component::halving) == doctest::Approx(r(b, Component::halving) / 2));
    CHECK(mean[static_cast<std::size_t>(Component::cost)] == 0);
    Words later{};
    average(b, a, start + half_life_seconds, later);
    CHECK(r(later, Component::flip) == doctest::Approx(r(mean, Component::flip) / 2).epsilon(1e-4));
    average(a, b, start, a);  // into one of them
    CHECK(r(a, Component::flip) == doctest::Approx(r(mean, Component::flip)));
    Words full{};
    for (int i = 0; i < 100; ++i) update_private(full, one(Component::flip, true), start);
    average(full, full, start, mean);
    CHECK(log_r(mean[static_cast<std::size_t>(Component::flip)], start) == doctest::Approx(most));
}

TEST_CASE("packing never raises evidence and belongs to one generation") {
    std::mt19937_64 random(11);
    Words words{};
    for (int i = 0; i < 300; ++i) {
        Observations seen;
        for (const ComponentInfo& c : components()) seen.add(c.id, random() % 4 == 0);
        update_private(words, seen, start + i);
    }
    words[static_cast<std::size_t>(Component::climb_ascent)] = 0;
    std::uint64_t packed[packed_words];
    pack(words, 42, packed);
    Words back{};
    CHECK_FALSE(unpack(packed, 41, back));
    REQUIRE(unpack(packed, 42, back));
    for (std::size_t i = 0; i < component_count; ++i) {
        const float before = log_r(words[i], start + 300), restored = log_r(back[i], start + 300);
        CHECK(restored <= before);
        CHECK(restored >= before - 0.0011f);
    }
    CHECK(back[static_cast<std::size_t>(Component::climb_ascent)] == 0);
    std::uint64_t nothing[packed_words] = {};
    CHECK_FALSE(unpack(nothing, 0, back));
}

// The promise itself: P(R reaches c within n observations) <= n / c, at the worst hit probability allowed.
TEST_CASE("false alarms are as rare as promised") {
    constexpr int tracks = 4000, queries = 500;
    constexpr double threshold = 5000;  // at most a tenth of the tracks
    std::mt19937_64 random(13);
    int alarms[component_count] = {};
    for (const ComponentInfo& c : components()) {
        std::bernoulli_distribution hit(c.p0);
        for (int track = 0; track < tracks; ++track) {
            std::uint64_t word = 0;
            for (int i = 0; i < queries; ++i) {
                word = after(word, c, hit(random), start);
                if (r_of(word) < threshold) continue;
                ++alarms[static_cast<std::size_t>(c.id)];
                break;
            }
        }
    }
    for (const int count : alarms) CHECK(count <= tracks * queries / threshold);
}

TEST_CASE("what is off is left out of a reading, and of observations") {
    std::array<std::uint64_t, component_room> words{};
    Observations seen = one(Component::flip, true);
    seen.add(Component::halving, true);
    seen.add(Component::far, false);
    for (int i = 0; i < 6; ++i) update_private(words, seen, start);
    const Components on = every_component & ~(Components{1} << static_cast<unsigned>(Component::halving));
    CHECK(contains(on, Component::flip));
    CHECK_FALSE(contains(on, Component::halving));

    std::array<std::uint64_t, component_room> without{};
    for (int i = 0; i < 6; ++i) update_private(without, seen.of(on), start);
    CHECK(without[static_cast<std::size_t>(Component::halving)] == 0);
    const Reading masked = read(words, start, false, on);
    const Reading never = read(without, start, false, every_component);
    CHECK(masked.total == never.total);
    CHECK(masked.families == never.families);
    for (std::size_t i = 0; i < family_count; ++i) CHECK(masked.family[i] == never.family[i]);
    CHECK(read(words, start, false, every_component).total > never.total);
}
