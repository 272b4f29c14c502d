// Which rows differ from an earlier one of their track in one column alone.
//
// A key stands for (track, column, all other columns of the row): two rows have it in common when they agree
// in everything but that column. An entry remembers the value that the column had first. The row that brings
// the second value is a twin; the third and later values of a key are none, so that one record counts once,
// however many values are tried on it.
//
// Entry, one word:   tag 25 | value 16 | has a twin 1 | time 22, in seconds
//
// Four entries to a set, 32 B; the oldest is replaced, so who stops sending is forgotten first. Entries with
// a twin go after those without: their records would count once more with the next value. The values of a
// twin are at most `twin_seconds` apart: what is rescored from night to night with one field changed is no
// twin. With a tag of 24 bits beside the set one look-up in four million meets a stranger.
//
// Concurrency: an entry is one word. It is marked by compare-exchange, and who marks it counts the twin; it
// is replaced by a store, so of two writers one key is forgotten, as by any replacement. A killed writer
// leaves whole words. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace atlascore::track {

inline constexpr std::uint32_t twin_seconds = 12 * 3600;

struct TwinKey {
    std::uint64_t key;
    std::uint16_t value;   // hash of the column's value
    std::uint16_t column;  // below 512
};

class TwinTable {
  public:
    // Of a state with room for so many tracks: a power of two.
    static std::uint64_t entries_for(std::uint64_t capacity) noexcept;
    // `words`: a power of two, at least 4, aligned to 32 B.
    explicit TwinTable(std::span<std::uint64_t> words) noexcept;

    struct Entry {
        std::uint16_t value;
        bool has_twin;
    };
    // What is known of a key within the last 12 h.
    std::optional<Entry> look(std::uint64_t key, double now) const noexcept;
    // What a value is to a key: nothing (new, or the first one), another one, or the second that makes a
    // twin.
    enum class Seen : std::uint8_t { nothing, other, twin };
    static Seen what_is(std::uint16_t value, const Entry& entry) noexcept {
        if (value == entry.value) return Seen::nothing;
        return entry.has_twin ? Seen::other : Seen::twin;
    }
    // The key has had this value. A twin is told to one caller.
    Seen add(const TwinKey& key, double now) noexcept;
    // Makes an entry as it is elsewhere.
    void copy(std::uint64_t key, const Entry& entry, double now) noexcept;
    void prefetch(std::uint64_t key) const noexcept { __builtin_prefetch(set_of(key)); }
    void clear() noexcept;

  private:
    std::uint64_t* set_of(std::uint64_t key) const noexcept;
    std::uint64_t* find(std::uint64_t key, std::uint64_t& word) const noexcept;
    void insert(std::uint64_t key, std::uint64_t word, std::uint32_t now) noexcept;

    std::uint64_t* words_;
    std::uint64_t sets_;
};

}  // namespace atlascore::track
