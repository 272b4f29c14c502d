// A sliding window as a ring of time buckets, one 64-bit word each.
//
//   word   | generation 4 | epoch 32 | count 28 |          epoch = floor(now / width)
//
// A ring of B buckets over a horizon H has width = H / (B - 1): the current bucket, B - 2 whole ones, and the
// oldest, which the window (now - H, now] covers in part. Generation, epoch and count share the word, so one
// compare-exchange expires and counts, and a writer that still believes in the slot's previous owner fails. A
// slot that changes hands has its words set to the new generation with count 0.
//
// Reading: the whole buckets count in full, the oldest by the share of it that lies inside the window. With n
// events spread evenly the oldest bucket holds n / (B - 1) of them and the error is that of placing them
// evenly inside it: standard deviation sqrt(n / (6 (B - 1))), 1.0 of n = 100 at B = 17. The worst case is one
// burst in the oldest bucket: it leaves the reading linearly over one width instead of at one instant.
//
// Time. A writer's time may lie behind the newest by up to one bucket: it counts where it belongs. Older is
// late: refused here, counted by the caller. A reader never looks from before the newest write, so a reading
// never runs backwards. Equal times share a bucket. Epochs wrap after 2^32 widths; a wrapped word reads as
// expired.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace atlascore::track {

// Times are seconds since 1970. The state keeps them in 32 bits in places, hence the bound (year 2106).
inline constexpr double latest_time = 4294967295.0;

struct WindowShape {
    double horizon = 0;    // seconds
    double per_width = 0;  // 1 / width
    std::uint32_t buckets = 0;
    std::uint32_t first_word = 0;  // where the ring begins, in words from the start of the slot's ring area

    static WindowShape make(double horizon, std::uint32_t buckets, std::uint32_t first_word) noexcept {
        return {horizon, (buckets - 1) / horizon, buckets, first_word};
    }
};

enum class Added : std::uint8_t { counted, late, full, gone };  // gone: the slot has a new owner

namespace bucket {
inline constexpr unsigned count_bits = 28;
inline constexpr std::uint64_t count_mask = (std::uint64_t{1} << count_bits) - 1;

constexpr std::uint64_t make(std::uint32_t generation, std::uint32_t epoch, std::uint64_t count) noexcept {
    return std::uint64_t{generation & 15u} << 60 | std::uint64_t{epoch} << count_bits | count;
}
constexpr std::uint64_t count(std::uint64_t word) noexcept {
    return word & count_mask;
}
constexpr std::uint64_t tag(std::uint64_t word) noexcept {
    return word >> count_bits;
}  // generation and epoch
constexpr std::uint32_t epoch(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> count_bits);
}
}  // namespace bucket

// How far other writers can have moved a ring on during one call. What seems further ahead is from before the
// epochs wrapped, and an empty bucket has no epoch at all: a new slot's words hold 0.
inline constexpr std::int32_t most_epochs_ahead = 1 << 20;

inline std::uint64_t epoch_of(const WindowShape& shape, double now) noexcept {
    return static_cast<std::uint64_t>(now * shape.per_width);
}

// Add n events at time `now` to the ring that begins at `ring`. `newest` is the latest time the owner has
// seen.
inline Added window_add(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation, double now,
                        double newest, std::uint64_t n) noexcept {
    const std::uint64_t epoch = epoch_of(shape, now);
    if (now < newest && epoch + 1 < epoch_of(shape, newest)) return Added::late;
    const std::uint64_t fresh = bucket::make(generation, static_cast<std::uint32_t>(epoch), 0);
    std::atomic_ref<std::uint64_t> word(ring[epoch % shape.buckets]);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    for (;;) {
        const bool current = bucket::tag(seen) == bucket::tag(fresh);
        if (!current) {
            const std::uint64_t generations_ahead = ((seen >> 60) - (fresh >> 60)) & 15;
            if (generations_ahead != 0 && generations_ahead < 8) return Added::gone;
            const auto epochs_ahead = static_cast<std::int32_t>(bucket::epoch(seen) - bucket::epoch(fresh));
            if (generations_ahead == 0 && bucket::count(seen) != 0 && epochs_ahead > 0 &&
                epochs_ahead < most_epochs_ahead) {
                return Added::late;  // the bucket has moved on by whole turns of the ring
            }
        }
        const std::uint64_t count = (current ? bucket::count(seen) : 0) + n;
        if (count > bucket::count_mask) return Added::full;
        if (word.compare_exchange_weak(seen, fresh | count, std::memory_order_relaxed)) return Added::counted;
    }
}

// Take back what window_add counted. Nothing happens if the bucket has expired in between.
inline void window_take_back(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                             double now, std::uint64_t n) noexcept {
    const std::uint64_t epoch = epoch_of(shape, now);
    const std::uint64_t fresh = bucket::make(generation, static_cast<std::uint32_t>(epoch), 0);
    std::atomic_ref<std::uint64_t> word(ring[epoch % shape.buckets]);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (bucket::tag(seen) == bucket::tag(fresh)) {
        const std::uint64_t count = bucket::count(seen) - std::min(n, bucket::count(seen));
        if (word.compare_exchange_weak(seen, fresh | count, std::memory_order_relaxed)) return;
    }
}

struct WindowReading {
    double whole = 0;   // events in buckets that lie inside the window
    double oldest = 0;  // events in the bucket that the window covers in part
    double share = 0;   // the covered share of that bucket

    double interpolated() const noexcept { return whole + oldest * share; }
    double upper_bound() const noexcept { return whole + oldest; }  // never less than the exact count
};

inline WindowReading window_read(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                                 double now) noexcept {
    const double position = now * shape.per_width;
    const auto epoch = static_cast<std::uint64_t>(position);
    const std::uint64_t generation_bits = std::uint64_t{generation & 15u} << 32;
    const std::uint32_t span = shape.buckets - 1;
    std::uint64_t whole = 0, oldest = 0;
    for (std::uint32_t i = 0; i < shape.buckets; ++i) {
        const std::uint64_t word = std::atomic_ref(ring[i]).load(std::memory_order_relaxed);
        const std::uint64_t tag =
            bucket::tag(word) ^ generation_bits;  // the epoch alone, if the generation is ours
        const std::uint64_t age =
            (epoch & 0xFFFFFFFFull) - tag;  // huge for a foreign generation or the future
        whole += age < span ? bucket::count(word) : 0;
        oldest += age == span ? bucket::count(word) : 0;
    }
    return {static_cast<double>(whole), static_cast<double>(oldest),
            1.0 - (position - static_cast<double>(epoch))};
}

}  // namespace atlascore::track
