#include "atlascore/track/baseline_table.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/recent.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint64_t tracks_per_entry = 288, least_entries = 64;
constexpr std::uint32_t new_hours = 24, settled_hours = 7 * 24;  // idle, before it may go
constexpr std::uint32_t most_costs = 1u << 20;
constexpr int cost_tries = 16;

float sum_of(std::uint64_t costs) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(costs >> 32));
}

}  // namespace

std::uint32_t BaselineTable::sets_for(std::uint64_t tracks) noexcept {
    return static_cast<std::uint32_t>((std::max(least_entries, tracks / tracks_per_entry) + lanes - 1) /
                                      lanes);
}

std::uint64_t BaselineTable::bytes(std::uint64_t tracks) noexcept {
    return std::uint64_t{sets_for(tracks)} * lanes * sizeof(Entry);
}

BaselineTable::BaselineTable(std::byte* section, std::uint64_t tracks) noexcept
    : entries_(reinterpret_cast<Entry*>(section)), sets_(sets_for(tracks)) {}

BaselineTable::Entry* BaselineTable::entry_of(std::uint32_t entry, std::uint64_t tag) const noexcept {
    if (entry == 0 || entry > entries()) return nullptr;
    Entry& found = entries_[entry - 1];
    return shared_load(found.tag, std::memory_order_acquire) == tag ? &found : nullptr;
}

bool BaselineTable::holds(std::uint32_t entry, std::uint64_t tag) const noexcept {
    return entry_of(entry, tag) != nullptr;
}

std::uint32_t BaselineTable::first_of(std::uint64_t tag) const noexcept {
    const std::uint64_t hash = base::mix64(tag, 0x70617374);
    return static_cast<std::uint32_t>((hash >> 32) * sets_ >> 32) * lanes;
}

std::uint32_t BaselineTable::find(std::uint64_t tag) const noexcept {
    const std::uint32_t first = first_of(tag);
    for (std::uint32_t i = first; i < first + lanes; ++i) {
        if (shared_load(entries_[i].tag, std::memory_order_acquire) == tag) return i + 1;
    }
    return 0;
}

// Hours since its last block began; -1 when it stays.
int BaselineTable::idle(const Entry& entry, std::uint32_t hour) noexcept {
    if (shared_load(entry.tag, std::memory_order_acquire) == 0) return std::numeric_limits<int>::max();
    const std::uint32_t used = shared_load(entry.past.block);
    const bool settled = Baseline::queries_of(shared_load(entry.past.first_and_queries)) >= mature_queries;
    const std::uint32_t least = settled ? settled_hours : new_hours;
    return hour >= used && hour - used >= least ? static_cast<int>(hour - used) : -1;
}

std::uint32_t BaselineTable::open(std::uint64_t tag, std::uint32_t hour) noexcept {
    if (const std::uint32_t found = find(tag)) return found;
    const std::uint32_t first = first_of(tag);
    Entry* chosen = nullptr;
    int longest = -1;
    for (Entry* entry = entries_ + first; entry != entries_ + first + lanes; ++entry) {
        const int hours = idle(*entry, hour);
        if (hours <= longest) continue;
        longest = hours;
        chosen = entry;
    }
    return chosen != nullptr && take(*chosen, tag, hour) ? static_cast<std::uint32_t>(chosen - entries_) + 1
                                                         : 0;
}

bool BaselineTable::take(Entry& entry, std::uint64_t tag, std::uint32_t hour) noexcept {
    const UpdateClaim held(entry.claim);
    if (!held || idle(entry, hour) < 0) return false;  // it has been used since
    shared_store(entry.tag, 0, std::memory_order_seq_cst);
    shared_store(entry.costs, 0);
    shared_assign(entry.past, Baseline::starting(hour));
    shared_store(entry.tag, tag, std::memory_order_release);
    return true;
}

std::optional<Baseline> BaselineTable::look(std::uint32_t entry, std::uint64_t tag) const noexcept {
    const Entry* const found = entry_of(entry, tag);
    return found == nullptr ? std::nullopt : std::optional(shared_copy(found->past));
}

void BaselineTable::add_cost(std::uint32_t entry, std::uint64_t tag, double cost) noexcept {
    Entry* const found = entry_of(entry, tag);
    if (found == nullptr) return;
    const auto value = static_cast<float>(std::log2(cost));
    for (int attempt = 0; attempt < cost_tries; ++attempt) {
        const std::uint64_t before = shared_load(found->costs);
        const auto count = static_cast<std::uint32_t>(before);
        if (count >= most_costs) return;
        const std::uint64_t after =
            std::uint64_t{std::bit_cast<std::uint32_t>(sum_of(before) + value)} << 32 | (count + 1);
        if (shared_exchange_if(found->costs, before, after)) return;
    }
}

std::optional<std::uint16_t> BaselineTable::close(std::uint32_t entry, std::uint64_t tag, std::uint32_t hour,
                                                  const HotSlab& slab) noexcept {
    const Entry* const found = entry_of(entry, tag);
    if (found == nullptr) return std::nullopt;
    const std::uint32_t block = shared_load(found->past.block);
    return close(entry, tag, hour, slab.block_means(block * seconds_per_hour, hour * seconds_per_hour));
}

std::optional<std::uint16_t> BaselineTable::close(std::uint32_t entry, std::uint64_t tag, std::uint32_t hour,
                                                  BlockMeans means) noexcept {
    if (entry_of(entry, tag) == nullptr) return std::nullopt;
    Entry& mine = entries_[entry - 1];
    const UpdateClaim held(mine.claim);
    if (!held || shared_load(mine.tag, std::memory_order_acquire) != tag) return std::nullopt;
    Baseline past = shared_copy(mine.past);
    const auto costs = static_cast<std::uint32_t>(shared_load(mine.costs));
    if (hour > past.block && std::max(costs, means.largest_count()) >= minimum_values) {
        const std::uint64_t sums = std::atomic_ref(mine.costs).exchange(0, std::memory_order_relaxed);
        const auto count = static_cast<std::uint32_t>(sums);
        means.count[BlockMeans::cost] = count;
        means.mean[BlockMeans::cost] = count == 0 ? 0 : double{sum_of(sums)} / count;
        past.close(means, hour);
        shared_assign(mine.past, past);
    }
    return past.signal();
}

}  // namespace atlascore::track
