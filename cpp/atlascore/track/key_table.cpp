#include "atlascore/track/key_table.hpp"

#include <algorithm>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/window.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint64_t tentative = std::uint64_t{1} << 63;

constexpr std::uint64_t lane_flags(std::uint64_t info, unsigned lane) {
    return info >> (8 * lane) & 0xFF;
}
constexpr unsigned keep_of(std::uint64_t flags) {
    return flags & 3;
}
constexpr unsigned recency_of(std::uint64_t flags) {
    return flags >> 2 & 3;
}

base::Counter eviction_counter(Keep value) {
    return static_cast<base::Counter>(static_cast<unsigned>(base::Counter::evictions_cold) +
                                      static_cast<unsigned>(value));
}

}  // namespace

// The first slot of each of the three pairs, in order of preference; they may coincide.
struct KeyTable::Candidates {
    std::uint32_t first[3];

    template <typename Visit>
    bool each(Visit&& visit) const {
        for (unsigned p = 0; p < 3; ++p) {
            if (repeated(p)) continue;
            for (std::uint32_t slot = first[p]; slot < first[p] + pair_lanes; ++slot) {
                if (visit(slot)) return true;
            }
        }
        return false;
    }
    bool repeated(unsigned p) const {
        return (p > 0 && first[p] == first[0]) || (p > 1 && first[p] == first[1]);
    }
};

std::uint32_t KeyTable::pairs_for(std::uint64_t capacity) noexcept {
    return static_cast<std::uint32_t>(
        std::max<std::uint64_t>(2, (capacity * 109 / 100 + pair_lanes - 1) / pair_lanes));
}

KeyTable::KeyTable(base::Region& region, std::byte* groups, std::byte* slots, std::uint32_t pairs,
                   std::uint32_t slot_words, std::uint32_t ring_word, bool tracks) noexcept
    : region_(&region),
      groups_(reinterpret_cast<std::uint64_t*>(groups)),
      slots_(reinterpret_cast<std::uint64_t*>(slots)),
      pairs_(pairs),
      slot_words_(slot_words),
      ring_word_(ring_word),
      tracks_(tracks) {}

std::uint64_t KeyTable::tag_of(std::uint64_t hash) noexcept {
    std::uint64_t tag = hash & ~tentative;
    if (tag >> 48 == 0x7FFF) tag ^= std::uint64_t{1} << 62;  // a tentative tag must not look like a claim
    return tag == 0 ? 1 : tag;
}

KeyTable::Candidates KeyTable::candidates(std::uint64_t tag) const noexcept {
    const std::uint64_t other = base::mix64(tag, 0x5bd1e995u);  // two independent halves
    const auto range = [this](std::uint64_t hash) {
        return static_cast<std::uint32_t>((hash & 0xFFFFFFFFull) * pairs_ >> 32);
    };
    return {{range(tag) * pair_lanes, range(other) * pair_lanes, range(other >> 32) * pair_lanes}};
}

void KeyTable::prefetch(std::uint64_t tag) const noexcept {
    const Candidates where = candidates(tag);
    for (unsigned p = 0; p < 2; ++p) {
        __builtin_prefetch(group(where.first[p] / lanes));
        __builtin_prefetch(group(where.first[p] / lanes + 1));
    }
}

// The slot among a pair's lanes that holds the tag, or none.
std::uint32_t KeyTable::seek(std::uint32_t first, std::uint64_t tag) const noexcept {
    std::uint64_t* words = group(first / lanes);
    for (std::uint32_t slot = first; slot < first + pair_lanes; slot += lanes, words += 8) {
        for (std::uint32_t lane = 0; lane < lanes; ++lane) {
            if (Word(words[1 + lane]).load(std::memory_order_acquire) == tag) return slot + lane;
        }
    }
    return SlotRef::none;
}

SlotRef KeyTable::find(std::uint64_t tag, bool prefetched) const noexcept {
    if (!prefetched) prefetch(tag);
    for (const std::uint32_t first : candidates(tag).first) {
        const std::uint32_t slot = seek(first, tag);
        if (slot == SlotRef::none) continue;
        // All misses at once: the atomic updates to come make every load behind them wait.
        for (std::uint32_t word = 0; word < slot_words_; word += 8) __builtin_prefetch(words(slot) + word);
        const std::uint32_t generation_now = generation(slot);
        if (tag_word(slot).load(std::memory_order_acquire) == tag) return {slot, generation_now, false};
        // recycled in between
    }
    return {};
}

SlotRef KeyTable::find_or_insert(std::uint64_t tag, bool prefetched) noexcept {
    for (unsigned round = 0;; ++round) {
        if (const SlotRef found = find(tag, prefetched)) {
            touch(found.index);
            return found;
        }
        if (const SlotRef made = insert(tag, true, round)) return made;
    }
}

SlotRef KeyTable::find_or_insert_if_room(std::uint64_t tag) noexcept {
    if (const SlotRef found = find(tag)) {
        touch(found.index);
        return found;
    }
    return insert(tag, false, 0);
}

// None when another thread was in the way, or without `evict` when there is no room.
SlotRef KeyTable::insert(std::uint64_t tag, bool evict, unsigned round) noexcept {
    const Candidates where = candidates(tag);
    std::uint32_t slot = take_empty(where, tag);
    if (slot == SlotRef::none && evict) slot = take_by_eviction(where, tag);
    if (slot == SlotRef::none || !settle(where, tag, slot, round < 64)) return {};
    const std::uint32_t generation_now = generation(slot);
    if (tag_word(slot).load(std::memory_order_acquire) != tag) return {};
    if (tracks_) region_->add(base::Counter::tracks_created);
    return {slot, generation_now, true};
}

// Takes an empty lane as tentative: of the emptier of the first two pairs, of the third when both are full.
std::uint32_t KeyTable::take_empty(const Candidates& where, std::uint64_t tag) noexcept {
    std::uint32_t empties[3] = {0, 0, 0};
    std::uint32_t free_slot[3] = {SlotRef::none, SlotRef::none, SlotRef::none};
    for (unsigned p = 0; p < 3; ++p) {
        for (std::uint32_t slot = where.first[p]; slot < where.first[p] + pair_lanes; ++slot) {
            if (tag_word(slot).load(std::memory_order_relaxed) != 0) continue;
            if (empties[p]++ == 0) free_slot[p] = slot;
        }
        if (p == 1 && empties[0] + empties[1] != 0) break;
    }
    // The first pair is looked at first by find(), so it is preferred while it is not crowded.
    unsigned p = empties[0] >= std::min(empties[1], pair_lanes / 2) ? 0 : 1;
    if (empties[p] == 0) p = 2;
    if (empties[p] == 0) return SlotRef::none;
    std::uint64_t empty = 0;
    if (!tag_word(free_slot[p]).compare_exchange_strong(empty, tag | tentative)) return SlotRef::none;
    return free_slot[p];
}

// Claims the least valuable slot, cleans it and leaves it tentative.
std::uint32_t KeyTable::take_by_eviction(const Candidates& where, std::uint64_t tag) noexcept {
    std::uint32_t victim = SlotRef::none;
    std::uint64_t victim_tag = 0;
    unsigned lowest = ~0u;
    const std::uint32_t hand =
        static_cast<std::uint32_t>(info_word(where.first[0]).load(std::memory_order_relaxed) >> 56);
    const bool is_needless = where.each([&](std::uint32_t slot) {
        const std::uint64_t word = tag_word(slot).load(std::memory_order_acquire);
        // An empty lane, or the key itself, which another thread has inserted since the look-up: a new key
        // has the least worth of all and must not be the victim of its own second insertion.
        if (word == 0 || word == tag) return true;
        unsigned worth;
        if (base::Region::is_claim(word)) {
            if (region_->claim_alive(word)) return false;
            worth = 0;
        } else if ((word & tentative) != 0) {
            worth = 1;
        } else {
            const std::uint64_t flags =
                lane_flags(info_word(slot).load(std::memory_order_relaxed), slot % lanes);
            worth = 2 + (keep_of(flags) * 4 + recency_of(flags)) * pair_lanes +
                    (slot + pair_lanes - hand % pair_lanes) % pair_lanes;
        }
        if (worth < lowest) {
            lowest = worth;
            victim = slot;
            victim_tag = word;
        }
        return false;
    });
    if (is_needless || victim == SlotRef::none) return SlotRef::none;
    const std::uint64_t claim = region_->claim();
    if (!tag_word(victim).compare_exchange_strong(victim_tag, claim)) return SlotRef::none;
    if (base::Region::is_claim(victim_tag)) {
        region_->add(base::Counter::claims_recovered);
    } else if ((victim_tag & tentative) == 0) {
        const unsigned worth = (lowest - 2) / pair_lanes;
        if (tracks_) region_->add(eviction_counter(static_cast<Keep>(worth / 4)));
        if (worth % 4 != 0) lower_recency(where, worth % 4);
    }
    clean(victim);
    std::uint64_t expected = claim;
    if (!tag_word(victim).compare_exchange_strong(expected, tag | tentative)) return SlotRef::none;
    return victim;
}

// Makes a tentative lane final, unless the key got another one meanwhile. False: start over.
bool KeyTable::settle(const Candidates& where, std::uint64_t tag, std::uint32_t slot, bool patient) noexcept {
    const auto withdraw = [&] {
        std::uint64_t own = tag | tentative;
        tag_word(slot).compare_exchange_strong(own, 0);
        return false;
    };
    // The own lane was published and the others are looked at with sequential consistency: of two inserters
    // of one key at least one sees the other.
    bool lost = false;
    where.each([&](std::uint32_t other) {
        if (other == slot) return false;
        std::uint64_t word = tag_word(other).load();
        if (word == (tag | tentative) && (other > slot || !patient)) {
            if (tag_word(other).compare_exchange_strong(word, 0))
                return false;  // cancelled; `word` is re-read on failure
        }
        lost = word == tag || word == (tag | tentative);
        return lost;
    });
    if (lost) return withdraw();
    const std::uint64_t lane_mask = ~(std::uint64_t{0xFF} << (8 * (slot % lanes)));
    info_word(slot).fetch_and(lane_mask, std::memory_order_relaxed);
    std::uint64_t own = tag | tentative;
    return tag_word(slot).compare_exchange_strong(own, tag);
}

void KeyTable::clean(std::uint32_t slot) noexcept {
    std::uint64_t* word = words(slot);
    const std::uint32_t next = generation(slot) + 1;
    std::atomic_ref(word[0]).store(next, std::memory_order_release);
    const std::uint64_t empty_bucket = bucket::make(next, 0, 0);
    for (std::uint32_t i = 1; i < slot_words_; ++i) {
        std::atomic_ref(word[i]).store(i < ring_word_ ? 0 : empty_bucket, std::memory_order_relaxed);
    }
}

bool KeyTable::holds(const SlotRef& ref, std::uint64_t tag) const noexcept {
    return tag_word(ref.index).load(std::memory_order_acquire) == tag &&
           generation(ref.index) == ref.generation;
}

void KeyTable::touch(std::uint32_t slot) noexcept {
    const unsigned lane = slot % lanes;
    std::uint64_t info = info_word(slot).load(std::memory_order_relaxed);
    if (recency_of(lane_flags(info, lane)) == 3) return;
    // A lost race costs one step of recency, nothing else.
    info_word(slot).compare_exchange_weak(info, info + (std::uint64_t{4} << (8 * lane)),
                                          std::memory_order_relaxed);
}

void KeyTable::lower_recency(const Candidates& where, unsigned by) noexcept {
    for (const std::uint32_t start : where.first) {
        for (std::uint32_t g = start / lanes; g < start / lanes + 2; ++g) {
            Word info(group(g)[0]);
            std::uint64_t old = info.load(std::memory_order_relaxed);
            std::uint64_t lowered = old + (std::uint64_t{1} << 56);  // move the hand
            for (unsigned lane = 0; lane < lanes; ++lane) {
                const unsigned drop = std::min(by, recency_of(lane_flags(old, lane)));
                lowered -= std::uint64_t{drop} * 4 << (8 * lane);
            }
            info.compare_exchange_weak(old, lowered, std::memory_order_relaxed);
        }
    }
}

void KeyTable::keep(std::uint32_t slot, Keep value) noexcept {
    const unsigned shift = 8 * (slot % lanes);
    std::uint64_t old = info_word(slot).load(std::memory_order_relaxed);
    for (;;) {
        const std::uint64_t wanted =
            (old & ~(std::uint64_t{3} << shift)) | std::uint64_t{static_cast<unsigned>(value)} << shift;
        if (wanted == old || info_word(slot).compare_exchange_weak(old, wanted, std::memory_order_relaxed))
            return;
    }
}

Keep KeyTable::kept(std::uint32_t slot) const noexcept {
    return static_cast<Keep>(
        keep_of(lane_flags(info_word(slot).load(std::memory_order_relaxed), slot % lanes)));
}

KeyTable::Census KeyTable::census() const noexcept {
    Census sum;
    for (std::uint64_t i = 0; i < slots(); ++i) {
        const auto slot = static_cast<std::uint32_t>(i);
        const std::uint64_t word = tag_word(slot).load(std::memory_order_relaxed);
        if (word == 0)
            ++sum.empty;
        else if (base::Region::is_claim(word))
            ++sum.claimed;
        else if ((word & tentative) != 0)
            ++sum.tentative;
        else {
            ++sum.live;
            ++sum.by_class[static_cast<unsigned>(kept(slot))];
        }
    }
    return sum;
}

}  // namespace atlascore::track
