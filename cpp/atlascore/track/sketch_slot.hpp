// One stored sketch in shared memory, and the protocol that makes it safe to read while others write or die:
// a sequence word (0 empty, odd while written), and a check word over content and owner, which catches the
// one case that a sequence word cannot: a writer that slept through a whole reuse of the slot and then wrote
// on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/sketch.hpp"

namespace atlascore::track {

// Words of shared structures are plain integers accessed through these alone.
template <class T>
T shared_load(const T& word, std::memory_order order = std::memory_order_relaxed) noexcept {
    return std::atomic_ref<T>(const_cast<T&>(word)).load(order);
}
template <class T>
void shared_store(T& word, std::type_identity_t<T> value,
                  std::memory_order order = std::memory_order_relaxed) noexcept {
    std::atomic_ref<T>(word).store(value, order);
}
template <class T>
bool shared_exchange_if(T& word, std::type_identity_t<T> expected, std::type_identity_t<T> value) noexcept {
    return std::atomic_ref<T>(word).compare_exchange_strong(expected, value, std::memory_order_acq_rel,
                                                            std::memory_order_relaxed);
}

struct SlotMeta {
    std::uint32_t sequence;
    std::uint32_t digest;  // low 32 bits of the input's digest
    std::uint32_t check;
    std::uint32_t space;  // Sketch::space()
};

// fp16[64] of a dense sketch, values clamped to the finite range; or the MinHash bytes of a text, the rest 0.
struct alignas(64) SlotRow {
    std::uint64_t words[16];
};

static_assert(sizeof(SlotMeta) == 16 && std::is_trivially_copyable_v<SlotMeta>);
static_assert(sizeof(SlotRow) == 128 && std::is_trivially_copyable_v<SlotRow>);

// How a sketch is stored.
SlotRow pack(const Sketch& sketch) noexcept;

// Replaces the slot's content. False when another writer got in between; the slot is then that writer's.
bool write_slot(SlotMeta& meta, SlotRow& row, const SlotRow& content, std::uint32_t digest,
                std::uint32_t space, std::uint64_t owner) noexcept;

// The slot's sequence word when it is published and holds a sketch of `space` (not 0), else 0.
inline std::uint32_t published(const SlotMeta& meta, std::uint32_t space) noexcept {
    const std::uint32_t sequence = shared_load(meta.sequence, std::memory_order_acquire);
    return sequence % 2 == 0 && shared_load(meta.space) == space ? sequence : 0;
}

// Copies the slot that was published with `sequence`; false when it has changed or fails its check.
bool read_slot(const SlotMeta& meta, const SlotRow& row, std::uint32_t sequence, std::uint64_t owner,
               SlotRow& out) noexcept;

// Empties the slot, whatever state it is in.
void clear_slot(SlotMeta& meta) noexcept;

// Raw distances from a sketch to consecutive rows of its space, in whatever state they are (a raw distance is
// smaller when the distance is): read the sequence words before, and read_slot what is chosen.
void raw_distances(const Sketch& query, const SlotRow* rows, std::size_t count, float* out) noexcept;

// D of a raw distance. Dense: estimated RMS difference per feature in scaled units. Text: 1 - Jaccard.
float distance_of(const Sketch& query, float raw) noexcept;

}  // namespace atlascore::track
