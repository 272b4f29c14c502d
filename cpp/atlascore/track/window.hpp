// A sliding window as a ring of time buckets, one 64-bit word each.
//
//   word   | epoch 32 | generation 4 | count 28 |          epoch = floor(now / width)
//
// A ring of B buckets over a horizon H has width = H / (B - 1): the current bucket, B - 2 whole ones, and the
// oldest, which the window (now - H, now] covers in part. Generation, epoch and count share the word, so one
// compare-exchange expires and counts, and a writer that still believes in the slot's previous owner fails. A
// slot that changes hands has its words set to the new generation with count 0.
//
// Reading: the whole buckets count in full, the oldest by the share of it that lies inside the window. With n
// events spread evenly the oldest bucket holds n / (B - 1) of them and the error is that of placing them
// evenly inside it: standard deviation sqrt(n / (6 (B - 1))), 0.94 of n = 100 at B = 20. The worst case is
// one burst in the oldest bucket: it leaves the reading linearly over one width instead of at one instant.
//
// Order. Additions, readings and the newest time are sequentially consistent (loads cost nothing more for it
// on x86): of two writers on either side of a bucket's edge at least one sees the other.
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

#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {

// Times are seconds since 1970. The state keeps them in 32 bits in places, hence the bound (year 2106).
inline constexpr double latest_time = 4294967295.0;

struct WindowShape {
    double horizon = 0;    // seconds
    double per_width = 0;  // 1 / width
    double per_turn = 0;   // 1 / buckets
    std::uint32_t buckets = 0;
    std::uint32_t first_word = 0;  // where the ring begins, in words from the start of the slot's ring area

    static WindowShape make(double horizon, std::uint32_t buckets, std::uint32_t first_word) noexcept {
        return {horizon, (buckets - 1) / horizon, 1.0 / buckets, buckets, first_word};
    }
};

enum class Added : std::uint8_t { counted, late, full, gone };  // gone: the slot has a new owner

namespace bucket {
inline constexpr unsigned count_bits = simd::ring_count_bits;
inline constexpr std::uint64_t count_mask = (std::uint64_t{1} << count_bits) - 1;
inline constexpr std::uint64_t next_epoch = std::uint64_t{1} << 32;  // one epoch on, wrapping as epochs do

constexpr std::uint64_t make(std::uint32_t generation, std::uint64_t epoch, std::uint64_t count) noexcept {
    return epoch << 32 | std::uint64_t{generation & 15u} << count_bits | count;
}
constexpr std::uint64_t count(std::uint64_t word) noexcept {
    return word & count_mask;
}
// What `word` counts if it is of the generation and epoch of `empty`, a word of count 0; otherwise 0.
constexpr std::uint64_t count_if(std::uint64_t word, std::uint64_t empty) noexcept {
    const std::uint64_t difference = word - empty;
    return difference <= count_mask ? difference : 0;
}
constexpr std::uint32_t generation(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> count_bits) & 15u;
}
constexpr std::uint32_t epoch(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}
}  // namespace bucket

// How far other writers can have moved a ring on during one call. What seems further ahead is from before the
// epochs wrapped, and an empty bucket has no epoch at all: a new slot's words hold 0.
inline constexpr std::int32_t most_epochs_ahead = 1 << 20;

// A time as a ring sees it.
struct Moment {
    std::uint64_t epoch = 0;
    std::uint32_t place = 0;  // epoch mod buckets
    double into = 0;          // how far into its bucket, 0 to 1

    Moment(const WindowShape& shape, double now) noexcept {
        const double position = now * shape.per_width;
        const auto whole = static_cast<std::int64_t>(position);
        epoch = static_cast<std::uint64_t>(whole);
        place = place_of(shape, whole);
        into = position - static_cast<double>(whole);
    }

    // The quotient by multiplication is off by one at most: epochs are below 2^53.
    static std::uint32_t place_of(const WindowShape& shape, std::int64_t epoch) noexcept {
        const auto turn = static_cast<std::int64_t>(static_cast<double>(epoch) * shape.per_turn);
        const std::int64_t place = epoch - turn * shape.buckets;
        if (place < 0) return static_cast<std::uint32_t>(place + shape.buckets);
        return static_cast<std::uint32_t>(place < shape.buckets ? place : place - shape.buckets);
    }
};

// Add n events at `at` to the ring that begins at `ring`. `newest` is the latest time the owner has seen.
inline Added window_add(std::uint64_t* ring, std::uint32_t generation, const Moment& at, const Moment& newest,
                        std::uint64_t n) noexcept {
    if (at.epoch + 1 < newest.epoch) return Added::late;
    const std::uint64_t empty = bucket::make(generation, at.epoch, 0);
    std::atomic_ref<std::uint64_t> word(ring[at.place]);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    for (;;) {
        const std::uint64_t counted = seen - empty;
        const bool current = counted <= bucket::count_mask;
        if (!current) {
            const std::uint32_t generations_ahead = (bucket::generation(seen) - generation) & 15u;
            if (generations_ahead != 0 && generations_ahead < 8) return Added::gone;
            const auto epochs_ahead = static_cast<std::int32_t>(bucket::epoch(seen) - bucket::epoch(empty));
            if (generations_ahead == 0 && bucket::count(seen) != 0 && epochs_ahead > 0 &&
                epochs_ahead < most_epochs_ahead) {
                return Added::late;  // the bucket has moved on by whole turns of the ring
            }
        }
        const std::uint64_t count = (current ? counted : 0) + n;
        if (count > bucket::count_mask) return Added::full;
        if (word.compare_exchange_weak(seen, empty | count)) return Added::counted;
    }
}

// Take back what window_add counted. Nothing happens if the bucket has expired in between.
inline void window_take_back(std::uint64_t* ring, std::uint32_t generation, const Moment& at,
                             std::uint64_t n) noexcept {
    const std::uint64_t empty = bucket::make(generation, at.epoch, 0);
    std::atomic_ref<std::uint64_t> word(ring[at.place]);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (const std::uint64_t counted = bucket::count_if(seen, empty)) {
        if (word.compare_exchange_weak(seen, seen - std::min(n, counted), std::memory_order_relaxed)) return;
    }
}

struct WindowReading {
    double whole = 0;   // events in buckets that lie inside the window
    double oldest = 0;  // events in the bucket that the window covers in part
    double share = 0;   // the covered share of that bucket

    double interpolated() const noexcept { return whole + oldest * share; }
    double upper_bound() const noexcept { return whole + oldest; }  // never less than the exact count
};

inline std::uint32_t oldest_place(const WindowShape& shape, const Moment& now) noexcept {
    return now.place + 1 == shape.buckets ? 0 : now.place + 1;
}

// Events in the bucket that the window covers in part.
inline std::uint64_t window_oldest(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                                   const Moment& now) noexcept {
    const std::uint64_t empty = bucket::make(generation, now.epoch - (shape.buckets - 1), 0);
    const std::atomic_ref word(ring[oldest_place(shape, now)]);
    return bucket::count_if(word.load(), empty);
}

inline WindowReading window_read(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                                 const Moment& now) noexcept {
    // In the order of time, from the place after the oldest bucket's on; each has one epoch in the window.
    const std::uint32_t first = oldest_place(shape, now);
    const std::uint64_t oldest = window_oldest(ring, shape, generation, now);
    std::uint64_t empty = bucket::make(generation, now.epoch - (shape.buckets - 1), 0);
    std::uint64_t whole = 0;
    const auto add_up = [&](std::uint32_t begin, std::uint32_t end) {
        for (std::uint32_t place = begin; place < end; ++place) {
            empty += bucket::next_epoch;
            whole += bucket::count_if(std::atomic_ref(ring[place]).load(), empty);
        }
    };
    add_up(first + 1, shape.buckets);
    add_up(0, first);
    return {static_cast<double>(static_cast<std::int64_t>(whole)),
            static_cast<double>(static_cast<std::int64_t>(oldest)), 1.0 - now.into};
}

// The same, for those who do not depend on the order of additions and readings.
inline WindowReading window_look(std::uint64_t* ring, const WindowShape& shape, std::uint32_t generation,
                                 const Moment& now) noexcept {
#if defined(__SANITIZE_THREAD__)
    // The kernel reads words that may be written meanwhile, whole ones all the same; the sanitizer cannot
    // know.
    return window_read(ring, shape, generation, now);
#else
    const std::uint64_t oldest = window_oldest(ring, shape, generation, now);
    const std::uint64_t all =
        simd::count_ring(ring, shape.buckets, now.place, bucket::make(generation, now.epoch, 0));
    const std::uint64_t whole = all > oldest ? all - oldest : 0;
    return {static_cast<double>(static_cast<std::int64_t>(whole)),
            static_cast<double>(static_cast<std::int64_t>(oldest)), 1.0 - now.into};
#endif
}

}  // namespace atlascore::track
