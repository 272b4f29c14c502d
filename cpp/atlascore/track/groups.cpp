#include "atlascore/track/groups.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

namespace atlascore::track {
namespace {

std::uint8_t capped(std::uint32_t length) noexcept {
    return static_cast<std::uint8_t>(std::min<std::uint32_t>(length, 255));
}

// Whether the median is below the least one, without sorting.
bool are_short(const std::uint8_t* lengths, std::size_t count) noexcept {
    constexpr double least = Groups::least_median_length;
    std::size_t below = 0;
    std::uint8_t longest_below = 0, shortest_above = 255;
    for (std::size_t i = 0; i < count; ++i) {
        if (lengths[i] < least) {
            ++below;
            longest_below = std::max(longest_below, lengths[i]);
        } else {
            shortest_above = std::min(shortest_above, lengths[i]);
        }
    }
    if (2 * below != count) return 2 * below > count;
    return (longest_below + shortest_above) / 2.0 < least;
}

}  // namespace

bool Groups::holds(const SlotRow& first, const Sketch& sketch, float reach,
                   std::uint64_t owner) const noexcept {
    const std::uint32_t sequence = published(meta, sketch.space());
    SlotRow row;
    if (sequence == 0 || !read_slot(meta, first, sequence, owner, row)) return false;
    float raw;
    raw_distances(sketch, &row, 1, &raw);
    return distance_of(sketch, raw) < reach;
}

void Groups::add(SlotRow& first, const Sketch& sketch, bool held, std::uint64_t owner) noexcept {
    if (held) {
        std::atomic_ref(length).fetch_add(1, std::memory_order_relaxed);
        return;
    }
    const std::uint32_t before = std::atomic_ref(length).exchange(1, std::memory_order_relaxed);
    if (before != 0) {
        const std::uint32_t run = std::atomic_ref(finished).fetch_add(1, std::memory_order_relaxed);
        shared_store(lengths[run % run_count], capped(before));
    }
    const SlotKey key{.digest = static_cast<std::uint32_t>(sketch.digest.low), .space = sketch.space()};
    write_slot(meta, first, pack(sketch), key, owner);
}

double Groups::regularity(bool ends) const noexcept {
    std::uint8_t last[run_count];
    for (std::size_t i = 0; i < run_count; ++i) last[i] = shared_load(lengths[i]);
    std::uint32_t runs = shared_load(finished);
    const std::uint32_t current = shared_load(length);
    if (ends && current != 0) last[runs++ % run_count] = capped(current);
    const std::size_t count = std::min<std::size_t>(runs, run_count);
    if (count < minimum || are_short(last, count)) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < count; ++i) sum += last[i];
    const double mean = sum / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) squares += (last[i] - mean) * (last[i] - mean);
    return 1 - std::min(1.0, std::sqrt(squares / static_cast<double>(count)) / mean);
}

void Groups::reset() noexcept {
    clear_slot(meta);
    shared_store(length, 0);
    shared_store(finished, 0);
    for (std::uint8_t& run : lengths) shared_store(run, 0);
}

}  // namespace atlascore::track
