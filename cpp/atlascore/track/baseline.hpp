// A track against its own past: a CUSUM on the means of its hours (api.baseline_shift).
//
// Four series: how similar inputs are to the ones before (mean survival), the share of low margins, the rank
// among ordinary inputs, the logarithm of what requests cost. Each hour is compared with mean and standard
// deviation of the hours of 30 days. Honest callers' hours are alike by day and by night, at weekends, or
// because a task lasts; so an hour counts by how much it is off less what the hour before announced: the
// correlation of hours in a row times what that was off. No hour counts more than 4.5 standard deviations,
// nor teaches more.
//
// A block is the hours since the last that counted; it ends with an hour when some series has eight values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace atlascore::track {

inline constexpr std::size_t baseline_series = 4;
inline constexpr double seconds_per_hour = 3600;
inline constexpr std::uint32_t minimum_values = 8;  // of a block
inline constexpr std::uint32_t mature_queries = 500;

// Hours since 1970.
inline std::uint32_t hour_of(double now) noexcept {
    return static_cast<std::uint32_t>(now / seconds_per_hour);
}

struct BlockMeans {
    enum Series : std::size_t { similarity, low_margin, manifold_rank, cost };
    double mean[baseline_series] = {};
    std::uint32_t count[baseline_series] = {};

    std::uint32_t largest_count() const noexcept;
};

struct Baseline {
    static constexpr std::uint16_t steps = 2048;  // in which CUSUM is stored
    static constexpr std::uint16_t missing = 0;   // as a signal, which is one more than its steps

    static Baseline starting(std::uint32_t hour) noexcept;
    static double value_of(std::uint16_t signal) noexcept {
        return signal == missing ? std::numeric_limits<double>::quiet_NaN() : (signal - 1) * (1.0 / steps);
    }
    static std::uint32_t queries_of(std::uint32_t first_and_queries) noexcept {
        return first_and_queries & 1023;
    }

    // The block ends when `hour` begins.
    void close(const BlockMeans& means, std::uint32_t hour) noexcept;
    // The largest CUSUM, for value_of(); missing below 7 days, 500 queries and 24 hours of a series.
    std::uint16_t signal() const noexcept;

    std::uint32_t first_and_queries;  // hour, 22 bits | queries, 10 bits
    std::uint32_t block;              // first hour of the block under way
    float mean[baseline_series];
    float variance[baseline_series];
    float covariance[baseline_series];        // with the hour before
    std::uint16_t previous[baseline_series];  // what the hour before was off, half precision
    std::uint16_t cusum[baseline_series];
    std::uint16_t hours[baseline_series];  // counted, to 65,535

  private:
    bool mature() const noexcept;
    void close_series(std::size_t series, double x, bool mature) noexcept;
};
static_assert(sizeof(Baseline) == 80 && alignof(Baseline) == 4 && std::is_trivially_copyable_v<Baseline> &&
              std::is_standard_layout_v<Baseline>);

}  // namespace atlascore::track
