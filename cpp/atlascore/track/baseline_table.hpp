// The baselines of tracks (baseline.hpp), in a table of their own: one to 288 tracks that the state has room
// for, sets of eight. Who has one keeps it for as long as it is used: it goes to another track of its set
// when it has been idle for longer than its neighbours and for a week, or for a day before it has 500
// queries. So a baseline outlives the slab of its track, and accounts made by the thousand push none out that
// is in use; a caller that finds no room has none.
//
//   word 0   the track's tag, 0 empty
//   word 1   claim: one writer of the baseline at a time (UpdateClaim)
//   word 2   costs of the block under way: sum of log2, float32 | their number
//   3 to 12  the baseline
//
// What is known of the hour under way is one word that goes with the slab of the track (BaselineNote), so a
// query in the same hour as the one before looks at nothing else. Whoever exchanges that word for the new
// hour closes the block; everybody else goes on with the value of the hour before.
//
// Questions and answers
//   Who waits?         Nobody. Who finds the claim taken leaves the block to be closed with the next hour.
//   A process dies?    With the word exchanged: that hour belongs to the next block. Within the claim: it is
//                      taken over after a second, and numbers of one series may be of two hours.
//   An entry changes   Its tag is 0 until it is the new one's. Who holds its old place finds another tag.
//   hands?             A cost on its way may fall to the new owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "atlascore/track/baseline.hpp"

namespace atlascore::track {

struct HotSlab;

struct BaselineNote {
    std::uint32_t hour = 0;    // 24 bits
    std::uint32_t entry = 0;   // its place plus one, 24 bits; 0 none
    std::uint16_t signal = 0;  // Baseline::signal

    static BaselineNote of(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>(word >> 40), static_cast<std::uint32_t>(word >> 16 & 0xFFFFFF),
                static_cast<std::uint16_t>(word)};
    }
    std::uint64_t word() const noexcept {
        return std::uint64_t{hour} << 40 | std::uint64_t{entry} << 16 | signal;
    }
    double value() const noexcept { return Baseline::value_of(signal); }
};

class BaselineTable {
  public:
    static std::uint64_t bytes(std::uint64_t tracks) noexcept;
    BaselineTable(std::byte* section, std::uint64_t tracks) noexcept;

    // As BaselineNote::entry: the track's, 0 when it has none.
    std::uint32_t find(std::uint64_t tag) const noexcept;
    // Made if it has none and there is room.
    std::uint32_t open(std::uint64_t tag, std::uint32_t hour) noexcept;
    bool holds(std::uint32_t entry, std::uint64_t tag) const noexcept;
    std::optional<Baseline> look(std::uint32_t entry, std::uint64_t tag) const noexcept;
    // A request of the block under way; more than 0.
    void add_cost(std::uint32_t entry, std::uint64_t tag, double cost) noexcept;
    // `hour` begins: the block ends with what the slab remembers of it, if that is enough. Baseline::signal
    // as it is then; nothing when the entry is another track's or another thread is at work on it.
    std::optional<std::uint16_t> close(std::uint32_t entry, std::uint64_t tag, std::uint32_t hour,
                                       const HotSlab& slab) noexcept;
    std::optional<std::uint16_t> close(std::uint32_t entry, std::uint64_t tag, std::uint32_t hour,
                                       BlockMeans means) noexcept;

    std::uint32_t entries() const noexcept { return sets_ * lanes; }

  private:
    static constexpr std::uint32_t lanes = 8;
    struct Entry {
        std::uint64_t tag, claim, costs;
        Baseline past;
    };
    static_assert(sizeof(Entry) == 104);

    Entry* entry_of(std::uint32_t entry, std::uint64_t tag) const noexcept;
    std::uint32_t first_of(std::uint64_t tag) const noexcept;
    static int idle(const Entry& entry, std::uint32_t hour) noexcept;
    bool take(Entry& entry, std::uint64_t tag, std::uint32_t hour) noexcept;
    static std::uint32_t sets_for(std::uint64_t tracks) noexcept;

    Entry* entries_;
    std::uint32_t sets_;
};

}  // namespace atlascore::track
