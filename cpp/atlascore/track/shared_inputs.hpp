// Which of a track's last 64 inputs, those it sent before aside, another principal has sent as well or nearly
// so. Any thread may write; of two that write at once one input may be missing.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "atlascore/base/bits.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

struct SharedInputs {
    static constexpr std::uint64_t room = 64, minimum = 16;

    void reset() noexcept {
        shared_store(inputs, 0);
        shared_store(count, 0);
    }
    void add(bool shared) noexcept {
        shared_store(inputs, shared_load(inputs) << 1 | std::uint64_t{shared});
        const std::uint64_t before = shared_load(count);
        if (before < room) shared_store(count, before + 1);
    }
    // Share of them; NaN below 16.
    double value() const noexcept {
        const std::uint64_t n = shared_load(count);
        if (n < minimum) return std::numeric_limits<double>::quiet_NaN();
        return base::count_bits(shared_load(inputs)) / static_cast<double>(n);
    }

    // Layout; only the member functions touch it.
    std::uint64_t inputs;  // the newest in the lowest bit
    std::uint64_t count;   // to 64
};

}  // namespace atlascore::track
