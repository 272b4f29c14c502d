#include <doctest/doctest.h>

#include <cmath>
#include <deque>
#include <random>
#include <vector>

#include "atlascore/track/window.hpp"

using namespace atlascore::track;

namespace {

struct Ring {
    WindowShape shape;
    std::vector<std::uint64_t> words;
    double newest = 0;
    explicit Ring(double horizon, std::uint32_t buckets)
        : shape(WindowShape::make(horizon, buckets, 0)), words(buckets) {}
    Added add(double now, std::uint64_t n = 1) {
        newest = std::max(newest, now);
        return window_add(words.data(), 0, Moment(shape, now), Moment(shape, newest), n);
    }
    double read(double now) {
        const Moment moment(shape, std::max(now, newest));
        const double read = window_read(words.data(), shape, 0, moment).interpolated();
        CHECK(window_look(words.data(), shape, 0, moment).interpolated() == read);
        return read;
    }
};

// The obvious moving window: every event's time.
struct Exact {
    double horizon;
    std::deque<double> times;
    std::size_t add(double now) {
        times.push_back(now);
        while (times.front() <= now - horizon) times.pop_front();
        return times.size();
    }
};

double mean_error(double horizon, std::uint32_t buckets, auto&& next_gap) {
    Ring ring(horizon, buckets);
    Exact exact{horizon, {}};
    double now = 1.7e9, total = 0;
    std::size_t readings = 0;
    for (int i = 0; i < 60'000; ++i) {
        now += next_gap(i);
        ring.add(now);
        const auto n = static_cast<double>(exact.add(now));
        if (n < 100) continue;
        total += std::abs(ring.read(now) - n) / n;
        ++readings;
    }
    REQUIRE(readings > 1'000);
    return total / static_cast<double>(readings);
}

}  // namespace

TEST_CASE("a reading is exact while the oldest bucket is empty") {
    Ring ring(300, 24);
    for (int i = 1; i <= 250; ++i) {
        CHECK(ring.add(1e9 + i) == Added::counted);
        CHECK(ring.read(1e9 + i) == i);
    }
}

TEST_CASE("the mean error is within 2 % from 100 events on") {
    std::mt19937_64 random(7);
    std::exponential_distribution<double> poisson(100 / 300.0);
    CHECK(mean_error(300, 24, [&](int) { return poisson(random); }) < 0.02);
    CHECK(mean_error(300, 20, [&](int) { return poisson(random); }) < 0.02);
    // Bursts of 20 to 60 events within two seconds, a burst every 20 s on average.
    std::uniform_int_distribution<int> burst(20, 60);
    std::exponential_distribution<double> within(20.0), between(1 / 20.0);
    int left = 0;
    const auto bursty = [&](int) {
        if (left-- > 0) return within(random);
        left = burst(random);
        return between(random);
    };
    CHECK(mean_error(300, 24, bursty) < 0.02);
    CHECK(mean_error(300, 20, bursty) < 0.02);
}

TEST_CASE("an event late by one bucket counts where it belongs, an older one is late") {
    Ring ring(230, 24);  // buckets of 10 s
    ring.add(1000);
    ring.add(1015);
    CHECK(ring.add(1005) == Added::counted);  // one bucket back
    CHECK(ring.add(985) == Added::late);
    CHECK(ring.read(1015) == 3);
    CHECK(ring.read(900) == 3);  // a reader does not run backwards
}

TEST_CASE("counts expire, wrap and saturate") {
    Ring ring(60, 16);
    for (int i = 0; i < 1000; ++i) ring.add(1e6 + i * 0.01);
    CHECK(ring.read(1e6 + 10) == 1000);
    CHECK(ring.read(1e6 + 80) == 0);
    CHECK(ring.read(latest_time) == 0);
    CHECK(ring.add(latest_time, bucket::count_mask) == Added::counted);
    CHECK(ring.add(latest_time, 1) == Added::full);
    CHECK(ring.read(latest_time) == static_cast<double>(bucket::count_mask));
}

TEST_CASE("another generation's words read as zero and are not overwritten by the past") {
    const WindowShape shape = WindowShape::make(60, 16, 0);
    std::vector<std::uint64_t> words(16, bucket::make(3, 0, 0));
    const Moment now(shape, 1000);
    CHECK(window_add(words.data(), 3, now, now, 5) == Added::counted);
    CHECK(window_read(words.data(), shape, 3, now).interpolated() == 5);
    CHECK(window_look(words.data(), shape, 3, now).interpolated() == 5);
    CHECK(window_read(words.data(), shape, 2, now).interpolated() == 0);
    CHECK(window_add(words.data(), 2, now, now, 1) == Added::gone);
    CHECK(window_add(words.data(), 4, now, now, 1) == Added::counted);
    CHECK(window_read(words.data(), shape, 4, now).interpolated() == 1);
    CHECK(window_look(words.data(), shape, 4, now).interpolated() == 1);
}

TEST_CASE("a moment's place is its epoch mod the buckets, for any number of buckets") {
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> any(0, latest_time);
    for (std::uint32_t buckets = 2; buckets <= 32; ++buckets) {
        for (const double horizon : {1e-3, 1.0, 300.0, 86'400.0}) {
            const WindowShape shape = WindowShape::make(horizon, buckets, 0);
            for (int i = 0; i < 200; ++i) {
                const Moment moment(shape, any(random));
                REQUIRE(moment.place == moment.epoch % buckets);
            }
            const Moment turn(shape, 1e6 * buckets / shape.per_width);
            CHECK(turn.place == turn.epoch % buckets);
        }
    }
}

TEST_CASE("a window reads on while its epochs wrap") {
    const double horizon = 1.0;
    Ring ring(horizon, 16);
    const double wrap = std::ldexp(1.0, 32) / ring.shape.per_width;
    for (int i = -40; i <= 40; ++i) {
        ring.add(wrap + i / 40.0);
        CHECK(ring.read(wrap + i / 40.0) == doctest::Approx(std::min(i + 41, 40)).epsilon(0.05));
    }
}

TEST_CASE("what was counted can be taken back") {
    Ring ring(60, 16);
    ring.add(100, 7);
    window_take_back(ring.words.data(), 0, Moment(ring.shape, 100), 3);
    CHECK(ring.read(100) == 4);
    window_take_back(ring.words.data(), 0, Moment(ring.shape, 100), 30);
    CHECK(ring.read(100) == 0);
}
