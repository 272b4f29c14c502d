#include "atlascore/track/principal_clusters.hpp"

#include <algorithm>
#include <bit>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t ways = 4;
constexpr std::uint64_t fewest = 1024, tracks_per_entry = 16;
constexpr std::uint64_t claimed = 1;  // no member has this tag
constexpr std::uint64_t day_bits = 0xFFFF;
constexpr int most_steps = 8;  // from a member to its cluster

std::uint64_t today_at(double now) noexcept {
    return static_cast<std::uint64_t>(now / 86'400) & day_bits;
}

std::uint64_t name_of(std::uint64_t track) noexcept {
    return track & ~day_bits;
}

std::uint64_t age_of(std::uint64_t word, std::uint64_t today) noexcept {
    const std::uint64_t age = (today - word) & day_bits;
    return age < day_bits / 2 ? age : 0;  // of a later query than this one
}

}  // namespace

std::uint64_t PrincipalClusters::words_for(std::uint64_t capacity) noexcept {
    return 2 * std::max(fewest, std::bit_ceil(capacity / tracks_per_entry));
}

PrincipalClusters::PrincipalClusters(std::span<std::uint64_t> words) noexcept
    : entries_(reinterpret_cast<Entry*>(words.data())), sets_(words.size() / 2 / ways) {}

PrincipalClusters::Entry* PrincipalClusters::set_of(std::uint64_t track) const noexcept {
    return entries_ + (track >> 20 & (sets_ - 1)) * ways;
}

// What the track's own entry names; 0 for none.
std::uint64_t PrincipalClusters::direct(std::uint64_t track, std::uint64_t today) const noexcept {
    const Entry* const set = set_of(track);
    for (std::size_t i = 0; i < ways; ++i) {
        if (shared_load(set[i].member, std::memory_order_acquire) != name_of(track)) continue;
        const std::uint64_t cluster = shared_load(set[i].cluster, std::memory_order_acquire);
        if (shared_load(set[i].member) != name_of(track)) continue;
        return cluster != 0 && age_of(cluster, today) < days ? name_of(cluster) : 0;
    }
    return 0;
}

std::uint64_t PrincipalClusters::find(std::uint64_t track, double now) const noexcept {
    const std::uint64_t today = today_at(now);
    std::uint64_t cluster = direct(track, today);
    for (int step = 0; cluster != 0 && step < most_steps; ++step) {
        const std::uint64_t next = direct(cluster, today);
        if (next == 0 || next == cluster) break;
        cluster = next;
    }
    return cluster;
}

void PrincipalClusters::set(std::uint64_t track, std::uint64_t cluster, std::uint64_t today) noexcept {
    Entry* const set = set_of(track);
    const std::uint64_t word = name_of(cluster) | today;
    const std::size_t first = track >> 16 & (ways - 1);  // of equal ones it is not always the same that goes
    std::size_t oldest = first;
    std::uint64_t greatest = 0;
    for (std::size_t n = 0; n < ways; ++n) {
        const std::size_t i = (first + n) % ways;
        const std::uint64_t member = shared_load(set[i].member);
        if (member == name_of(track)) {
            shared_store(set[i].cluster, word, std::memory_order_release);
            return;
        }
        const std::uint64_t age =
            member <= claimed ? ~std::uint64_t{0} : age_of(shared_load(set[i].cluster), today) + 1;
        if (age <= greatest) continue;
        greatest = age;
        oldest = i;
    }
    const std::uint64_t before = shared_load(set[oldest].member);
    if (before != claimed && !shared_exchange_if(set[oldest].member, before, claimed)) return;
    shared_store(set[oldest].cluster, word, std::memory_order_release);
    shared_store(set[oldest].member, name_of(track), std::memory_order_release);
}

std::uint64_t PrincipalClusters::link(std::uint64_t track, std::uint64_t other, std::uint64_t prefer,
                                      double now) noexcept {
    const std::uint64_t today = today_at(now);
    const std::uint64_t mine = find(track, now), theirs = find(other, now);
    std::uint64_t stays = prefer != 0 ? prefer : theirs != 0 ? theirs : mine;
    if (stays == 0) stays = name_of(base::mix64(other, 0x636c7573));
    set(stays, stays, today);
    for (const std::uint64_t member : {mine, theirs, name_of(track), name_of(other)}) {
        if (member != 0 && member != stays) set(member, stays, today);
    }
    return stays;
}

}  // namespace atlascore::track
