#include "atlascore/track/baseline.hpp"

#include <algorithm>
#include <cmath>

#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {
namespace {

constexpr double allowance = 1, largest = 4.5, limit = 16;
constexpr double largest_correlation = 0.6;
// Standard deviations are at least this: shares, and octaves of cost.
constexpr double least_spread[baseline_series] = {0.05, 0.05, 0.05, 0.25};
constexpr std::uint16_t least_hours = 24;
constexpr std::uint32_t memory_hours = 720, mature_hours = 7 * 24;
constexpr std::uint32_t block_queries = 64;  // of a block that count
constexpr unsigned query_bits = 10;
constexpr std::uint32_t most_queries = (1u << query_bits) - 1;

}  // namespace

std::uint32_t BlockMeans::largest_count() const noexcept {
    return *std::max_element(std::begin(count), std::end(count));
}

Baseline Baseline::starting(std::uint32_t hour) noexcept {
    Baseline baseline{};
    baseline.first_and_queries = hour << query_bits;
    baseline.block = hour;
    return baseline;
}

bool Baseline::mature() const noexcept {
    return queries_of(first_and_queries) >= mature_queries &&
           block - (first_and_queries >> query_bits) >= mature_hours;
}

void Baseline::close(const BlockMeans& means, std::uint32_t hour) noexcept {
    const std::uint32_t queries =
        queries_of(first_and_queries) + std::min(means.largest_count(), block_queries);
    first_and_queries = (first_and_queries & ~most_queries) | std::min(queries, most_queries);
    block = hour;
    for (std::size_t i = 0; i < baseline_series; ++i) {
        if (means.count[i] >= minimum_values) close_series(i, means.mean[i], mature());
    }
}

void Baseline::close_series(std::size_t i, double x, bool is_mature) noexcept {
    hours[i] = static_cast<std::uint16_t>(std::min(hours[i] + 1, 0xFFFF));
    if (hours[i] == 1) {
        mean[i] = static_cast<float>(x);
        return;
    }
    const double before = simd::from_half(previous[i]), known_variance = variance[i];
    double off = x - double{mean[i]};
    if (hours[i] > least_hours) {
        const double spread = std::max(std::sqrt(known_variance), least_spread[i]);
        const double correlation =
            std::clamp(double{covariance[i]} / std::max(known_variance, least_spread[i] * least_spread[i]),
                       0.0, largest_correlation);
        const double times = std::clamp((off - correlation * before) / spread, -largest, largest);
        if (is_mature) {
            const double sum = static_cast<double>(cusum[i]) / steps + times - allowance;
            cusum[i] = static_cast<std::uint16_t>(std::lround(std::clamp(sum, 0.0, limit) * steps));
        }
        off = std::clamp(off, -largest * spread, largest * spread);
    }
    const double weight = 1.0 / std::min<std::uint32_t>(hours[i], memory_hours);
    mean[i] = static_cast<float>(double{mean[i]} + weight * off);
    variance[i] = static_cast<float>((1 - weight) * (known_variance + weight * off * off));
    covariance[i] = static_cast<float>((1 - weight) * double{covariance[i]} + weight * off * before);
    previous[i] = simd::to_half(static_cast<float>(off));
}

std::uint16_t Baseline::signal() const noexcept {
    if (!mature()) return missing;
    int most = missing;
    for (std::size_t i = 0; i < baseline_series; ++i) {
        if (hours[i] >= least_hours) most = std::max(most, cusum[i] + 1);
    }
    return static_cast<std::uint16_t>(most);
}

}  // namespace atlascore::track
