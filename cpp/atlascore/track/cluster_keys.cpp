#include "atlascore/track/cluster_keys.hpp"

#include <algorithm>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint64_t tracks_per_key = 64, least_keys = 256;
constexpr std::uint32_t record_words = 3;
constexpr std::uint64_t shared_bit = 1;

std::uint32_t pairs_of(std::uint64_t tracks) noexcept {
    return KeyTable::pairs_for(std::max(least_keys, tracks / tracks_per_key));
}

}  // namespace

std::vector<std::uint64_t> ClusterKeys::section_bytes(std::uint64_t tracks) {
    const std::uint32_t pairs = pairs_of(tracks);
    return {KeyTable::group_bytes(pairs), KeyTable::slot_count(pairs) * record_words * sizeof(std::uint64_t)};
}

ClusterKeys::ClusterKeys(base::Region& region, std::size_t first_section, std::uint64_t tracks) noexcept
    : keys_(region, region.section(first_section), region.section(first_section + 1), pairs_of(tracks),
            record_words, record_words, false) {}

ClusterKeys::Record ClusterKeys::open(std::uint64_t key) noexcept {
    const std::uint64_t tag = KeyTable::tag_of(key);
    return {keys_.find_or_insert(tag), tag};
}

ClusterKeys::Holder ClusterKeys::holder(const Record& record, double now) const noexcept {
    Holder out;
    if (!record.slot) return out;
    const std::uint64_t* const words = keys_.words(record.slot.index);
    const std::uint64_t word = shared_load(words[2]);
    out.age = std::max(0.0, now - static_cast<double>(word >> 32));
    if (word == 0 || out.age >= lifetime) return out;
    out.track = shared_load(words[1]) ^ record.tag;
    out.shared = word & shared_bit;
    return out;
}

void ClusterKeys::set(const Record& record, std::uint64_t track, bool shared, double now) noexcept {
    if (!record.slot || !keys_.holds(record.slot, record.tag)) return;
    std::uint64_t* const words = keys_.words(record.slot.index);
    shared_store(words[1], track ^ record.tag);
    shared_store(words[2], static_cast<std::uint64_t>(now) << 32 | (shared ? shared_bit : 0));
    if (shared) keys_.keep(record.slot.index, Keep::suspect);
}

}  // namespace atlascore::track
