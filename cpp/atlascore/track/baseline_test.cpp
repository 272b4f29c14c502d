#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/baseline_table.hpp"
#include "atlascore/track/recent.hpp"

using namespace atlascore;
using track::Baseline;
using track::BaselineNote;
using track::BaselineTable;
using track::BlockMeans;

namespace {

constexpr std::uint32_t start = 500'000;  // hours
constexpr std::uint64_t tracks = 10'000;

struct Table {
    std::vector<std::uint64_t> words = std::vector<std::uint64_t>(BaselineTable::bytes(tracks) / 8);
    BaselineTable table{reinterpret_cast<std::byte*>(words.data()), tracks};
};

BlockMeans means_of(double similarity, std::uint32_t count = 30) {
    BlockMeans means;
    means.mean[BlockMeans::similarity] = similarity;
    means.count[BlockMeans::similarity] = count;
    return means;
}

// The same in double precision, written from the definition.
struct Plain {
    int hours = 0;
    double mean = 0, variance = 0, covariance = 0, before = 0, sum = 0;
    void close(double x, bool mature) {
        if (++hours == 1) {
            mean = x;
            return;
        }
        double off = x - mean;
        if (hours > 24) {
            const double spread = std::max(std::sqrt(variance), 0.05);
            const double correlation = std::clamp(covariance / std::max(variance, 0.0025), 0.0, 0.6);
            const double times = std::clamp((off - correlation * before) / spread, -4.5, 4.5);
            if (mature) sum = std::clamp(sum + times - 1, 0.0, 16.0);
            off = std::clamp(off, -4.5 * spread, 4.5 * spread);
        }
        const double weight = 1.0 / std::min(hours, 720);
        mean += weight * off;
        variance = (1 - weight) * (variance + weight * off * off);
        covariance = (1 - weight) * covariance + weight * off * before;
        before = off;
    }
};

}  // namespace

TEST_CASE("a baseline is what the definition says, over months") {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    Baseline baseline = Baseline::starting(start);
    Plain plain;
    double largest = 0;
    for (std::uint32_t hour = 1; hour <= 2'000; ++hour) {
        const double level = hour > 1'500 && hour < 1'540 ? 0.7 : 0.4 + 0.1 * std::sin(hour * 0.26);
        const double x = level + 0.05 * normal(random);
        baseline.close(means_of(x), start + hour);
        plain.close(x, hour >= 168);
        if (hour < 168) CHECK(baseline.signal() == Baseline::missing);
        if (hour < 168) continue;
        CHECK(std::abs(Baseline::value_of(baseline.signal()) - plain.sum) < 0.01);
        if (hour < 1'500) largest = std::max(largest, plain.sum);
    }
    CHECK(largest < 8);
    CHECK(baseline.mean[0] == doctest::Approx(plain.mean).epsilon(1e-5));
}

TEST_CASE("a shift is found within three hours, and is over soon after its end") {
    Baseline baseline = Baseline::starting(start);
    std::uint32_t hour = start;
    for (int i = 0; i < 300; ++i) baseline.close(means_of(0.5), ++hour);
    CHECK(Baseline::value_of(baseline.signal()) == 0);
    for (int i = 0; i < 2; ++i) baseline.close(means_of(0.95), ++hour);
    CHECK(Baseline::value_of(baseline.signal()) <= 8);
    baseline.close(means_of(0.95), ++hour);
    CHECK(Baseline::value_of(baseline.signal()) > 8);
    for (int i = 0; i < 20; ++i) baseline.close(means_of(0.95), ++hour);
    for (int i = 0; i < 16; ++i) baseline.close(means_of(0.5), ++hour);
    CHECK(Baseline::value_of(baseline.signal()) == 0);
    for (int i = 0; i < 30; ++i) baseline.close(means_of(0.05), ++hour);  // less is no shift
    CHECK(Baseline::value_of(baseline.signal()) == 0);
}

TEST_CASE("what is missing: seven days, 500 queries, 24 hours of a series") {
    const auto after = [](std::uint32_t hours, std::uint32_t step, std::uint32_t count) {
        Baseline baseline = Baseline::starting(start);
        for (std::uint32_t i = 1; i <= hours; ++i) baseline.close(means_of(0.5, count), start + i * step);
        return Baseline::value_of(baseline.signal());
    };
    CHECK(std::isnan(after(167, 1, 60)));
    CHECK(after(168, 1, 60) == 0);
    CHECK(std::isnan(after(50, 4, 9)));
    CHECK(after(56, 4, 9) == 0);
    CHECK(std::isnan(after(23, 24, 64)));
    CHECK(after(24, 24, 64) == 0);
    CHECK(std::isnan(after(200, 1, 7)));
    Baseline baseline = Baseline::starting(start);
    for (std::uint32_t i = 1; i <= 70'000; ++i) baseline.close(means_of(0.5), start + i);
    CHECK(baseline.hours[0] == 0xFFFF);
    CHECK(Baseline::value_of(baseline.signal()) == 0);
}

TEST_CASE("a note is one word") {
    const BaselineNote note{503'211, 4'194'304, 12'345};
    CHECK(BaselineNote::of(note.word()).word() == note.word());
    CHECK(BaselineNote::of(note.word()).entry == 4'194'304);
    CHECK(BaselineNote::of(note.word()).hour == 503'211);
    CHECK(note.value() == 12'344 / 2'048.0);
    CHECK(std::isnan(BaselineNote{}.value()));
    CHECK(std::isnan(BaselineNote::of(0).value()));
}

TEST_CASE("a million tracks take little") {
    CHECK(BaselineTable::bytes(1'000'000) <= 370'000);
    CHECK(BaselineTable::bytes(1) == 64 * 104);
}

TEST_CASE("costs are a series of their own, and a block goes on until it has eight values") {
    Table t;
    const std::uint32_t entry = t.table.open(42, start);
    REQUIRE(entry != 0);
    CHECK(t.table.open(42, start) == entry);
    std::uint32_t hour = start;
    for (int i = 0; i < 7; ++i) t.table.add_cost(entry, 42, 8);
    CHECK(t.table.close(entry, 42, ++hour, BlockMeans{}).value() == Baseline::missing);
    CHECK(t.table.look(entry, 42)->block == start);
    t.table.add_cost(entry, 42, 16);
    t.table.close(entry, 42, ++hour, means_of(0.5, 3));
    CHECK(t.table.look(entry, 42)->block == hour);
    CHECK(t.table.look(entry, 42)->hours[BlockMeans::similarity] == 0);
    CHECK(t.table.look(entry, 42)->hours[BlockMeans::cost] == 1);
    CHECK(t.table.look(entry, 42)->mean[BlockMeans::cost] == doctest::Approx((7 * 3 + 4) / 8.0));
    for (int i = 0; i < 200; ++i) {
        for (int j = 0; j < 10; ++j) t.table.add_cost(entry, 42, i < 190 ? 8 : 32);
        t.table.close(entry, 42, ++hour, BlockMeans{});
    }
    CHECK(Baseline::value_of(t.table.close(entry, 42, hour, BlockMeans{}).value()) > 8);
}

TEST_CASE("who is in use keeps its entry, and the one that is idle for longest goes first") {
    Table t;
    const std::uint32_t entry = t.table.open(42, start);
    std::uint32_t hour = start;
    for (int i = 0; i < 100; ++i) t.table.close(entry, 42, ++hour, means_of(0.5));
    std::uint32_t made = 0;
    for (std::uint64_t i = 1; i < 2'000; ++i) made += t.table.open(base::mix64(i, 9), hour) != 0;
    CHECK(made == t.table.entries() - 1);
    CHECK(t.table.holds(entry, 42));
    CHECK(t.table.open(base::mix64(3'000, 9), hour + 23) == 0);
    // A week later whoever has been silent since may go.
    for (int i = 0; i < 168; ++i) t.table.close(entry, 42, ++hour, means_of(0.5));
    for (std::uint64_t i = 5'000; i < 6'000; ++i) t.table.open(base::mix64(i, 9), hour);
    CHECK(t.table.holds(entry, 42));
    hour += 168;
    for (std::uint64_t i = 8'000; i < 9'000; ++i) t.table.open(base::mix64(i, 9), hour);
    CHECK_FALSE(t.table.holds(entry, 42));
    CHECK_FALSE(t.table.close(entry, 42, hour, means_of(0.5)));
    t.table.add_cost(entry, 42, 1e9);
    CHECK_FALSE(t.table.look(entry, 42));
}

TEST_CASE("a slab tells the means of a block") {
    auto slab = std::make_unique<track::HotSlab>();
    slab->reset(77);
    track::Sketch sketch;
    const double from = start * 3'600.0, until = from + 3'600;
    for (int i = 0; i < 60; ++i) {
        const double now = i < 20 ? from - 1 : i < 50 ? from + i * 60 : until;
        track::Observation seen;
        seen.owner = 77;
        seen.compared = i % 3 != 0;
        seen.comparable = true;
        seen.survival = i < 20 ? 1.0f : 0.2f;
        seen.rank = 0.6f;
        seen.digest_tag = static_cast<std::uint64_t>(i) + 1;
        const std::uint32_t ticket = slab->take_tickets(1);
        slab->commit(sketch, seen, now, ticket, nullptr);
        track::Answered answered;
        answered.has_margin = i % 2 == 0;
        answered.low_margin = i % 4 == 0;
        slab->answer(ticket, answered);
    }
    const BlockMeans means = slab->block_means(from, until);
    CHECK(means.count[BlockMeans::similarity] == 20);
    CHECK(means.mean[BlockMeans::similarity] == doctest::Approx(51 / 255.0));
    CHECK(means.count[BlockMeans::low_margin] == 15);
    CHECK(means.mean[BlockMeans::low_margin] == doctest::Approx(8 / 15.0));
    CHECK(means.count[BlockMeans::manifold_rank] == 30);
    CHECK(means.mean[BlockMeans::manifold_rank] == doctest::Approx(153 / 255.0));
    CHECK(means.count[BlockMeans::cost] == 0);
    CHECK(slab->block_means(from, from).largest_count() == 0);
}
