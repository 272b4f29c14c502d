#include "atlascore/track/principal_table.hpp"

#include <algorithm>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint64_t tracks_per_principal = 64, least_principals = 256;
constexpr std::uint32_t record_words = 1 + sizeof(PrincipalUse) / sizeof(std::uint64_t);

std::uint32_t pairs_of(std::uint64_t tracks) noexcept {
    return KeyTable::pairs_for(std::max(least_principals, tracks / tracks_per_principal));
}

}  // namespace

std::vector<std::uint64_t> PrincipalTable::section_bytes(std::uint64_t tracks) {
    const std::uint32_t pairs = pairs_of(tracks);
    return {KeyTable::group_bytes(pairs), KeyTable::slot_count(pairs) * record_words * sizeof(std::uint64_t)};
}

PrincipalTable::PrincipalTable(base::Region& region, std::size_t first_section, std::uint64_t tracks) noexcept
    : keys_(region, region.section(first_section), region.section(first_section + 1), pairs_of(tracks),
            record_words, record_words, false) {}

PrincipalTable::Record PrincipalTable::open(std::uint64_t principal, bool evict) noexcept {
    Record record;
    record.tag = KeyTable::tag_of(principal);
    record.slot = evict ? keys_.find_or_insert(record.tag) : keys_.find_or_insert_if_room(record.tag);
    if (record.slot) record.use = use_of(record.slot);
    return record;
}

PrincipalTable::Record PrincipalTable::open(std::uint64_t principal, bool evict,
                                            std::uint64_t& found_last) noexcept {
    const std::uint64_t last = shared_load(found_last);
    Record record;
    record.tag = KeyTable::tag_of(principal);
    record.slot = {static_cast<std::uint32_t>(last >> 32) - 1, static_cast<std::uint32_t>(last)};
    if (record.slot.index < keys_.slots() && keys_.holds(record.slot, record.tag)) {
        keys_.touch(record.slot.index);
        record.use = use_of(record.slot);
        return record;
    }
    record = open(principal, evict);
    if (record.use != nullptr)
        shared_store(found_last, (std::uint64_t{record.slot.index} + 1) << 32 | record.slot.generation);
    return record;
}

std::optional<PrincipalTable::Record> PrincipalTable::look(std::uint64_t principal) const noexcept {
    Record record;
    record.tag = KeyTable::tag_of(principal);
    record.slot = keys_.find(record.tag);
    if (!record.slot) return std::nullopt;
    record.use = use_of(record.slot);
    return record;
}

void PrincipalTable::keep(const Record& record) noexcept {
    if (keys_.holds(record.slot, record.tag) && keys_.kept(record.slot.index) < Keep::suspect)
        keys_.keep(record.slot.index, Keep::suspect);
}

}  // namespace atlascore::track
