// Whether a track's inputs come in groups of one size: noisy or augmented copies of one record after the
// other, as membership is inferred without scores. A run is an input and those after it that lie within the
// model's median distance between strangers of that first one; what counts are the lengths of the last 16
// runs that have ended.
//
// Any thread may add; of two that do so at once one may lose its place in the run. The first member is a slot
// as those of the history are, so a torn one is none, and the next input begins a run. A writer that slept
// while the slab changed its owner adds one length. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

struct Groups {
    static constexpr std::size_t run_count = 16;
    static constexpr std::size_t minimum = 10;        // runs
    static constexpr double least_median_length = 3;  // shorter ones are no groups

    // Whether the input belongs to the run that goes on. `first`: where the run's first member is stored.
    // `reach`: how far from it; NaN: nothing is near enough.
    bool holds(const SlotRow& first, const Sketch& sketch, float reach, std::uint64_t owner) const noexcept;
    void add(SlotRow& first, const Sketch& sketch, bool held, std::uint64_t owner) noexcept;
    // 1 less the coefficient of variation of the lengths, at least 0; NaN below the minima. `ends`: the query
    // under way ends the run.
    double regularity(bool ends) const noexcept;
    void reset() noexcept;

    // Layout; only the member functions touch it.
    SlotMeta meta;           // of the first member
    std::uint32_t length;    // of the run that goes on
    std::uint32_t finished;  // runs ever
    std::uint8_t lengths[run_count];
};
static_assert(sizeof(Groups) == 40);

}  // namespace atlascore::track
