// Which keys of a line are read, and into what. Everything else is skipped without being decoded.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atlascore::scan {

// The keys with a meaning of their own: the arguments of Engine.decide and Engine.record.
enum class Known : std::uint8_t {
    none,
    time,
    principal,
    model,
    method,
    endpoint,
    session,
    request_id,
    text,
    vector,
    image,
    row,
    digest,
    cost,
    fields,
    response,
    response_label,
    response_scores,
    response_text,
    response_cost,
    response_status
};

class FieldTable {
  public:
    struct Entry {
        std::string path;        // keys joined by dots
        std::int32_t slot = -1;  // the wanted field
        Known known = Known::none;
        bool inner = false;  // some entry's path continues this one
    };

    // The slot of a field is its index in `fields`.
    explicit FieldTable(std::span<const std::string> fields);

    // The entry of a path; null when nothing of it is read. Eight bytes from its start can be read, however
    // short it is.
    const Entry* find(std::string_view path) const noexcept {
        const std::uint32_t hash = hash_of(path);
        for (std::size_t at = hash;; ++at) {
            const Cell& cell = index_[at & mask_];
            if (cell.entry == empty) {
                return nullptr;
            }
            if (cell.hash == hash && entries_[cell.entry].path == path) {
                return &entries_[cell.entry];
            }
        }
    }
    std::size_t fields() const noexcept { return fields_; }
    std::size_t entries() const noexcept { return entries_.size(); }
    std::size_t number_of(const Entry& entry) const noexcept {
        return static_cast<std::size_t>(&entry - entries_.data());
    }

  private:
    // Open addressing. The names are those that the rules choose, so that callers cannot make them collide.
    struct Cell {
        std::uint32_t hash;
        std::uint32_t entry;
    };
    static constexpr std::uint32_t empty = ~std::uint32_t{0};

    // Of the first and last eight bytes and the length, without a branch: a line has twenty keys, of all
    // lengths.
    static std::uint32_t hash_of(std::string_view path) noexcept {
        const bool whole = path.size() >= 8;
        std::uint64_t first, last;
        std::memcpy(&first, path.data(), 8);
        std::memcpy(&last, path.data() + (whole ? path.size() - 8 : 0), 8);
        const std::uint64_t mask =
            whole ? ~std::uint64_t{0} : (std::uint64_t{1} << (path.size() * 8 & 63)) - 1;
        const std::uint64_t sum =
            ((first & mask) + path.size()) * 0x9E3779B97F4A7C15ull ^ (last & mask) * 0xD6E8FEB86659FD93ull;
        return static_cast<std::uint32_t>(sum >> 32);
    }

    Entry& entry(std::string_view path);
    void build_index();

    std::vector<Entry> entries_;
    std::vector<Cell> index_;
    std::size_t mask_ = 0;
    std::size_t fields_;
};

}  // namespace atlascore::scan
