#include "atlascore/track/coverage_reference.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "atlascore/track/coverage.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint32_t halved_at = 2048;
constexpr std::uint32_t rare = 100;  // one principal in so many is wide
constexpr int first_power = std::countr_zero(CoverageReference::first_inputs);

std::size_t bin_of(int level, double cells) noexcept {
    const double most =
        std::min(coverage_cells, static_cast<double>(CoverageReference::first_inputs << level));
    constexpr auto bins = static_cast<double>(CoverageReference::bin_count);
    return static_cast<std::size_t>(std::clamp(cells / most * bins, 0.0, bins - 1));
}

void move(CoverageReference& r, const float* to, std::uint32_t members, std::uint16_t space) noexcept {
    const std::uint32_t moving = shared_load(r.sequence) | 1;
    shared_store(r.sequence, moving, std::memory_order_release);
    if (shared_load(r.space) != space) {
        for (auto& curve : r.curves) {
            for (std::uint16_t& bin : curve) shared_store(bin, 0);
        }
    }
    shared_store(r.space, space, std::memory_order_release);
    shared_store(r.members, members, std::memory_order_release);
    // 16 bits of it name the center, and 0 none.
    const std::uint32_t next = shared_load(r.number) + 1;
    shared_store(r.number, next % 65'536 == 0 ? next + 1 : next, std::memory_order_release);
    for (std::size_t i = 0; i < linear_size; ++i) shared_store(r.mean[i], to[i], std::memory_order_release);
    shared_store(r.sequence, moving + 1, std::memory_order_release);
}

}  // namespace

int CoverageReference::level_of(std::uint32_t inputs) noexcept {
    if (!std::has_single_bit(inputs)) return -1;
    const int level = std::countr_zero(inputs) - first_power;
    return level < static_cast<int>(level_count) ? std::max(level, -1) : -1;
}

std::uint16_t CoverageReference::center(std::uint16_t of_space, float* out) const noexcept {
    const std::uint32_t before = shared_load(sequence, std::memory_order_acquire);
    if (before % 2 != 0 || of_space == 0 || shared_load(space) != of_space) return 0;
    const auto which = static_cast<std::uint16_t>(shared_load(number));
    const auto* pairs = reinterpret_cast<const std::uint64_t*>(mean);
    for (std::size_t i = 0; i < linear_size / 2; ++i) {
        const std::uint64_t two = shared_load(pairs[i], std::memory_order_acquire);
        std::memcpy(out + 2 * i, &two, sizeof two);
    }
    return shared_load(sequence) == before ? which : std::uint16_t{0};
}

void CoverageReference::follow(const Manifold& ordinary) noexcept {
    const bool rescaled = shared_load(space) != ordinary.space;
    const bool settled = shared_load(sequence) % 2 == 0 && ordinary.count < 2 * shared_load(members);
    if (ordinary.space == 0 || (!rescaled && settled)) return;
    move(*this, ordinary.mean, ordinary.count, static_cast<std::uint16_t>(ordinary.space));
}

void CoverageReference::add_text(const float* linear, std::uint16_t of_space) noexcept {
    const std::uint32_t count = shared_load(texts) + 1;
    if (count > manifold_capacity) return;
    shared_store(texts, count);
    float average[linear_size];
    for (std::size_t i = 0; i < linear_size; ++i) {
        const float sum = shared_load(text_sum[i]) + linear[i];
        shared_store(text_sum[i], sum);
        average[i] = sum / static_cast<float>(count);
    }
    if (count >= manifold_minimum && std::has_single_bit(count)) move(*this, average, count, of_space);
}

void CoverageReference::learn(int level, double cells) noexcept {
    std::uint16_t* curve = curves[level];
    std::atomic_ref(curve[bin_of(level, cells)]).fetch_add(1, std::memory_order_relaxed);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bin_count; ++i) sum += shared_load(curve[i]);
    if (sum < halved_at) return;
    for (std::size_t i = 0; i < bin_count; ++i) {
        const std::uint16_t count = shared_load(curve[i]);
        shared_exchange_if(curve[i], count, static_cast<std::uint16_t>(count / 2));
    }
}

CoverageReference::Rank CoverageReference::rank(int level, double cells) const noexcept {
    const std::uint16_t* curve = curves[level];
    const std::size_t mine = bin_of(level, cells);
    std::uint32_t sum = 0, not_below = 0;
    for (std::size_t i = 0; i < bin_count; ++i) {
        const std::uint32_t count = shared_load(curve[i]);
        sum += count;
        not_below += i >= mine ? count : 0;
    }
    return {.known = sum >= minimum, .wide = rare * not_below < sum};
}

}  // namespace atlascore::track
