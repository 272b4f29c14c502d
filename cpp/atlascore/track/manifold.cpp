#include "atlascore/track/manifold.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {
namespace {

constexpr double far_percentile = 0.99;
constexpr std::size_t omitted_share = 10;  // one in so many

std::size_t kept_of(std::size_t count) noexcept {
    return count - std::max(manifold_omitted, count / omitted_share);
}

// The value below which `share` of the ascending values lie, linear between neighbours.
double percentile(std::span<const float> ascending, double share) noexcept {
    const double place = share * static_cast<double>(ascending.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, ascending.size() - 1);
    const double inside = place - static_cast<double>(below);
    return ascending[below] + inside * (ascending[above] - ascending[below]);
}

using Members = std::span<const std::uint16_t>;  // numbers of inputs

void take_moments(std::span<const float> inputs, Members members, Manifold& out) noexcept {
    const auto count = static_cast<double>(members.size());
    std::array<double, linear_size> mean{}, variance{};
    for (const std::size_t member : members) {
        for (std::size_t i = 0; i < linear_size; ++i) mean[i] += inputs[member * linear_size + i];
    }
    for (double& value : mean) value /= count;
    for (const std::size_t member : members) {
        for (std::size_t i = 0; i < linear_size; ++i) {
            const double off = inputs[member * linear_size + i] - mean[i];
            variance[i] += off * off;
        }
    }
    double typical = 0;
    for (double& value : variance) {
        value /= count;
        typical += value / linear_size;
    }
    const double least = std::max(least_deviation * std::sqrt(typical), 1e-6);
    for (std::size_t i = 0; i < linear_size; ++i) {
        out.mean[i] = static_cast<float>(mean[i]);
        out.inverse_deviation[i] = static_cast<float>(1 / std::max(least, std::sqrt(variance[i])));
    }
}

float mean_off_grid(std::span<const float> shares) noexcept {
    std::array<float, manifold_capacity> known;
    std::size_t count = 0;
    for (const float share : shares) {
        if (share >= 0) known[count++] = share;
    }
    if (count < manifold_minimum) return 1;
    std::sort(known.begin(), known.begin() + static_cast<std::ptrdiff_t>(count));
    const std::size_t kept = kept_of(count);
    double sum = 0;
    for (std::size_t i = 0; i < kept; ++i) sum += known[i];
    return static_cast<float>(sum / static_cast<double>(kept));
}

}  // namespace

float Manifold::energy(const float* linear) const noexcept {
    alignas(64) float units[linear_size];
    for (std::size_t i = 0; i < linear_size; ++i) units[i] = (linear[i] - mean[i]) * inverse_deviation[i];
    return simd::dot(units, units, linear_size) / linear_size;
}

Location Manifold::locate(const float* linear, std::uint16_t of_space) const noexcept {
    Location location;
    if (of_space == 0 || space != of_space || count == 0) return location;
    const float value = energy(linear);
    const float* end = energies + std::min<std::size_t>(count, manifold_capacity);
    location.known = true;
    location.rank =
        static_cast<float>(std::upper_bound(energies, end, value) - energies) / static_cast<float>(count);
    location.far = value > far_from;
    location.off_grid = off_grid;
    return location;
}

void make_manifold(std::span<const float> inputs, std::span<const float> off_grid, std::uint16_t space,
                   Manifold& out) noexcept {
    const std::size_t count = std::min(inputs.size() / linear_size, manifold_capacity);
    out.space = count < manifold_minimum ? 0 : space;
    out.count = 0;
    if (out.space == 0) return;
    std::array<std::uint16_t, manifold_capacity> members;
    std::iota(members.begin(), members.end(), std::uint16_t{0});
    take_moments(inputs, Members(members).first(count), out);
    std::array<float, manifold_capacity> energies;
    for (std::size_t i = 0; i < count; ++i) energies[i] = out.energy(inputs.data() + i * linear_size);
    const std::size_t kept = kept_of(count);
    std::nth_element(members.begin(), members.begin() + static_cast<std::ptrdiff_t>(kept),
                     members.begin() + static_cast<std::ptrdiff_t>(count),
                     [&](std::size_t a, std::size_t b) { return energies[a] < energies[b]; });
    take_moments(inputs, Members(members).first(kept), out);
    for (std::size_t i = 0; i < kept; ++i)
        out.energies[i] = out.energy(inputs.data() + members[i] * linear_size);
    std::sort(out.energies, out.energies + kept);
    out.count = static_cast<std::uint32_t>(kept);
    out.far_from =
        static_cast<float>(far_factor * percentile(std::span(out.energies, out.count), far_percentile));
    out.off_grid = mean_off_grid(off_grid);
}

}  // namespace atlascore::track
