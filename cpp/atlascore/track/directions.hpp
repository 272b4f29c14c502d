// How the inputs of a track turn: the cosines between one step and the step before it, in 40 bins on [-1, 1].
// Whoever estimates a gradient, walks along a line or throws coins about signs turns by few angles; inputs
// that have nothing to do with each other by many.
//
// Counts, halved when they come to 384, so that what is read are the last few hundred steps, the older ones
// with half, a quarter, ... of their weight.
//
// Any thread may add. A bin that another thread changes while it is halved stays as it is; a writer that
// slept while the slab changed its owner adds one step. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace atlascore::track {

inline constexpr float no_turn = std::numeric_limits<float>::quiet_NaN();

struct Directions {
    static constexpr std::size_t bin_count = 40;
    static constexpr std::uint32_t minimum = 64;
    static constexpr std::uint32_t halved_at = 384;

    void add(float cosine) noexcept;
    // Share of the two fullest bins, `pending` (no_turn: none) included; NaN below the minimum.
    double concentration(float pending) const noexcept;
    void clear() noexcept;

    // Layout; only the member functions touch it.
    alignas(8) std::uint16_t bins[bin_count];
};
static_assert(sizeof(Directions) == 80);

}  // namespace atlascore::track
