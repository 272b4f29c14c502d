// How much of a model's input space a track has been through. Space is cut into 4,096 cells by 12 random
// hyperplanes through the middle of the model's ordinary inputs (coverage_reference.hpp); of the cells that
// held an input a hash of ten bits is remembered, and their number is estimated from the share of bits that
// are still empty (linear counting: off by 1 % at 64 cells, by 4 % at 2,500).
//
// Any thread may add. Bits are only ever set, so nothing is torn; an input whose bit is set twice counts
// once. When the reference moves, what was collected is emptied; a writer that slept meanwhile, or while the
// slab changed its owner, sets one bit. All-zero memory is valid and empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "atlascore/track/sketch.hpp"

namespace atlascore::track {

inline constexpr std::size_t coverage_planes = 12;
inline constexpr double coverage_cells = 1u << coverage_planes;

// Normals of the hyperplanes, and the seed of the cells' hashes.
struct CoveragePlanes {
    explicit CoveragePlanes(std::uint64_t seed) noexcept;
    // The bit of the cell that a sketch lies in.
    std::uint16_t bit_of(const float* linear, const float* center) const noexcept;

    static constexpr std::size_t columns = 16;
    std::uint64_t seed;
    // (64, 16): a column a plane, the last four zero.
    alignas(64) std::array<float, linear_size * columns> normals;
};

struct Coverage {
    static constexpr std::size_t bit_count = 1024;
    static constexpr std::uint32_t minimum = 64;  // inputs

    struct Step {
        std::uint16_t bit = 0;
        std::uint16_t reference = 0;  // which one its cell is of; 0: no step
    };
    void add(const Step& step) noexcept;
    // Inputs counted, and cells they are estimated to lie in, `pending` included.
    std::uint32_t inputs(const Step& pending) const noexcept;
    double cells(const Step& pending) const noexcept;
    // Share of all cells; NaN below the minimum.
    double share(const Step& pending) const noexcept;
    void clear() noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t words[bit_count / 64];
    std::uint32_t added;  // inputs
    std::uint32_t reference;
};
static_assert(sizeof(Coverage) == 136);

}  // namespace atlascore::track
