#include "atlascore/track/window_table.hpp"

#include <algorithm>

#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint32_t header_words = 2;  // generation, newest time
constexpr int tries = 4;

std::uint32_t slot_words(std::size_t horizons) {
    return header_words + static_cast<std::uint32_t>(horizons) * WindowTable::buckets;
}

}  // namespace

base::RegionSpec WindowTable::spec(std::uint64_t capacity, std::span<const double> horizons,
                                   const std::string& state) {
    if (capacity < 1 || capacity > (std::uint64_t{1} << 31)) {
        throw base::Error("capacity must be 1 to 2^31 keys, not " + std::to_string(capacity));
    }
    if (horizons.empty() || horizons.size() > horizon_limit) {
        throw base::Error("horizons must be 1 to 8 numbers of seconds, not " +
                          std::to_string(horizons.size()));
    }
    base::RegionSpec spec;
    spec.name = state;
    spec.configuration_text = "capacity " + std::to_string(capacity) + " and horizons";
    spec.configuration = base::mix64(capacity, horizons.size());
    for (const double horizon : horizons) {
        if (!(horizon >= 1e-3 && horizon <= latest_time)) {
            throw base::Error("a horizon must be at least 0.001 s and finite, not " +
                              std::to_string(horizon));
        }
        spec.configuration = base::mix64(spec.configuration, std::bit_cast<std::uint64_t>(horizon));
        spec.configuration_text += " " + std::to_string(horizon) + " s";
    }
    const std::uint32_t pairs = KeyTable::pairs_for(capacity);
    spec.section_bytes = {KeyTable::group_bytes(pairs),
                          KeyTable::slot_count(pairs) * slot_words(horizons.size()) * 8};
    return spec;
}

WindowTable::WindowTable(std::uint64_t capacity, std::span<const double> horizons, const std::string& state)
    : region_(spec(capacity, horizons, state)),
      keys_(region_, region_.section(0), region_.section(1), KeyTable::pairs_for(capacity),
            slot_words(horizons.size()), header_words) {
    std::uint32_t first = header_words;
    for (const double horizon : horizons) {
        shapes_.push_back(WindowShape::make(horizon, buckets, first));
        first += buckets;
    }
}

std::uint64_t WindowTable::tag(std::string_view key) const noexcept {
    return KeyTable::tag_of(base::hash64(key, region_.seed()));
}

std::uint64_t WindowTable::tag(std::uint64_t key) const noexcept {
    return KeyTable::tag_of(base::hash64(&key, sizeof key, region_.seed() ^ 1));
}

void WindowTable::hit(std::uint64_t tag, double now, std::uint64_t n, double* counts) noexcept {
    // A slot can be evicted by another thread between the look-up and the count; then the key gets a new one.
    for (int attempt = 0; attempt < tries; ++attempt) {
        if (hit_once(tag, now, n, counts)) return;
    }
    // Evicted every time: of the key nothing is kept, and its windows begin with this event.
    std::fill_n(counts, shapes_.size(), static_cast<double>(n));
}

bool WindowTable::hit_once(std::uint64_t tag, double now, std::uint64_t n, double* counts) noexcept {
    const SlotRef slot = keys_.find_or_insert(tag);
    std::uint64_t* words = keys_.words(slot.index);
    const double newest = newest_time(words[1], now);
    bool late = false;
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
        const WindowShape& shape = shapes_[i];
        const Moment newest_moment(shape, newest);
        const Moment moment = now == newest ? newest_moment : Moment(shape, now);
        std::uint64_t* ring = words + shape.first_word;
        const Added added = window_add(ring, slot.generation, moment, newest_moment, n);
        if (added == Added::gone) return false;
        late |= added == Added::late;
        if (added == Added::full) region_.add(base::Counter::overflow);
        counts[i] = window_read(ring, shape, slot.generation, newest_moment).interpolated();
    }
    if (late) region_.add(base::Counter::late);
    return late || counts[0] >= static_cast<double>(n) || keys_.holds(slot, tag);
}

void WindowTable::read(std::uint64_t tag, double now, double* counts) const noexcept {
    const SlotRef slot = keys_.find(tag);
    std::fill_n(counts, shapes_.size(), 0.0);
    if (!slot) return;
    std::uint64_t* words = keys_.words(slot.index);
    const double newest =
        std::max(now, std::bit_cast<double>(std::atomic_ref(words[1]).load(std::memory_order_relaxed)));
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
        const WindowShape& shape = shapes_[i];
        counts[i] = window_read(words + shape.first_word, shape, slot.generation, Moment(shape, newest))
                        .interpolated();
    }
}

}  // namespace atlascore::track
