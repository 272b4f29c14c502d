// The lock-free index from 63-bit keys to fixed-size slots, in the region.
//
// Layout
//   groups   one cache line each:  | info 8 B | tag 0 | tag 1 | ... | tag 6 |
//            info: per lane one byte (class 2 bits, recency 2 bits), the eighth byte is the sweep's hand
//   slots    slot (7 g + l) belongs to lane l of group g; its first word holds the generation
//
// A key may live in either of two pairs of neighbouring groups, chosen by two independent functions of its
// hash: 28 lanes. It goes to the emptier pair, so the table fills to 95 % before a live slot has to go; a
// look-up reads one or two pairs, and both are prefetched. Probing is bounded by construction.
//
// A tag word is one of
//   0                    empty; the slot is clean
//   0 | tag              the key lives here                               (bit 63 clear)
//   1 | tag              tentative: being inserted, nothing written yet   (bit 63 set)
//   FFFF | worker ...    claimed by a process that is cleaning the slot   (Region::claim)
//
// Operations
//   find     scan the candidate lanes for the tag.
//   insert   1. take an empty lane as tentative; none: evict (below).
//            2. look at all candidates again. The key lives elsewhere: withdraw, use that. Tentative
//            elsewhere in a
//               higher lane: cancel it. In a lower lane: withdraw and start over (after 64 rounds cancel it
//               too: its owner may be dead).
//            3. make the own tag final. Cancelled meanwhile: start over.
//            All three are compare-exchanges on tag words, so two inserters of one key always end in one
//            slot, and nobody ever counts in a slot that is then withdrawn.
//   evict    among the 42 candidates the lowest (class, recency); recency is lowered as a sweep passes. Claim
//   it, advance
//            the generation, clean the slot, then go on as with an empty lane.
//
// Questions and answers
//   May anyone wait?   No. A look-up is a bounded scan; an insert retries only when another insert made
//   progress. What may be lost?  A slot that is evicted while another thread counts in it: that count is
//   dropped. Bucket words
//                      carry the generation, so it cannot land in the next owner's windows.
//   A process dies?    While tentative: the lane counts as the lowest class, and any inserter may cancel it.
//   While
//                      claimed: the claim is taken over by the next eviction that meets it, once its process
//                      is gone. No slot is lost either way.
//   Who picks keys?    The callers' hashes are seeded per region: an attacker who does not know the seed
//   cannot aim at
//                      one pair of groups.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "atlascore/base/region.hpp"

namespace atlascore::track {

// What a slot is worth keeping for; the lowest goes first.
enum class Keep : std::uint8_t { cold = 0, hot = 1, suspect = 2, standing = 3 };

struct SlotRef {
    static constexpr std::uint32_t none = 0xFFFFFFFFu;
    std::uint32_t index = none;
    std::uint32_t generation = 0;
    bool created = false;
    explicit operator bool() const noexcept { return index != none; }
};

class KeyTable {
  public:
    static constexpr std::uint32_t lanes = 7;
    static constexpr std::uint32_t pair_lanes = 2 * lanes;

    // Sizes for `capacity` keys at a load where live slots are practically never evicted.
    static std::uint32_t pairs_for(std::uint64_t capacity) noexcept;
    static std::uint64_t group_bytes(std::uint32_t pairs) noexcept { return std::uint64_t{pairs} * 2 * 64; }
    static std::uint64_t slot_count(std::uint32_t pairs) noexcept {
        return std::uint64_t{pairs} * pair_lanes;
    }

    KeyTable() = default;
    // `slot_words`: size of a slot in 8-byte words, the generation word included. Cleaning sets the words
    // from `ring_word` on to empty buckets of the new generation (window.hpp), the others to zero. `tracks`:
    // what is made and evicted counts as such.
    KeyTable(base::Region& region, std::byte* groups, std::byte* slots, std::uint32_t pairs,
             std::uint32_t slot_words, std::uint32_t ring_word, bool tracks = true) noexcept;

    // Any 64-bit hash is a key; one bit is given up for the tentative flag.
    static std::uint64_t tag_of(std::uint64_t hash) noexcept;

    // `prefetched`: prefetch() was called for the tag a moment ago.
    SlotRef find(std::uint64_t tag, bool prefetched = false) const noexcept;
    SlotRef find_or_insert(std::uint64_t tag, bool prefetched = false) noexcept;
    // The same where there is room; none where another key would have to go.
    SlotRef find_or_insert_if_room(std::uint64_t tag) noexcept;
    void prefetch(std::uint64_t tag) const noexcept;
    // Raises the recency of a slot that was not looked up; find_or_insert() does it itself.
    void touch(std::uint32_t slot) noexcept;

    std::uint64_t* words(std::uint32_t slot) const noexcept {
        return slots_ + std::uint64_t{slot} * slot_words_;
    }
    std::uint32_t generation(std::uint32_t slot) const noexcept {
        return static_cast<std::uint32_t>(std::atomic_ref(words(slot)[0]).load(std::memory_order_acquire));
    }
    // Whether the slot still belongs to the tag and generation it was found under.
    bool holds(const SlotRef& ref, std::uint64_t tag) const noexcept;
    std::uint64_t tag(std::uint32_t slot) const noexcept {
        return tag_word(slot).load(std::memory_order_acquire);
    }

    void keep(std::uint32_t slot, Keep value) noexcept;
    Keep kept(std::uint32_t slot) const noexcept;

    std::uint64_t slots() const noexcept { return slot_count(pairs_); }
    struct Census {
        std::uint64_t live = 0, empty = 0, tentative = 0, claimed = 0;
        std::uint64_t by_class[4] = {0, 0, 0, 0};
    };
    Census census() const noexcept;  // a walk over all groups: for stats and tests

  private:
    struct Candidates;
    using Word = std::atomic_ref<std::uint64_t>;

    std::uint64_t* group(std::uint32_t g) const noexcept { return groups_ + std::uint64_t{g} * 8; }
    Word tag_word(std::uint32_t slot) const noexcept { return Word(group(slot / lanes)[1 + slot % lanes]); }
    Word info_word(std::uint32_t slot) const noexcept { return Word(group(slot / lanes)[0]); }
    Candidates candidates(std::uint64_t tag) const noexcept;
    std::uint32_t seek(std::uint32_t first, std::uint64_t tag) const noexcept;
    SlotRef insert(std::uint64_t tag, bool evict, unsigned round) noexcept;
    std::uint32_t take_empty(const Candidates& where, std::uint64_t tag) noexcept;
    std::uint32_t take_by_eviction(const Candidates& where, std::uint64_t tag) noexcept;
    bool settle(const Candidates& where, std::uint64_t tag, std::uint32_t slot, bool patient) noexcept;
    void clean(std::uint32_t slot) noexcept;
    void lower_recency(const Candidates& where, unsigned by) noexcept;

    base::Region* region_ = nullptr;
    std::uint64_t* groups_ = nullptr;
    std::uint64_t* slots_ = nullptr;
    std::uint32_t pairs_ = 0;
    std::uint32_t slot_words_ = 0;
    std::uint32_t ring_word_ = 0;
    bool tracks_ = true;
};

}  // namespace atlascore::track
