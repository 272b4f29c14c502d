#include "atlascore/track/limit_table.hpp"

#include <algorithm>

#include "atlascore/track/window_table.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint32_t words_per_slot = 2 + LimitTable::buckets;

double until_oldest_leaves(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                           const Moment& now) noexcept {
    std::uint32_t age = 0;
    for (std::uint32_t back = 0; back < shape.buckets; ++back) {
        const std::uint32_t place = now.place >= back ? now.place - back : now.place + shape.buckets - back;
        const std::uint64_t word = std::atomic_ref(ring[place]).load(std::memory_order_relaxed);
        if (bucket::count_if(word, bucket::make(generation, now.epoch - back, 0)) != 0) age = back;
    }
    return std::max(0.0, (shape.buckets - age - now.into) / shape.per_width);
}

}  // namespace

std::vector<std::uint64_t> LimitTable::section_bytes(std::uint64_t capacity) {
    const std::uint32_t pairs = KeyTable::pairs_for(capacity);
    return {KeyTable::group_bytes(pairs), KeyTable::slot_count(pairs) * words_per_slot * 8};
}

LimitTable::LimitTable(base::Region& region, std::size_t first_section, std::uint64_t capacity) noexcept
    : keys_(region, region.section(first_section), region.section(first_section + 1),
            KeyTable::pairs_for(capacity), words_per_slot, ring_word) {}

LimitTable::Verdict LimitTable::reserve(std::uint64_t tag, const WindowShape& shape, double now,
                                        std::uint64_t n, std::uint64_t max) noexcept {
    for (;;) {
        const SlotRef slot = keys_.find_or_insert(tag);
        std::uint64_t* words = keys_.words(slot.index);
        const double newest = newest_time(words[1], now);
        std::uint64_t* ring = words + shape.first_word;
        const Moment moment(shape, newest);
        const Added added = window_add(ring, slot.generation, moment, moment, n);
        if (added == Added::gone) continue;
        const bool counted = added == Added::counted;
        // Who has counted in a later bucket meanwhile did not see this one, so this one must see him.
        if (counted && Moment(shape, newest_time(words[1], now)).epoch != moment.epoch) {
            window_take_back(ring, slot.generation, moment, n);
            continue;
        }
        if (counted &&
            window_read(ring, shape, slot.generation, moment).upper_bound() <= static_cast<double>(max)) {
            return {true, newest, 0};
        }
        if (counted) window_take_back(ring, slot.generation, moment, n);
        return {false, newest, until_oldest_leaves(ring, shape, slot.generation, moment)};
    }
}

void LimitTable::take_back(std::uint64_t tag, const WindowShape& shape, double counted_at,
                           std::uint64_t n) noexcept {
    const SlotRef slot = keys_.find(tag);
    if (!slot) return;
    std::uint64_t* words = keys_.words(slot.index);
    window_take_back(words + shape.first_word, slot.generation, Moment(shape, counted_at), n);
}

}  // namespace atlascore::track
