#include "atlascore/track/template_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "atlascore/base/bits.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/track/sketch_slot.hpp"
#include "atlascore/track/template_hash.hpp"

namespace atlascore::track {
namespace {

constexpr unsigned bands = 4, band_bits = 16, tag_bits = 9, slot_bits = 17, line_entries = 16;
constexpr std::uint64_t fewest_slots = 1024, most_slots = 65'536, tracks_per_slot = 32;
constexpr unsigned candidates = 4;  // slots looked at for a new template
constexpr int tries = 16;
constexpr double day_seconds = 86'400;
constexpr unsigned registers = 45, word_registers = 15, highest_rank = 15;
constexpr std::uint64_t empty_hash = 0;

std::uint64_t band_of(std::uint64_t hash, unsigned band) noexcept {
    return hash >> band * band_bits & 0xFFFF;
}

// What a line's number leaves out of the band, which is 9 bits at most.
std::uint32_t tag_of(std::uint64_t hash, unsigned band) noexcept {
    return static_cast<std::uint32_t>(band_of(hash, band) & ((1u << tag_bits) - 1)) << slot_bits;
}

std::uint32_t slot_of(std::uint32_t entry) noexcept {
    return (entry & ((1u << slot_bits) - 1)) - 1;
}

// When a template was seen last, and how often.
struct Record {
    std::uint32_t founded;
    std::uint32_t time;  // day 16 | part of it 14
    std::uint32_t visits;

    static Record of(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word >> 2 & 0x3FFFFFFF),
                static_cast<std::uint32_t>(word & 3)};
    }
    std::uint64_t word() const noexcept {
        return std::uint64_t{founded} << 32 | std::uint64_t{time} << 2 | visits;
    }
    static std::uint32_t time_of(double now) noexcept {
        return static_cast<std::uint32_t>(now / day_seconds * (1 << 14));
    }
};

std::uint64_t day_of(double now) noexcept {
    return static_cast<std::uint64_t>(now / day_seconds);
}

using Registers = std::array<std::uint64_t, 3>;

std::uint64_t stamp_of(std::uint64_t day) noexcept {
    return (day & 15) << 60;
}

// The registers of a day; none where the words are another's.
Registers registers_of(const std::uint64_t (&halves)[2][3], std::uint64_t day) noexcept {
    Registers out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::uint64_t word = shared_load(halves[day & 1][i]);
        if ((word & ~std::uint64_t{0} << 60) == stamp_of(day)) out[i] = word & ~(~std::uint64_t{0} << 60);
    }
    return out;
}

struct Place {
    std::size_t word;
    unsigned shift;
    std::uint64_t rank;
};
Place place_of(std::uint64_t principal) noexcept {
    const auto which = static_cast<unsigned>((principal >> 32) * registers >> 32);
    const int zeros = std::countl_zero(static_cast<std::uint32_t>(principal));
    return {which / word_registers, 4 * (which % word_registers),
            std::min<std::uint64_t>(static_cast<std::uint64_t>(zeros) + 1, highest_rank)};
}

void raise(std::uint64_t& word, const Place& place) noexcept {
    if ((word >> place.shift & 15) >= place.rank) return;
    word = (word & ~(std::uint64_t{15} << place.shift)) | place.rank << place.shift;
}

double estimate(const Registers& halves) noexcept {
    unsigned zeros = 0, powers = 0;  // the sum of 2^-rank, times 2^15
    for (const std::uint64_t word : halves) {
        for (unsigned i = 0; i < word_registers; ++i) {
            const unsigned rank = word >> 4 * i & 15;
            zeros += rank == 0;
            powers += 1u << (highest_rank - rank);
        }
    }
    if (zeros == registers) return 0;
    constexpr double size = registers, correction = 0.7213 / (1 + 1.079 / size);
    const double raw = correction * size * size * (1u << highest_rank) / powers;
    return raw <= 2.5 * size && zeros != 0 ? size * std::log(size / zeros) : raw;
}

Registers joined(const Registers& a, const Registers& b) noexcept {
    Registers out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        for (unsigned shift = 0; shift < 60; shift += 4)
            out[i] |= std::max(a[i] >> shift & 15, b[i] >> shift & 15) << shift;
    }
    return out;
}

}  // namespace

std::uint64_t TemplateTable::slots_for(std::uint64_t capacity) noexcept {
    return std::bit_ceil(std::clamp(capacity / tracks_per_slot, fewest_slots, most_slots));
}

std::vector<std::uint64_t> TemplateTable::section_bytes(std::uint64_t capacity) {
    const std::uint64_t slots = slots_for(capacity);
    return {64 + slots * sizeof(Slot), bands * (slots / 8) * line_entries * sizeof(std::uint32_t)};
}

TemplateTable::TemplateTable(base::Region& region, std::size_t first_section, std::uint64_t capacity) noexcept
    : hand_(reinterpret_cast<std::uint64_t*>(region.section(first_section))),
      founded_(hand_ + 1),
      slots_(reinterpret_cast<Slot*>(region.section(first_section) + 64)),
      index_(reinterpret_cast<std::uint32_t*>(region.section(first_section + 1))),
      count_(static_cast<std::uint32_t>(slots_for(capacity))),
      lines_(count_ / 8),
      shift_(band_bits - static_cast<unsigned>(std::countr_zero(lines_))) {
    static_assert(fewest_slots / 8 >= 1u << (band_bits - tag_bits));
}

std::uint32_t* TemplateTable::line(std::uint64_t hash, unsigned band) const noexcept {
    return index_ + (band * lines_ + (band_of(hash, band) >> shift_)) * line_entries;
}

std::optional<TemplateTable::Found> TemplateTable::find(std::uint64_t hash) const noexcept {
    hash = std::max(hash, std::uint64_t{1});
    for (unsigned band = 0; band < bands; ++band) __builtin_prefetch(line(hash, band));
    std::optional<Found> best;
    unsigned nearest = template_distance + 1;
    std::uint32_t oldest = 0;
    for (unsigned band = 0; band < bands; ++band) {
        const std::uint32_t* const entries = line(hash, band);
        const std::uint32_t tag = tag_of(hash, band);
        for (unsigned i = 0; i < line_entries; ++i) {
            const std::uint32_t entry = shared_load(entries[i]);
            if (entry >> slot_bits != tag >> slot_bits || entry == 0) continue;
            const std::uint32_t slot = slot_of(entry);
            if (slot >= count_) continue;
            const std::uint64_t known = shared_load(slots_[slot].hash, std::memory_order_acquire);
            const unsigned distance = base::count_bits(known ^ hash);
            if (known == empty_hash || distance > nearest || distance > template_distance) continue;
            const std::uint32_t founded = Record::of(shared_load(slots_[slot].record)).founded;
            if (distance == nearest && best && founded >= oldest) continue;
            best = Found{slot, known};
            nearest = distance;
            oldest = founded;
        }
    }
    return best;
}

TemplateTable::Found TemplateTable::visit(std::uint64_t hash, const std::optional<Found>& known,
                                          double now) noexcept {
    hash = std::max(hash, std::uint64_t{1});
    std::optional<Found> found = known;
    if (found && shared_load(slots_[found->slot].hash) != found->hash) found.reset();
    if (!found) found = find(hash);
    if (found) {
        touch(slots_[found->slot], now, false);
        return *found;
    }
    const std::uint32_t chosen = choose_slot(now);
    Slot& slot = slots_[chosen];
    const std::uint64_t former = shared_load(slot.hash);
    if (former != empty_hash) leave(chosen, former);
    for (auto& half : slot.halves) {
        for (std::uint64_t& word : half) shared_store(word, 0);
    }
    if (shared_exchange_if(slot.hash, former, hash)) {
        touch(slot, now, true);
        enter(chosen, hash);
    }
    return {chosen, hash};
}

void TemplateTable::touch(Slot& slot, double now, bool first) noexcept {
    std::uint64_t seen = shared_load(slot.record);
    Record record = Record::of(seen);
    if (first) {
        record.founded =
            static_cast<std::uint32_t>(std::atomic_ref(*founded_).fetch_add(1, std::memory_order_relaxed));
        record.visits = record.time = 0;
    }
    record.time = std::max(record.time, Record::time_of(now));
    record.visits = std::min(record.visits + 1, 3u);
    if (record.word() != seen) shared_exchange_if(slot.record, seen, record.word());
}

std::uint32_t TemplateTable::choose_slot(double now) noexcept {
    const std::uint64_t hand = std::atomic_ref(*hand_).fetch_add(candidates, std::memory_order_relaxed);
    const auto first = static_cast<std::uint32_t>(hand % count_);
    const std::uint32_t yesterday = Record::time_of(std::max(now - day_seconds, 0.0));
    std::uint32_t best = first;
    std::uint64_t lowest = ~std::uint64_t{0};
    for (std::uint32_t slot = first; slot < first + candidates; ++slot) {
        if (shared_load(slots_[slot].hash) == empty_hash) return slot;
        const Record record = Record::of(shared_load(slots_[slot].record));
        const bool used = record.visits > 1 && record.time > yesterday;
        const std::uint64_t worth = std::uint64_t{used} << 32 | record.time;
        if (worth >= lowest) continue;
        lowest = worth;
        best = slot;
    }
    return best;
}

void TemplateTable::enter(std::uint32_t slot, std::uint64_t hash) noexcept {
    for (unsigned band = 0; band < bands; ++band) {
        std::uint32_t* const entries = line(hash, band);
        const std::uint32_t mine = tag_of(hash, band) | (slot + 1);
        unsigned place = 0;
        while (place < line_entries && shared_load(entries[place]) != 0) ++place;
        // A full line forgets one entry, by a number that is as good as random.
        if (place == line_entries) place = static_cast<unsigned>(base::mix64(hash, band) % line_entries);
        shared_store(entries[place], mine);
    }
}

void TemplateTable::leave(std::uint32_t slot, std::uint64_t hash) noexcept {
    for (unsigned band = 0; band < bands; ++band) {
        std::uint32_t* const entries = line(hash, band);
        const std::uint32_t mine = tag_of(hash, band) | (slot + 1);
        for (unsigned i = 0; i < line_entries; ++i) {
            if (shared_load(entries[i]) == mine) shared_exchange_if(entries[i], mine, 0);
        }
    }
}

void TemplateTable::add_young(const Found& found, std::uint64_t principal, double now) noexcept {
    Slot& slot = slots_[found.slot];
    const std::uint64_t day = day_of(now);
    // Of a day that has gone by, whose half may be another's by now, nothing is counted.
    if (shared_load(slot.hash) != found.hash) return;
    if (day + 1 < Record::of(shared_load(slot.record)).time >> 14) return;
    const Place place = place_of(principal);
    std::uint64_t& word = slot.halves[day & 1][place.word];
    for (int attempt = 0; attempt < tries; ++attempt) {
        const std::uint64_t seen = shared_load(word);
        std::uint64_t next = (seen & ~std::uint64_t{0} << 60) == stamp_of(day) ? seen : stamp_of(day);
        raise(next, place);
        if (next == seen || shared_exchange_if(word, seen, next)) return;
    }
}

double TemplateTable::young(const std::optional<Found>& found, std::uint64_t pending,
                            double now) const noexcept {
    const std::uint64_t day = day_of(now);
    Registers current{}, before{};
    if (found && shared_load(slots_[found->slot].hash) == found->hash) {
        current = registers_of(slots_[found->slot].halves, day);
        if (day != 0) before = registers_of(slots_[found->slot].halves, day - 1);
    }
    if (pending != 0) {
        const Place place = place_of(pending);
        raise(current[place.word], place);
    }
    const double today = estimate(current);
    if (before == Registers{}) return today;
    const double elapsed = now / day_seconds - static_cast<double>(day);
    const double both = estimate(joined(before, current));
    return both - elapsed * (both - today);
}

}  // namespace atlascore::track
