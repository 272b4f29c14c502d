// The templates that prompts were made from, of all principals, and how many young principals have sent each.
//
//   head    hand of the slots, templates founded
//   slots   64 B each: template hash, founded 32 | day 16 | part of the day 14 | visits 2, and registers
//   index   four tables of lines of 16 entries, 4 B each: slot + 1 (17 bits) | band (9 bits)
//
// Look-up. A prompt belongs to the nearest template within 3 bits, the older of equal ones. Two hashes that
// differ in at most 3 bits agree in one of their four bands of 16 bits at least, so the four lines that a
// hash's bands lead to hold all of its candidates; an entry is followed when its 9 low bits of the band fit.
// A line that is full forgets one entry; that template is still found through its other bands.
//
// A prompt without a template founds one. Most prompts do, and are never seen again: of the next four slots,
// that goes first which had one visit only, or none for a day, and of these the one that was seen longest
// ago.
//
// Principals. HyperLogLog with 45 registers of 4 bits, in two halves, one for even and one for odd days; each
// word of 15 registers has the day's last four bits, and of another day it is empty. The reading is that of
// the moving day: with f the elapsed share of the day, both halves' union less f of what only the older half
// has. Up to about ten principals it is off by one at most, nearly always; at large numbers by 16 %.
//
// Who may see what when
//   Can anyone wait? No. Slots and index entries are changed by compare-exchange; who loses goes on without.
//   What does a reader see of a slot that changes hands? Its registers are emptied first, then it gets the
//     new hash; the entries of the index come last. Who has found the former template may add one principal
//     to the new one.
//   What if two threads found one template at a time? There are two, and the older one gets all visits.
//   What if a process is killed meanwhile? A template is found through fewer bands, or not at all until it
//     is founded again; entries of the index that fit no slot are replaced.
//   All-zero memory is valid and empty. Hash 0 stands for an empty slot; a prompt's 0 counts as 1.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "atlascore/base/region.hpp"

namespace atlascore::track {

class TemplateTable {
  public:
    // One slot for 32 tracks, 1,024 to 65,536, a power of two: 3 MiB for a million tracks.
    static std::uint64_t slots_for(std::uint64_t capacity) noexcept;
    static std::vector<std::uint64_t> section_bytes(std::uint64_t capacity);
    TemplateTable(base::Region& region, std::size_t first_section, std::uint64_t capacity) noexcept;

    struct Found {
        std::uint32_t slot = 0;
        std::uint64_t hash = 0;  // of the template
    };
    std::optional<Found> find(std::uint64_t hash) const noexcept;
    // The prompt's template, founded if there is none. `known`: what find() has returned for it, if anything.
    Found visit(std::uint64_t hash, const std::optional<Found>& known, double now) noexcept;
    // `principal`: a hash.
    void add_young(const Found& found, std::uint64_t principal, double now) noexcept;
    // Young principals of the last 24 h. `pending`: one that counts as well; 0 for none.
    double young(const std::optional<Found>& found, std::uint64_t pending, double now) const noexcept;

  private:
    static constexpr unsigned half_words = 3;
    struct alignas(64) Slot {
        std::uint64_t hash;
        std::uint64_t record;
        std::uint64_t halves[2][half_words];
    };
    static_assert(sizeof(Slot) == 64);

    std::uint32_t* line(std::uint64_t hash, unsigned band) const noexcept;
    void touch(Slot& slot, double now, bool first) noexcept;
    std::uint32_t choose_slot(double now) noexcept;
    void enter(std::uint32_t slot, std::uint64_t hash) noexcept;
    void leave(std::uint32_t slot, std::uint64_t hash) noexcept;

    std::uint64_t* hand_;
    std::uint64_t* founded_;
    Slot* slots_;
    std::uint32_t* index_;
    std::uint32_t count_;
    std::uint32_t lines_;  // of each of the four tables
    unsigned shift_;       // from a band to its line
};

}  // namespace atlascore::track
