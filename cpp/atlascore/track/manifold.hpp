// Where a model's ordinary inputs lie: mean and spread of their linear sketches, and how far from there they
// are. An input that lies farther than all of them was made for the query; so was one that is off the grid of
// values on which ordinary inputs lie.
//
//   energy    mean over the 64 coordinates of ((s - mean) / deviation)^2
//   rank      share of the reference's energies that are not above an input's
//   far       energy above twice the reference's 99th percentile
//
// The reference is made from the model's reservoir (references.hpp), in which a principal has at most 4
// entries. The tenth with the largest energy is left out, at least 4, and mean, deviations and energies are
// those of the rest; of the off-grid shares the largest tenth. So neither one caller nor the one honest
// client in ten that has another domain decides what is far. It is made anew when an eighth of the reservoir
// has changed, about 30 us each time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "atlascore/track/sketch.hpp"

namespace atlascore::track {

inline constexpr std::size_t manifold_capacity = 256;  // entries of the reservoir
inline constexpr std::size_t manifold_minimum = 32;    // below it there is no reference
inline constexpr std::size_t manifold_omitted = 4;     // at least: as many as one principal can have
inline constexpr double far_factor = 2.0;
// Deviations below a tenth of the typical one count as a tenth of it: a feature that never changed says
// little by changing once.
inline constexpr double least_deviation = 0.1;

// Where one input lies.
struct Location {
    bool known = false;
    bool far = false;
    float rank = 0;      // 0 to 1
    float off_grid = 1;  // mean off-grid share of the model's ordinary inputs, 1 when not known
};

struct Manifold {
    // Layout; all-zero memory is a valid reference of no inputs.
    std::uint64_t sequence;  // odd while written
    std::uint32_t space;     // Sketch::space() of the inputs; 0 none
    std::uint32_t count;     // of energies
    float far_from;
    float off_grid;  // as Location::off_grid
    float mean[linear_size];
    float inverse_deviation[linear_size];
    float energies[manifold_capacity];  // ascending

    float energy(const float* linear) const noexcept;
    // Location of an input, given what is above; `known` is false for another space.
    Location locate(const float* linear, std::uint16_t of_space) const noexcept;
};

// Of `count` inputs of one space, one behind the other; off_grid: share per input, negative where not known.
// Writes everything but `sequence`. Fewer than the minimum leave a reference of no inputs.
void make_manifold(std::span<const float> inputs, std::span<const float> off_grid, std::uint16_t space,
                   Manifold& out) noexcept;

}  // namespace atlascore::track
