// Learning the scale of a model's features from its first queries (references.hpp).
#include <algorithm>
#include <cmath>
#include <limits>

#include "atlascore/track/references.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint32_t rms_inputs = 16;
constexpr std::uint32_t freeze_queries = 1000;  // of at least freeze_principals
constexpr std::uint32_t freeze_principals = 8;
constexpr std::uint32_t freeze_queries_any = 10000;
constexpr std::size_t sample_rows = 1024;
constexpr std::size_t wide_row = 128;  // values kept of an input wider than learned_width
constexpr double quartiles_to_deviation =
    1.349;  // interquartile range of a normal distribution of deviation 1
// Quartiles alone would let a feature that is nearly always the same outweigh all others when it is not, and
// any three inputs would lie on a line along it.
constexpr double least_range_share = 1.0 / 6;
enum ScaleEpoch : std::uint32_t { none = 0, first_input = 1, first_inputs = 2, frozen = 3 };

std::size_t row_width(std::size_t width) noexcept {
    return width <= learned_width ? width : wide_row;
}

std::size_t row_count(std::size_t width) noexcept {
    return std::min(sample_rows, ScaleSample::capacity / row_width(width));
}

float inverse_of(double range) noexcept {
    const auto inverse = static_cast<float>(1.0 / range);
    return std::isnormal(inverse) ? inverse : 1.0f;
}

void count_principal(ScaleSample& s, std::uint64_t principal) noexcept {
    const std::uint32_t known = shared_load(s.principals);
    for (std::uint32_t i = 0; i < known; ++i) {
        if (shared_load(s.principal_tags[i]) == principal) return;
    }
    if (known == freeze_principals) return;
    shared_store(s.principal_tags[known], principal);
    shared_store(s.principals, known + 1);
}

// A uniform sample of the rows so far: the n-th row replaces a random one with the probability of being kept.
void keep_row(ScaleSample& s, const float* x, std::size_t width, std::uint32_t query,
              std::uint64_t seed) noexcept {
    const std::size_t rows = row_count(width), kept = row_width(width);
    std::uint64_t place = query - 1;
    if (query > rows) place = base::mix64(seed, query) % query;
    if (place >= rows) return;
    for (std::size_t i = 0; i < kept; ++i) {
        const std::size_t from = width == kept ? i : base::mix64(seed + query, i) % width;
        shared_store(s.values[place * kept + i], x[from]);
    }
}

struct Spread {
    double center, range;  // range: IQR / 1.349 or more (spread_of); 0 when all values are equal
    double lowest, highest;
};

double quantile(float* values, std::size_t count, double share) noexcept {
    const double place = share * static_cast<double>(count - 1);
    const auto below = static_cast<std::size_t>(place);
    std::nth_element(values, values + below, values + count);
    const double low = values[below];
    if (below + 1 == count) return low;
    const double high = *std::min_element(values + below + 1, values + count);
    return low + (place - static_cast<double>(below)) * (high - low);
}

double deviation_of(const float* values, std::size_t count) noexcept {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < count; ++i) sum += values[i];
    const double mean = sum / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
    return std::sqrt(squares / static_cast<double>(count));
}

Spread spread_of(float* values, std::size_t count, double least_share) noexcept {
    const auto [lowest, highest] = std::minmax_element(values, values + count);
    Spread s{0, 0, *lowest, *highest};
    const double range = quantile(values, count, 0.75) - quantile(values, count, 0.25);
    s.center = quantile(values, count, 0.5);
    s.range = std::max(
        {range / quartiles_to_deviation, deviation_of(values, count), least_share * (s.highest - s.lowest)});
    return s;
}

// One scale for all features of wide inputs, from all the values kept.
void freeze_scalar(ModelReferences& r, ScaleSample& s, std::size_t count) noexcept {
    const Spread spread = spread_of(s.values, count, 0);
    shared_store(r.scale_center, static_cast<float>(spread.center));
    shared_store(r.scale_inverse, spread.range > 0 ? inverse_of(spread.range) : 1.0f);
}

void freeze_features(ModelReferences& r, const ScaleSample& s, std::size_t width, std::size_t rows) noexcept {
    float column[sample_rows];
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    for (std::size_t f = 0; f < width; ++f) {
        for (std::size_t row = 0; row < rows; ++row) column[row] = shared_load(s.values[row * width + f]);
        const Spread spread = spread_of(column, rows, least_range_share);
        lowest = std::min(lowest, spread.lowest);
        highest = std::max(highest, spread.highest);
        shared_store(r.centers[f], static_cast<float>(spread.center));
        shared_store(r.inverses[f], spread.range > 0 ? inverse_of(spread.range) : 0.0f);
    }
    // A feature that never changed: an attack may change it. It gets the floor of the whole input's range.
    const double floor = least_range_share * (highest - lowest);
    for (std::size_t f = 0; f < width; ++f) {
        if (shared_load(r.inverses[f]) == 0.0f)
            shared_store(r.inverses[f], floor > 0 ? inverse_of(floor) : 1.0f);
    }
}

void freeze(ModelReferences& r, ScaleSample& s, std::size_t width, std::uint32_t queries) noexcept {
    const std::size_t rows = std::min<std::size_t>(queries, row_count(width));
    if (width <= learned_width) {
        freeze_features(r, s, width, rows);
    } else {
        freeze_scalar(r, s, rows * wide_row);
    }
    shared_store(r.scale_width, static_cast<std::uint32_t>(width));
    shared_store(r.scale_epoch, frozen, std::memory_order_release);
}

// The provisional scales: divided by the root mean square of the first input, and of the first 16.
void learn_rms(ModelReferences& r, ScaleSample& s, const float* x, std::size_t width,
               std::uint32_t query) noexcept {
    double sum = shared_load(s.square_sum);
    for (std::size_t i = 0; i < width; ++i) sum += static_cast<double>(x[i]) * x[i];
    shared_store(s.square_sum, sum);
    if (query != 1 && query != rms_inputs) return;
    const float inverse = inverse_of(std::sqrt(sum / (static_cast<double>(width) * query)));
    shared_store(r.rms_inverses[query == 1 ? 0 : 1], inverse);
    shared_store(r.scale_epoch, query == 1 ? first_input : first_inputs, std::memory_order_release);
}

}  // namespace

void ModelReferences::learn_scale(const float* x, std::size_t width, std::uint64_t principal,
                                  std::uint64_t seed, ScaleSample& sample) noexcept {
    if (scale_frozen() || width == 0) return;
    const UpdateClaim held(sample.claim);
    if (!held || scale_frozen()) return;
    if (shared_load(sample.width) == 0) shared_store(sample.width, static_cast<std::uint32_t>(width));
    if (shared_load(sample.width) != width) return;
    const std::uint32_t query = shared_load(sample.queries) + 1;
    shared_store(sample.queries, query);
    count_principal(sample, principal);
    if (query <= rms_inputs) learn_rms(*this, sample, x, width, query);
    keep_row(sample, x, width, query, seed);
    const bool enough = query >= freeze_queries && shared_load(sample.principals) >= freeze_principals;
    if (enough || query >= freeze_queries_any) freeze(*this, sample, width, query);
}

bool ModelReferences::scale_frozen() const noexcept {
    return shared_load(scale_epoch, std::memory_order_acquire) == frozen;
}

Scale ModelReferences::learned_scale(std::size_t width) const noexcept {
    Scale scale;
    scale.epoch = shared_load(scale_epoch, std::memory_order_acquire);
    if (scale.epoch == none) return scale;
    if (scale.epoch != frozen) {
        scale.inverse = shared_load(rms_inverses[scale.epoch - 1]);
    } else if (width != shared_load(scale_width)) {
        // Inputs of another width than those learned from keep the provisional scale.
        scale.inverse = shared_load(rms_inverses[1]);
    } else if (width <= learned_width) {
        scale.centers = centers;
        scale.inverses = inverses;
    } else {
        scale.center = shared_load(scale_center);
        scale.inverse = shared_load(scale_inverse);
    }
    return scale;
}

}  // namespace atlascore::track
