// From rows to the keys under which their twins are found (track/twin_table.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "atlascore/event/event.hpp"
#include "atlascore/policy/policy.hpp"
#include "atlascore/track/track_table.hpp"
#include "atlascore/track/twin_table.hpp"

namespace atlascore::engine {

inline constexpr std::size_t twin_columns = policy::ColumnSet().size();  // wider rows have no twins

// Of ordinary columns so many share one key that is kept: about 32 a row are.
inline constexpr unsigned twin_sampling(std::size_t width) noexcept {
    return static_cast<unsigned>((width + 31) / 32);
}

struct TwinScratch {
    std::array<std::uint64_t, twin_columns> hashes;
    std::array<track::TwinKey, twin_columns> keys;
    std::array<track::TwinKey, twin_columns> twins;
    alignas(32) std::array<std::uint64_t, 4096> table;  // what a batch adds to the shared one, before it does
};

// The kept keys of a row of `input`, in `scratch`; none for what is no row or too wide.
std::span<const track::TwinKey> twin_keys(const event::Input& input, std::size_t row, std::uint64_t track,
                                          std::uint64_t seed, const policy::ColumnSet& sensitive,
                                          TwinScratch& scratch) noexcept;

// Records with a twin; NaN for a track without.
double twin_records_of(const std::optional<track::TwinCounts>& counts, const policy::Model* model,
                       double now) noexcept;

}  // namespace atlascore::engine
