#include "atlascore/track/near_index.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "atlascore/base/hash.hpp"

namespace {

using namespace atlascore;
using track::NearIndex;
using track::Sketch;

constexpr std::uint64_t model = 99;
constexpr float reach = 0.25f;

struct Index {
    explicit Index(std::uint64_t capacity = 1'000'000)
        : region(spec(capacity)), index(region, 0, capacity, 7) {}
    static base::RegionSpec spec(std::uint64_t capacity) {
        base::RegionSpec spec;
        spec.section_bytes = NearIndex::section_bytes(capacity);
        spec.seed = 1;
        return spec;
    }
    // What a track finds; then its input is entered.
    NearIndex::Match visit(const Sketch& sketch, std::uint64_t track, float of_reach = reach,
                           std::uint64_t of_model = model) {
        const NearIndex::Place place = index.place(sketch, of_reach, of_model);
        const NearIndex::Match match = index.find(place, track);
        index.add(place, track, match);
        return match;
    }
    base::Region region;
    NearIndex index;
};

std::uint64_t person(std::uint64_t i) {
    return base::mix64(i, 77) | 1;
}

Sketch sketch_of(const std::vector<float>& x) {
    Sketch sketch;
    sketch_dense(x.data(), x.size(), {}, 5, sketch);
    return sketch;
}

std::vector<float> random_point(std::mt19937_64& random, std::size_t width) {
    std::normal_distribution<float> normal;
    std::vector<float> x(width);
    for (float& value : x) value = normal(random);
    return x;
}

// A point at this distance from x.
std::vector<float> near(const std::vector<float>& x, float distance, std::mt19937_64& random) {
    std::vector<float> step = random_point(random, x.size());
    float norm = 0;
    for (const float value : step) norm += value * value;
    for (std::size_t i = 0; i < step.size(); ++i) step[i] = x[i] + step[i] * distance / std::sqrt(norm);
    return step;
}

// Share of pairs at this distance that are found, each among strangers.
double found_at(float distance, std::size_t width) {
    Index t;
    std::mt19937_64 random(static_cast<std::uint64_t>(distance * 1000));
    int found = 0;
    for (int i = 0; i < 1000; ++i) {
        const std::vector<float> x = random_point(random, width);
        t.visit(sketch_of(x), person(2 * static_cast<std::uint64_t>(i)));
        const auto match =
            t.visit(sketch_of(near(x, distance, random)), person(2 * static_cast<std::uint64_t>(i) + 1));
        found += match.owner == person(2 * static_cast<std::uint64_t>(i));
    }
    return found / 1000.0;
}

}  // namespace

TEST_CASE("near inputs of others are found, far ones never") {
    for (const std::size_t width : {8, 64}) {
        CAPTURE(width);
        CHECK(found_at(reach / 20, width) == 1.0);
        CHECK(found_at(reach / 5, width) > 0.98);
        CHECK(found_at(reach / 2, width) > 0.85);
        CHECK(found_at(reach, width) > 0.3);
        CHECK(found_at(3 * reach, width) == 0.0);
    }
}

TEST_CASE("strangers have nothing in common") {
    Index t;
    std::mt19937_64 random(3);
    for (std::uint64_t i = 0; i < 20'000; ++i)
        CHECK(t.visit(sketch_of(random_point(random, 64)), person(i)).owner == 0);
}

TEST_CASE("a track does not find its own inputs, and does not hide others' behind them") {
    Index t;
    std::mt19937_64 random(4);
    const std::vector<float> x = random_point(random, 64);
    CHECK(t.visit(sketch_of(x), person(1)).owner == 0);
    CHECK(t.visit(sketch_of(near(x, reach / 20, random)), person(1)).owner == 0);
    for (int i = 0; i < 50; ++i)
        CHECK(t.visit(sketch_of(near(x, reach / 20, random)), person(2)).owner == person(1));
}

TEST_CASE("what was sent exactly is told from what is near; what many have sent is popular") {
    Index t;
    std::mt19937_64 random(5);
    const std::vector<float> x = random_point(random, 64);
    t.visit(sketch_of(x), person(0));
    const auto near_one = t.visit(sketch_of(near(x, reach / 20, random)), person(1));
    CHECK(near_one.owner == person(0));
    CHECK_FALSE(near_one.identical);
    const auto same = t.visit(sketch_of(x), person(2));
    CHECK(same.identical);
    CHECK_FALSE(same.popular);
    CHECK(same.owner != 0);
    for (std::uint64_t i = 3; i < 40; ++i) t.visit(sketch_of(x), person(i));
    const auto last = t.visit(sketch_of(x), person(50));
    CHECK(last.identical);
    CHECK(last.popular);
    CHECK(last.owner == 0);
    CHECK(t.visit(sketch_of(near(x, reach / 20, random)), person(51)).owner == 0);
    // Two who take turns make nothing popular.
    const std::vector<float> y = random_point(random, 64);
    for (std::uint64_t i = 0; i < 200; ++i) t.visit(sketch_of(y), person(i % 2));
    CHECK(t.visit(sketch_of(near(y, reach / 20, random)), person(9)).owner != 0);
}

TEST_CASE("models, widths and reaches are apart") {
    Index t;
    std::mt19937_64 random(6);
    const std::vector<float> x = random_point(random, 64);
    t.visit(sketch_of(x), person(1));
    CHECK(t.visit(sketch_of(x), person(2), reach, model + 1).owner == 0);
    CHECK(t.visit(sketch_of(x), person(2), reach * 2).owner == 0);
    CHECK(t.visit(sketch_of(x), person(2), reach * 1.5f).owner == person(1));
    const std::vector<float> longer(65, 0.0f);
    CHECK(t.visit(sketch_of(longer), person(2)).owner == 0);
}

TEST_CASE("texts: nearly the same is found, another is not") {
    Index t;
    track::TextScratch scratch;
    const auto text = [&](const std::string& words) {
        Sketch sketch;
        track::sketch_text(words, 5, scratch, sketch);
        return sketch;
    };
    std::mt19937_64 random(8);
    int found = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
        std::string words;
        for (int w = 0; w < 60; ++w) words += std::to_string(random() % 100'000) + "abcdefgh"[w % 8] + ' ';
        for (char& c : words) c = c >= '0' && c <= '9' ? static_cast<char>('k' + c - '0') : c;
        CHECK(t.visit(text(words), person(2 * i)).owner == 0);
        words.replace(30, 4, "zzzz");
        found += t.visit(text(words), person(2 * i + 1)).owner == person(2 * i);
    }
    CHECK(found > 180);
}

TEST_CASE("the newest replace the oldest") {
    Index t(8000);  // 1,024 entries
    std::mt19937_64 random(7);
    const std::vector<float> x = random_point(random, 64);
    t.visit(sketch_of(x), person(1));
    for (std::uint64_t i = 0; i < 100; ++i) t.visit(sketch_of(random_point(random, 64)), person(i + 10));
    CHECK(t.visit(sketch_of(near(x, reach / 20, random)), person(2)).owner == person(1));
    for (std::uint64_t i = 0; i < 5000; ++i) t.visit(sketch_of(random_point(random, 64)), person(i + 10));
    CHECK(t.visit(sketch_of(near(x, reach / 20, random)), person(3)).owner == 0);
}

TEST_CASE("threads find each other's inputs and nobody else") {
    Index t(8000);
    std::mt19937_64 random(9);
    const std::vector<float> x = random_point(random, 64);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0}, found{0};
    for (std::uint64_t n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] {
            std::mt19937_64 mine(n);
            for (int i = 0; i < 3000; ++i) {
                const auto match = t.visit(sketch_of(near(x, reach / 20, mine)), person(n));
                found += match.owner != 0;
                bool known = match.owner == 0;
                for (std::uint64_t other = 0; other < 4; ++other)
                    known |= other != n && match.owner == person(other);
                wrong += !known;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(found > 6000);
}
