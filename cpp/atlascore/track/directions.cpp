#include "atlascore/track/directions.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <numeric>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

std::size_t bin_of(float cosine) noexcept {
    constexpr auto half = static_cast<float>(Directions::bin_count) / 2;
    const auto bin = static_cast<std::ptrdiff_t>(std::floor((cosine + 1) * half));
    return static_cast<std::size_t>(
        std::clamp<std::ptrdiff_t>(bin, 0, static_cast<std::ptrdiff_t>(Directions::bin_count) - 1));
}

using Counts = std::array<std::uint16_t, Directions::bin_count>;

// Four at a time.
Counts copy_of(const std::uint16_t* bins) noexcept {
    std::array<std::uint64_t, sizeof(Counts) / sizeof(std::uint64_t)> words;
    const auto* from = reinterpret_cast<const std::uint64_t*>(bins);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = shared_load(from[i]);
    return std::bit_cast<Counts>(words);
}

std::uint32_t sum_of(const Counts& counts) noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint32_t{0});
}

}  // namespace

void Directions::add(float cosine) noexcept {
    std::atomic_ref(bins[bin_of(cosine)]).fetch_add(1, std::memory_order_relaxed);
    if (sum_of(copy_of(bins)) < halved_at) return;
    for (std::uint16_t& bin : bins) {
        const std::uint16_t count = shared_load(bin);
        shared_exchange_if(bin, count, static_cast<std::uint16_t>(count / 2));
    }
}

double Directions::concentration(float pending) const noexcept {
    Counts counts = copy_of(bins);
    if (!std::isnan(pending)) {
        ++counts[bin_of(pending)];
        if (sum_of(counts) >= halved_at) {
            for (std::uint16_t& count : counts) count /= 2;
        }
    }
    const std::uint32_t sum = sum_of(counts);
    if (sum < minimum) return std::numeric_limits<double>::quiet_NaN();
    std::uint16_t first = 0, second = 0;
    for (const std::uint16_t count : counts) {
        second = std::max(second, std::min(first, count));
        first = std::max(first, count);
    }
    return static_cast<double>(first + second) / sum;
}

void Directions::clear() noexcept {
    for (std::uint16_t& bin : bins) shared_store(bin, 0);
}

}  // namespace atlascore::track
