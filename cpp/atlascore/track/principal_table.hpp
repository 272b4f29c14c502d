// Where principals go (principal_use.hpp): a KeyTable of its own with a record of 104 B each, a word for the
// generation before the use. It has room for one principal to 64 tracks, because what it keeps is of an hour
// or two; whoever looks around is kept longest, others by how recently they were seen. When there is no room,
// most newcomers are turned away: what is thrown out as soon as it was made is of no use to anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "atlascore/track/key_table.hpp"
#include "atlascore/track/principal_use.hpp"

namespace atlascore::track {

class PrincipalTable {
  public:
    static std::vector<std::uint64_t> section_bytes(std::uint64_t tracks);
    // `first_section`: where section_bytes() begin in the region.
    PrincipalTable(base::Region& region, std::size_t first_section, std::uint64_t tracks) noexcept;

    struct Record {
        SlotRef slot;
        std::uint64_t tag = 0;
        PrincipalUse* use = nullptr;
    };

    // `principal`: a hash.
    void prefetch(std::uint64_t principal) const noexcept { keys_.prefetch(KeyTable::tag_of(principal)); }
    // Makes it if it is new and there is room; when there is none and not `evict`, `use` is null.
    Record open(std::uint64_t principal, bool evict) noexcept;
    // The same; where the record was found last saves the search while it is still there. A word of the
    // caller's, 0 at first, that is brought up to date.
    Record open(std::uint64_t principal, bool evict, std::uint64_t& found_last) noexcept;
    std::optional<Record> look(std::uint64_t principal) const noexcept;
    void keep(const Record& record) noexcept;  // longer than others

  private:
    PrincipalUse* use_of(const SlotRef& slot) const noexcept {
        return reinterpret_cast<PrincipalUse*>(keys_.words(slot.index) + 1);
    }

    KeyTable keys_;
};

}  // namespace atlascore::track
