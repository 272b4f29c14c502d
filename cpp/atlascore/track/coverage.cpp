#include "atlascore/track/coverage.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>

#include "atlascore/base/bits.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

// Linear counting: the cells that so many bits stand for.
const std::array<double, Coverage::bit_count + 1> cells_of = [] {
    constexpr auto bits = static_cast<double>(Coverage::bit_count);
    std::array<double, Coverage::bit_count + 1> table{};
    for (std::size_t set = 0; set < Coverage::bit_count; ++set)
        table[set] = std::min(coverage_cells, -bits * std::log1p(-static_cast<double>(set) / bits));
    table[Coverage::bit_count] = coverage_cells;
    return table;
}();

}  // namespace

CoveragePlanes::CoveragePlanes(std::uint64_t from) noexcept : seed(base::mix64(from, 0x63656C6C)) {
    const auto uniform = [&](std::size_t i) {
        return (static_cast<double>(base::mix64(seed, i) >> 11) + 0.5) * 0x1p-53;
    };
    normals.fill(0);
    for (std::size_t i = 0; i < coverage_planes * linear_size; ++i) {
        const double length = std::sqrt(-2 * std::log(uniform(2 * i)));
        normals[i % linear_size * columns + i / linear_size] =
            static_cast<float>(length * std::cos(2 * std::numbers::pi * uniform(2 * i + 1)));
    }
}

std::uint16_t CoveragePlanes::bit_of(const float* linear, const float* center) const noexcept {
    alignas(64) float from_center[linear_size];
    for (std::size_t i = 0; i < linear_size; ++i) from_center[i] = linear[i] - center[i];
    float sides[columns];
    simd::project(normals.data(), from_center, linear_size, columns, sides);
    std::uint64_t cell = 0;
    for (std::size_t plane = 0; plane < coverage_planes; ++plane)
        cell |= static_cast<std::uint64_t>(sides[plane] > 0) << plane;
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
        set += base::count_bits(word);
    }
    return cells_of[set];
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
