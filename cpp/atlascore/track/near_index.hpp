// Which principals send inputs near each other's: an index of the newest inputs of all, by locality-sensitive
// hashing.
//
//   head      inputs entered
//   entries   32 B each: track tag | owners 32, digest 24, check 8 | code 16 B
//   tables    four of buckets of two ways, 4 B each: entry 17 | cell 7 | owner 8
//
// Look-up. An input has one cell in each of the four tables: of its linear sketch, eight random projections
// in steps of four times the reach; of a text, four bytes of its MinHash. A cell holds the newest inputs of
// two owners. What it leads to is confirmed by a code of its own: sixteen further projections in steps of a
// quarter of the reach, equal but for 1.5 times the reach on average; of a text, sixteen further bytes of the
// MinHash, estimated similarity 0.6. A pair at the reach is found in one case of two, at half of it in nine
// of ten, at a fifth in 99 of 100; one at twice the reach is never confirmed.
//
// The reach follows the model's references and is taken down to a power of two; inputs are compared when they
// were entered under the same one. An entry is replaced by the one that comes `entries` inputs later.
//
// Owners of an input are those who have sent exactly it: a bitmap of 32, one bit a track.
//
// Who may see what when
//   Can anyone wait? No. What does a reader see of an entry that is being written? Nothing: its check does
//   not fit; it covers the entry's words, and one in 256 torn ones passes it. What then confirms has at most
//   the name of the wrong one of two owners. What if a process is killed? Its entry does not exist. All-zero
//   memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "atlascore/base/region.hpp"
#include "atlascore/track/sketch.hpp"

namespace atlascore::track {

class NearIndex {
  public:
    static constexpr std::size_t table_count = 4;
    static constexpr std::uint64_t most_entries = 131'072;
    // More owners than that make an input popular: having it in common with somebody says nothing.
    static constexpr int popular_owners = 20;

    // One entry for eight tracks, 1,024 to 131,072, a power of two.
    static std::uint64_t entries_for(std::uint64_t capacity) noexcept;
    static std::vector<std::uint64_t> section_bytes(std::uint64_t capacity);
    NearIndex(base::Region& region, std::size_t first_section, std::uint64_t capacity, std::uint64_t seed);

    // Where an input is in the index.
    struct Place {
        std::uint64_t keys[table_count];
        std::uint64_t code[2];
        bool text;
        std::uint32_t digest;  // 24 bits of it
    };
    // `reach`: the length of a difference of linear sketches; unused for texts. `model`: the model's tag.
    // The sketch is dense or a text, and comparable.
    Place place(const Sketch& sketch, float reach, std::uint64_t model) const noexcept;

    // What another track has sent that is near the input: of such inputs the newest that is not popular.
    struct Match {
        std::uint64_t owner = 0;   // track tag; 0: none
        bool identical = false;    // another track has sent exactly this input
        bool popular = false;      // and so have many
        std::uint32_t owners = 0;  // of exactly this input, one bit a track
    };
    Match find(const Place& place, std::uint64_t track) const noexcept;
    // Enters the input. `match`: what find() has returned for it.
    void add(const Place& place, std::uint64_t track, const Match& match) noexcept;

  private:
    static constexpr std::size_t cells_per_table = 8;
    static constexpr std::size_t code_size = 16;
    static constexpr std::size_t projections = table_count * cells_per_table + code_size;

    struct alignas(32) Entry {
        std::uint64_t track;
        std::uint64_t facts;
        std::uint64_t code[2];
    };
    static std::uint64_t check_of(const Entry& entry) noexcept;
    std::uint64_t* bucket(std::uint64_t key, std::size_t table) const noexcept;

    std::uint64_t* head_;
    Entry* entries_;
    std::uint64_t* buckets_;
    std::uint64_t count_;
    std::uint64_t seed_;
    std::vector<float> normals_;  // (64, projections)
    float offsets_[table_count * cells_per_table];
};

}  // namespace atlascore::track
