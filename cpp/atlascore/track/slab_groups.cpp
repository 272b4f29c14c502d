#include "atlascore/track/slab_groups.hpp"

#include <algorithm>
#include <bit>

namespace atlascore::track {
namespace {

using Word = std::atomic_ref<std::uint64_t>;

// The first lane in `set` from `start` on, round the end; `set` is not empty.
unsigned lane_from(std::uint64_t set, std::uint64_t start) noexcept {
    const auto from = static_cast<int>(start % SlabGroups::lanes);
    return static_cast<unsigned>(from + std::countr_zero(std::rotr(set, from))) % SlabGroups::lanes;
}

}  // namespace

std::uint32_t SlabGroups::size(std::uint32_t group) const noexcept {
    return std::min(lanes, slabs_ - group * lanes);
}

// At least one: a newcomer finds a slab in any group.
std::uint32_t SlabGroups::quarter(std::uint32_t group) const noexcept {
    return std::max(1u, size(group) / 4);
}

bool SlabGroups::full(std::uint32_t group) const noexcept {
    return static_cast<std::uint32_t>(std::popcount(main(group))) >= size(group) - quarter(group);
}

std::uint32_t SlabGroups::turn(std::uint64_t& hand) const noexcept {
    const std::uint64_t at = Word(hand).fetch_add(lanes, std::memory_order_relaxed);
    return group_of(static_cast<std::uint32_t>(at % slabs_));
}

std::uint32_t SlabGroups::next_group_to_enter() noexcept {
    const std::uint32_t group = turn(hands_[1]);
    if (!full(group)) return group;
    const std::uint32_t other = group == group_of(slabs_ - 1) ? 0 : group + 1;
    return full(other) ? group : other;
}

std::uint32_t SlabGroups::next_newcomer(std::uint32_t group) noexcept {
    Word turn(groups_[group].newcomers);
    std::uint64_t at = turn.load(std::memory_order_relaxed);
    for (;;) {
        const std::uint64_t probation = all(group) & ~main(group);
        if (probation == 0) return none;
        const unsigned lane = lane_from(probation, at);
        if (turn.compare_exchange_weak(at, lane + 1, std::memory_order_relaxed)) return slab_of(group, lane);
    }
}

// Of two threads that look at once both may get the same.
std::uint32_t SlabGroups::next_in_main(std::uint32_t group) noexcept {
    Word turn(groups_[group].sweep);
    const std::uint64_t set = main(group);
    if (set == 0) return none;
    const unsigned lane = lane_from(set, turn.load(std::memory_order_relaxed));
    turn.store(lane + 1, std::memory_order_relaxed);
    return slab_of(group, lane);
}

SlabGroups::Entry SlabGroups::enter(std::uint32_t slab, std::uint32_t victim) noexcept {
    const std::uint32_t group = group_of(slab);
    const std::uint64_t place = victim == none || group_of(victim) != group ? 0 : bit(victim);
    Word word(groups_[group].main);
    std::uint64_t now = word.load(std::memory_order_acquire);
    for (;;) {
        if ((now & bit(slab)) != 0) return Entry::free_place;  // another thread was first
        const bool exchange = (now & place) != 0;
        const auto count = static_cast<std::uint32_t>(std::popcount(now));
        if (!exchange && count >= size(group) - quarter(group)) return Entry::refused;
        const std::uint64_t wanted = (exchange ? now & ~place : now) | bit(slab);
        if (word.compare_exchange_weak(now, wanted, std::memory_order_acq_rel, std::memory_order_acquire))
            return exchange ? Entry::exchanged : Entry::free_place;
    }
}

void SlabGroups::leave(std::uint32_t slab) noexcept {
    Word(groups_[group_of(slab)].main).fetch_and(~bit(slab), std::memory_order_acq_rel);
}

void SlabGroups::leave_all(std::uint32_t slab) noexcept {
    leave(slab);
    mark(slab, false);
}

void SlabGroups::mark(std::uint32_t slab, bool standing) noexcept {
    Word word(groups_[group_of(slab)].standing);
    if (((word.load(std::memory_order_relaxed) & bit(slab)) != 0) == standing) return;
    if (standing) {
        word.fetch_or(bit(slab), std::memory_order_relaxed);
    } else {
        word.fetch_and(~bit(slab), std::memory_order_relaxed);
    }
}

}  // namespace atlascore::track
