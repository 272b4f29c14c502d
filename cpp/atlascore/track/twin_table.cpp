#include "atlascore/track/twin_table.hpp"

#include <algorithm>
#include <bit>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t ways = 4;
constexpr std::uint64_t fewest = 4096, tracks_per_entry = 4;
constexpr unsigned time_bits = 22, value_shift = 23, tag_shift = 39;
constexpr std::uint64_t twin_mark = std::uint64_t{1} << time_bits;
constexpr std::uint32_t time_mask = (1u << time_bits) - 1;

// From bits that neither choose the set nor sample keys; never 0, so that no entry is.
std::uint64_t tag_of(std::uint64_t key) noexcept {
    return (key >> 7 & 0x1FFFFFF) | 1;
}

std::uint32_t seconds_of(double now) noexcept {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(now)) & time_mask;
}

std::uint64_t make(std::uint64_t key, std::uint16_t value, std::uint32_t now) noexcept {
    return tag_of(key) << tag_shift | std::uint64_t{value} << value_shift | now;
}

std::uint16_t value_of(std::uint64_t word) noexcept {
    return static_cast<std::uint16_t>(word >> value_shift);
}

// Negative for an entry of a later query than this one.
std::int32_t age_of(std::uint64_t word, std::uint32_t now) noexcept {
    constexpr unsigned unused = 32 - time_bits;
    return static_cast<std::int32_t>((now - static_cast<std::uint32_t>(word)) << unused) >> unused;
}

bool is_fresh(std::uint64_t word, std::uint32_t now) noexcept {
    constexpr auto limit = static_cast<std::int32_t>(twin_seconds);
    const std::int32_t age = age_of(word, now);
    return age < limit && age > -limit;
}

// Who has the highest goes first: what is too old to be of use, then what has no twin, the oldest of them.
std::int32_t rank_of(std::uint64_t word, std::uint32_t now) noexcept {
    constexpr std::int32_t step = 1 << time_bits;
    const int steps = !is_fresh(word, now) ? 2 : (word & twin_mark) == 0 ? 1 : 0;
    return age_of(word, now) + steps * step;
}

}  // namespace

std::uint64_t TwinTable::entries_for(std::uint64_t capacity) noexcept {
    return std::max(fewest, std::bit_ceil(capacity / tracks_per_entry));
}

TwinTable::TwinTable(std::span<std::uint64_t> words) noexcept
    : words_(words.data()), sets_(words.size() / ways) {}

std::uint64_t* TwinTable::set_of(std::uint64_t key) const noexcept {
    return words_ + (key >> 32 & (sets_ - 1)) * ways;
}

std::uint64_t* TwinTable::find(std::uint64_t key, std::uint64_t& word) const noexcept {
    std::uint64_t* set = set_of(key);
    for (std::size_t i = 0; i < ways; ++i) {
        word = shared_load(set[i]);
        if (word >> tag_shift == tag_of(key)) return set + i;
    }
    return nullptr;
}

std::optional<TwinTable::Entry> TwinTable::look(std::uint64_t key, double now) const noexcept {
    std::uint64_t word = 0;
    if (find(key, word) == nullptr || !is_fresh(word, seconds_of(now))) return std::nullopt;
    return Entry{value_of(word), (word & twin_mark) != 0};
}

TwinTable::Seen TwinTable::add(const TwinKey& key, double now) noexcept {
    const std::uint32_t seconds = seconds_of(now);
    const std::uint64_t mine = make(key.key, key.value, seconds);
    std::uint64_t word = 0;
    std::uint64_t* at = find(key.key, word);
    if (at == nullptr) {
        insert(key.key, mine, seconds);
        return Seen::nothing;
    }
    if (!is_fresh(word, seconds)) {
        shared_store(*at, mine);
        return Seen::nothing;
    }
    const Seen seen = what_is(key.value, {value_of(word), (word & twin_mark) != 0});
    if (seen != Seen::twin) return seen;
    return shared_exchange_if(*at, word, word | twin_mark) ? Seen::twin : Seen::other;
}

void TwinTable::copy(std::uint64_t key, const Entry& entry, double now) noexcept {
    const std::uint32_t seconds = seconds_of(now);
    insert(key, make(key, entry.value, seconds) | (entry.has_twin ? twin_mark : 0), seconds);
}

void TwinTable::insert(std::uint64_t key, std::uint64_t word, std::uint32_t now) noexcept {
    std::uint64_t* set = set_of(key);
    const std::size_t first = key % ways;  // of entries of one second it is not always the same that goes
    std::size_t chosen = first;
    std::uint64_t replaced = shared_load(set[first]);
    for (std::size_t i = 1; i < ways && replaced != 0; ++i) {
        const std::size_t way = (first + i) % ways;
        const std::uint64_t other = shared_load(set[way]);
        if (other != 0 && rank_of(other, now) <= rank_of(replaced, now)) continue;
        chosen = way;
        replaced = other;
    }
    shared_store(set[chosen], word);
}

void TwinTable::clear() noexcept {
    for (std::uint64_t i = 0; i < sets_ * ways; ++i) shared_store(words_[i], 0);
}

}  // namespace atlascore::track
