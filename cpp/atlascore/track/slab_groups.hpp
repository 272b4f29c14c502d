// Which slabs of the pool are in the main part and which serve newcomers: bits, no counts.
//
// Layout
//   hands   two words: where the next newcomer goes, and where who has no slab and wants into the main part
//   groups  32 B for every 64 slabs: | main | standing | newcomers | sweep |
//           main       a bit per slab: in the main part; the others are on probation
//           standing   a bit per slab: its track is worth Keep::standing
//           newcomers  the lane after the one that the group's last newcomer got
//           sweep      the lane after the one that next_in_main() gave last
//
// Shares. Of each group a quarter is on probation, always, and Keep::standing has a right to another quarter.
// Entering a full group is one compare-exchange of `main` that sets the own bit and clears another's, so no
// moment exists at which a group has more in the main part than it may, and a newcomer finds a slab on
// probation in the first group it looks at, however many slabs the pool has.
//
// A hand goes on by 64 slabs at a time, so consecutive newcomers get slabs of different groups and all
// groups fill alike; a last group with fewer slabs gets that many fewer. Within a group the lanes on
// probation are taken in turn: a slab on probation lasts for as many newcomers as a quarter of the pool, or
// longer.
//
// Questions and answers
//   What drifts?       Nothing: whoever wants to know how many there are counts the bits.
//   A process dies?    Between two instructions every bit is what it was before or after one operation.
//   A bit is wrong?    `standing` may be, when two write it at once or a slab changes hands under a writer.
//                      TrackTable puts it right when a track enters and when it looks for a victim.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace atlascore::track {

class SlabGroups {
  public:
    static constexpr std::uint32_t none = 0xFFFFFFFFu;
    static constexpr std::uint32_t lanes = 64;

    static std::uint64_t bytes(std::uint32_t slabs) noexcept {
        return (std::uint64_t{slabs} + lanes - 1) / lanes * sizeof(Group);
    }
    SlabGroups(std::uint64_t* hands, std::byte* groups, std::uint32_t slabs) noexcept
        : hands_(hands), groups_(reinterpret_cast<Group*>(groups)), slabs_(slabs) {}

    static std::uint32_t group_of(std::uint32_t slab) noexcept { return slab / lanes; }
    static std::uint32_t slab_of(std::uint32_t group, unsigned lane) noexcept { return group * lanes + lane; }

    std::uint32_t next_group() noexcept { return turn(hands_[0]); }
    // With room in the main part, if the group whose turn it is or the next one has any.
    std::uint32_t next_group_to_enter() noexcept;
    // The slab of the group whose turn it is to be given away: one on probation; none if it has none.
    std::uint32_t next_newcomer(std::uint32_t group) noexcept;
    // One in the main part, another each time; none if the group has none.
    std::uint32_t next_in_main(std::uint32_t group) noexcept;

    bool in_main(std::uint32_t slab) const noexcept { return (main(group_of(slab)) & bit(slab)) != 0; }
    bool full(std::uint32_t group) const noexcept;
    std::uint64_t main(std::uint32_t group) const noexcept { return load(groups_[group].main); }
    std::uint64_t standing(std::uint32_t group) const noexcept {
        return main(group) & load(groups_[group].standing);
    }
    // How many of Keep::standing the main part of the group may hold.
    std::uint32_t standing_room(std::uint32_t group) const noexcept { return quarter(group); }

    enum class Entry : std::uint8_t { refused, free_place, exchanged };
    // Into the main part: in the place of `victim`, which may be none; where that has left, into a free
    // place.
    Entry enter(std::uint32_t slab, std::uint32_t victim) noexcept;
    void leave(std::uint32_t slab) noexcept;
    void leave_all(std::uint32_t slab) noexcept;  // the main part, and Keep::standing
    void mark(std::uint32_t slab, bool standing) noexcept;

  private:
    struct alignas(32) Group {
        std::uint64_t main, standing, newcomers, sweep;
    };

    static std::uint64_t bit(std::uint32_t slab) noexcept { return std::uint64_t{1} << slab % lanes; }
    static std::uint64_t load(std::uint64_t& word) noexcept {
        return std::atomic_ref(word).load(std::memory_order_acquire);
    }
    std::uint32_t turn(std::uint64_t& hand) const noexcept;
    std::uint32_t size(std::uint32_t group) const noexcept;
    std::uint32_t quarter(std::uint32_t group) const noexcept;
    std::uint64_t all(std::uint32_t group) const noexcept {
        return ~std::uint64_t{0} >> (lanes - size(group));
    }

    std::uint64_t* hands_;
    Group* groups_;
    std::uint32_t slabs_;
};

}  // namespace atlascore::track
