#include "atlascore/track/coverage.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "atlascore/base/hash.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

CoveragePlanes::CoveragePlanes(std::uint64_t from) noexcept : seed(base::mix64(from, 0x63656C6C)) {
    const auto uniform = [&](std::size_t i) {
        return (static_cast<double>(base::mix64(seed, i) >> 11) + 0.5) * 0x1p-53;
    };
    for (std::size_t i = 0; i < normals.size(); ++i) {
        const double length = std::sqrt(-2 * std::log(uniform(2 * i)));
        normals[i] = static_cast<float>(length * std::cos(2 * std::numbers::pi * uniform(2 * i + 1)));
    }
}

std::uint16_t CoveragePlanes::bit_of(const float* linear, const float* center) const noexcept {
    alignas(64) float from_center[linear_size];
    for (std::size_t i = 0; i < linear_size; ++i) from_center[i] = linear[i] - center[i];
    std::uint64_t cell = 0;
    for (std::size_t plane = 0; plane < coverage_planes; ++plane) {
        const float side = simd::dot(normals.data() + plane * linear_size, from_center, linear_size);
        cell |= static_cast<std::uint64_t>(side > 0) << plane;
    }
    return static_cast<std::uint16_t>(base::mix64(seed, cell) % Coverage::bit_count);
}

void Coverage::add(const Step& step) noexcept {
    if (step.reference == 0) return;
    if (shared_load(reference) != step.reference) {
        clear();
        shared_store(reference, step.reference);
    }
    std::atomic_ref(words[step.bit / 64])
        .fetch_or(std::uint64_t{1} << step.bit % 64, std::memory_order_relaxed);
    std::atomic_ref(added).fetch_add(1, std::memory_order_relaxed);
}

std::uint32_t Coverage::inputs(const Step& pending) const noexcept {
    if (pending.reference == 0) return shared_load(added);
    return (shared_load(reference) == pending.reference ? shared_load(added) : 0) + 1;
}

double Coverage::cells(const Step& pending) const noexcept {
    const bool mine = pending.reference == 0 || shared_load(reference) == pending.reference;
    std::size_t set = 0;
    for (std::size_t i = 0; i < std::size(words); ++i) {
        std::uint64_t word = mine ? shared_load(words[i]) : 0;
        if (pending.reference != 0 && pending.bit / 64 == i) word |= std::uint64_t{1} << pending.bit % 64;
        set += static_cast<std::size_t>(std::popcount(word));
    }
    if (set == bit_count) return coverage_cells;
    constexpr auto bits = static_cast<double>(bit_count);
    return std::min(coverage_cells, -bits * std::log1p(-static_cast<double>(set) / bits));
}

double Coverage::share(const Step& pending) const noexcept {
    if (inputs(pending) < minimum) return std::numeric_limits<double>::quiet_NaN();
    return cells(pending) / coverage_cells;
}

void Coverage::clear() noexcept {
    for (std::uint64_t& word : words) shared_store(word, 0);
    shared_store(added, 0);
    shared_store(reference, 0);
}

}  // namespace atlascore::track
