// One stored sketch in shared memory, and the protocol that makes it safe to read while others write or die:
// a sequence word (0 empty, odd while written), and a check word over content and owner, which catches the
// one case that a sequence word cannot: a writer that slept through a whole reuse of the slot and then wrote
// on.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

// What a slot holds, in one word, so that a label can only land on the input it belongs to.
struct SlotKey {
    std::uint32_t digest = 0;  // low 32 bits of the input's digest
    std::uint16_t space = 0;   // Sketch::space(), 13 bits
    std::uint8_t cluster = 0;  // 1..7: of near pairs (climb.hpp); 0 none
    std::uint16_t label = 0;   // of the answer, hashed; 0 not known

    static constexpr std::uint64_t space_bits = std::uint64_t{0x1FFF} << 19;

    static SlotKey of(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint16_t>(word >> 19 & 0x1FFF),
                static_cast<std::uint8_t>(word >> 16 & 7), static_cast<std::uint16_t>(word)};
    }
    std::uint64_t word() const noexcept {
        return std::uint64_t{digest} << 32 | std::uint64_t{space} << 19 |
               static_cast<std::uint64_t>(cluster & 7) << 16 | label;
    }
};

// A small structure that one thread at a time changes and any may read, 4 bytes at a time.
template <class T>
T shared_copy(const T& from) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 4 && sizeof(T) % 4 == 0);
    std::uint32_t words[sizeof(T) / 4];
    const auto* source = reinterpret_cast<const std::uint32_t*>(&from);
    for (std::size_t i = 0; i < sizeof(T) / 4; ++i) words[i] = shared_load(source[i]);
    return std::bit_cast<T>(words);
}
template <class T>
void shared_assign(T& to, const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 4 && sizeof(T) % 4 == 0);
    std::uint32_t words[sizeof(T) / 4];
    std::memcpy(words, &value, sizeof value);
    auto* target = reinterpret_cast<std::uint32_t*>(&to);
    for (std::size_t i = 0; i < sizeof(T) / 4; ++i) shared_store(target[i], words[i]);
}

struct SlotMeta {
    std::uint32_t sequence;
    std::uint32_t check;  // over content, digest, space and owner
    std::uint64_t key;
};

// fp16[64] of a dense sketch, values clamped to the finite range; or the MinHash bytes of a text, the rest 0.
struct alignas(64) SlotRow {
    std::uint64_t words[16];
};

// The newest input that was not sent before, in full precision, and the step that led to it.
struct HeadRow {
    std::uint64_t words[49];
};

static_assert(sizeof(SlotMeta) == 16 && std::is_trivially_copyable_v<SlotMeta>);
static_assert(sizeof(SlotRow) == 128 && std::is_trivially_copyable_v<SlotRow>);
static_assert(sizeof(HeadRow) == 392 && std::is_trivially_copyable_v<HeadRow>);

// How a sketch is stored.
SlotRow pack(const Sketch& sketch) noexcept;

// Replaces the slot's content. False when another writer got in between; the slot is then that writer's.
bool write_slot(SlotMeta& meta, SlotRow& row, const SlotRow& content, const SlotKey& key,
                std::uint64_t owner) noexcept;
bool write_slot(SlotMeta& meta, HeadRow& row, const HeadRow& content, const SlotKey& key,
                std::uint64_t owner) noexcept;

inline SlotKey key_of(const SlotMeta& meta) noexcept {
    return SlotKey::of(shared_load(meta.key, std::memory_order_acquire));
}

// The slot's sequence word when it is published and holds a sketch of `space` (not 0), else 0.
inline std::uint32_t published(const SlotMeta& meta, std::uint16_t space) noexcept {
    const std::uint32_t sequence = shared_load(meta.sequence, std::memory_order_acquire);
    return sequence % 2 == 0 && SlotKey::of(shared_load(meta.key)).space == space ? sequence : 0;
}

// Copies the slot that was published with `sequence`; false when it has changed or fails its check.
bool read_slot(const SlotMeta& meta, const SlotRow& row, std::uint32_t sequence, std::uint64_t owner,
               SlotRow& out) noexcept;
bool read_slot(const SlotMeta& meta, const HeadRow& row, std::uint32_t sequence, std::uint64_t owner,
               HeadRow& out) noexcept;

// Empties the slot, whatever state it is in.
void clear_slot(SlotMeta& meta) noexcept;

// Raw distances from a sketch to consecutive rows of its space, in whatever state they are (a raw distance is
// smaller when the distance is): read the sequence words before, and read_slot what is chosen.
void raw_distances(const Sketch& query, const SlotRow* rows, std::size_t count, float* out) noexcept;

// Products of four linear vectors, one behind the other, with consecutive dense rows: out[4 i + v]. The same
// holds for what is torn.
void four_products(const float* vectors, const SlotRow* rows, std::size_t count, float* out) noexcept;

// D of a raw distance. Dense: estimated RMS difference per feature in scaled units. Text: 1 - Jaccard.
float distance_of(const Sketch& query, float raw) noexcept;

}  // namespace atlascore::track
