#include "atlascore/track/near_index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "atlascore/base/bits.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint64_t fewest = 1024, tracks_per_entry = 8;
constexpr std::uint32_t index_mask = NearIndex::most_entries - 1;
constexpr unsigned cell_shift = 17, owner_shift = 24;
constexpr float cell_reaches = 4, code_reaches = 0.25f;
// Squared steps of the code that a confirmed pair is apart at most: 16 times (1.5 reaches in steps)^2.
constexpr int confirmed_steps = 16 * 6 * 6;
// Equal bytes of 16 at an estimated Jaccard similarity of 0.6.
constexpr int confirmed_bytes = 10;
// Of a bitmap of 32; 20 owners set 15 of them.
constexpr unsigned popular_bits = 16;

std::uint32_t cell_of(std::uint64_t key) noexcept {
    return static_cast<std::uint32_t>(key >> 57) | 1;  // never 0, so that no way is
}

std::uint32_t owner_of(std::uint64_t track) noexcept {
    return static_cast<std::uint32_t>(track >> 56);
}

// Uniform on (0, 1).
double uniform(std::uint64_t seed, std::uint64_t number) noexcept {
    return (static_cast<double>(base::mix64(seed, number) >> 12) + 0.5) * 0x1p-52;
}

// facts: owners 32 | digest 24 | check 8
constexpr unsigned owners_shift = 32, digest_shift = 8;
constexpr std::uint32_t digest_mask = 0xFFFFFF;

bool confirms(const std::uint64_t (&a)[2], const std::uint64_t (&b)[2], bool text) noexcept {
    std::uint8_t x[16], y[16];
    std::memcpy(x, a, sizeof x);
    std::memcpy(y, b, sizeof y);
    if (text) {
        int equal = 0;
        for (std::size_t i = 0; i < 16; ++i) equal += x[i] == y[i];
        return equal >= confirmed_bytes;
    }
    int squares = 0;
    for (std::size_t i = 0; i < 16; ++i) {
        const int gap = static_cast<std::int8_t>(static_cast<std::uint8_t>(x[i] - y[i]));  // the shorter way
        squares += gap * gap;
    }
    return squares < confirmed_steps;
}

}  // namespace

std::uint64_t NearIndex::entries_for(std::uint64_t capacity) noexcept {
    return std::clamp(std::bit_ceil(capacity / tracks_per_entry), fewest, most_entries);
}

std::vector<std::uint64_t> NearIndex::section_bytes(std::uint64_t capacity) {
    const std::uint64_t count = entries_for(capacity);
    return {64, count * sizeof(Entry), count * table_count * sizeof(std::uint32_t)};
}

NearIndex::NearIndex(base::Region& region, std::size_t first_section, std::uint64_t capacity,
                     std::uint64_t seed)
    : head_(reinterpret_cast<std::uint64_t*>(region.section(first_section))),
      entries_(reinterpret_cast<Entry*>(region.section(first_section + 1))),
      buckets_(reinterpret_cast<std::uint64_t*>(region.section(first_section + 2))),
      count_(entries_for(capacity)),
      seed_(base::mix64(seed, 0x6e656172)),
      normals_(linear_size * projections) {
    for (std::size_t i = 0; i < normals_.size(); ++i) {
        const double radius = std::sqrt(-2 * std::log(uniform(seed_, 2 * i)));
        normals_[i] = static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform(seed_, 2 * i + 1)));
    }
    for (std::size_t i = 0; i < std::size(offsets_); ++i)
        offsets_[i] = static_cast<float>(uniform(seed_ ^ 1, i));
}

NearIndex::Place NearIndex::place(const Sketch& sketch, float reach, std::uint64_t model) const noexcept {
    Place out;
    out.text = sketch.kind == SketchKind::text;
    out.digest = static_cast<std::uint32_t>(sketch.digest.low) & digest_mask;
    std::uint64_t space = base::mix64(model, sketch.space());
    if (out.text) {
        for (std::size_t table = 0; table < table_count; ++table) {
            std::uint32_t bytes;
            std::memcpy(&bytes, sketch.minhash + 4 * table, sizeof bytes);
            out.keys[table] = base::mix64(base::mix64(seed_ + table, space), bytes);
        }
        std::memcpy(out.code, sketch.minhash + 4 * table_count, sizeof out.code);
        return out;
    }
    int exponent = 0;
    std::frexp(reach, &exponent);
    const float unit = std::ldexp(0.5f, exponent);  // the power of two at or below the reach
    space = base::mix64(space, static_cast<std::uint64_t>(exponent + 1024));
    float places[projections];
    simd::project(normals_.data(), sketch.linear, linear_size, projections, places);
    // The next integer below; the library's function is a call without the instruction for it.
    const auto step = [](float x) {
        const float bounded = std::clamp(x, -1e9f, 1e9f);
        const auto whole = static_cast<std::int32_t>(bounded);
        return whole - (static_cast<float>(whole) > bounded);
    };
    const float per_cell = 1 / (cell_reaches * unit), per_step = 1 / (code_reaches * unit);  // both exact
    std::int32_t cells[cells_per_table];
    for (std::size_t table = 0; table < table_count; ++table) {
        for (std::size_t i = 0; i < cells_per_table; ++i) {
            const std::size_t at = table * cells_per_table + i;
            cells[i] = step(places[at] * per_cell + offsets_[at]);
        }
        out.keys[table] = base::hash64(cells, sizeof cells, base::mix64(seed_ + table, space));
    }
    std::uint8_t code[code_size];
    for (std::size_t i = 0; i < code_size; ++i) {
        code[i] = static_cast<std::uint8_t>(step(places[table_count * cells_per_table + i] * per_step));
    }
    std::memcpy(out.code, code, sizeof code);
    return out;
}

std::uint64_t* NearIndex::bucket(std::uint64_t key, std::size_t table) const noexcept {
    const std::uint64_t buckets = count_ / 2;
    return buckets_ + table * buckets + (key & (buckets - 1));
}

std::uint64_t NearIndex::check_of(const Entry& entry) noexcept {
    return base::mix64(entry.track ^ (entry.facts >> 8), base::mix64(entry.code[0], entry.code[1])) & 0xFF;
}

NearIndex::Match NearIndex::find(const Place& place, std::uint64_t track) const noexcept {
    Match match;
    for (std::size_t table = 0; table < table_count; ++table)
        __builtin_prefetch(bucket(place.keys[table], table));
    std::uint32_t candidates[2 * table_count];
    std::size_t count = 0;
    for (std::size_t table = 0; table < table_count; ++table) {
        const std::uint64_t pair = shared_load(*bucket(place.keys[table], table));
        for (const auto way : {static_cast<std::uint32_t>(pair), static_cast<std::uint32_t>(pair >> 32)}) {
            if ((way >> cell_shift & 0x7F) != cell_of(place.keys[table])) continue;
            const std::uint32_t index = way & index_mask & static_cast<std::uint32_t>(count_ - 1);
            if (std::find(candidates, candidates + count, index) != candidates + count) continue;
            candidates[count++] = index;
            __builtin_prefetch(entries_ + index);
        }
    }
    const std::uint64_t head = shared_load(*head_);
    std::uint64_t newest = 0;  // inputs entered since
    for (std::size_t i = 0; i < count; ++i) {
        const Entry& shared = entries_[candidates[i]];
        const Entry entry{shared_load(shared.track),
                          shared_load(shared.facts),
                          {shared_load(shared.code[0]), shared_load(shared.code[1])}};
        if ((entry.facts & 0xFF) != check_of(entry) || entry.track == 0) continue;
        if (!confirms(entry.code, place.code, place.text)) continue;
        const auto owners = static_cast<std::uint32_t>(entry.facts >> owners_shift);
        const bool same = (entry.facts >> digest_shift & digest_mask) == place.digest &&
                          entry.code[0] == place.code[0] && entry.code[1] == place.code[1];
        if (same) match.owners |= owners;
        if (entry.track == track) continue;
        match.identical |= same;
        const bool popular = base::count_bits(owners) >= popular_bits;
        match.popular |= popular;
        const std::uint64_t age = (head - 1 - candidates[i]) & (count_ - 1);
        if (popular || (match.owner != 0 && age > newest)) continue;
        match.owner = entry.track;
        newest = age;
    }
    if (match.popular) match.owner = 0;
    return match;
}

void NearIndex::add(const Place& place, std::uint64_t track, const Match& match) noexcept {
    const std::uint64_t number = std::atomic_ref(*head_).fetch_add(1, std::memory_order_relaxed);
    const auto index = static_cast<std::uint32_t>(number & (count_ - 1));
    const std::uint32_t owners = match.owners | 1u << (base::mix64(track, 0x6f776e) & 31);
    Entry entry{track,
                std::uint64_t{owners} << owners_shift | std::uint64_t{place.digest} << digest_shift,
                {place.code[0], place.code[1]}};
    entry.facts |= check_of(entry);
    Entry& shared = entries_[index];
    shared_store(shared.track, 0);
    shared_store(shared.facts, entry.facts, std::memory_order_release);
    shared_store(shared.code[0], entry.code[0]);
    shared_store(shared.code[1], entry.code[1]);
    shared_store(shared.track, entry.track, std::memory_order_release);
    for (std::size_t table = 0; table < table_count; ++table) {
        const std::uint32_t mine =
            index | cell_of(place.keys[table]) << cell_shift | owner_of(track) << owner_shift;
        std::uint64_t* pair = bucket(place.keys[table], table);
        const std::uint64_t before = shared_load(*pair);
        // The newest way is the lower one. The owner's own goes; else the older one.
        const auto newer = static_cast<std::uint32_t>(before);
        const bool own = newer >> cell_shift == mine >> cell_shift;
        const std::uint64_t kept = own ? before >> 32 : newer;
        shared_exchange_if(*pair, before, kept << 32 | mine);
    }
}

}  // namespace atlascore::track
