// What coverage (coverage.hpp) is measured from, and how much of it is ordinary for one model.
//
//   center  the mean of the model's ordinary inputs (manifold.hpp), or of the texts that have entered the
//           reservoir, up to 256. It stays where it is, because cells would move with it, until twice as many
//           inputs are known, or the model's scale is another one
//   curves  how many cells, of those they could have been in, principals have been in after 64, 128, ...
//           32,768 inputs: 128 bins each. They are halved when 2,048 principals have been counted
//
// Who moves the center holds the references' claim. A reader that finds it being moved has none; one left
// half-moved by a killed process is moved by the next. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/manifold.hpp"

namespace atlascore::track {

struct CoverageReference {
    static constexpr std::size_t level_count = 10;
    static constexpr std::uint32_t first_inputs = 64;
    static constexpr std::uint32_t minimum = 100;  // principals at a level

    // The level that so many inputs are; -1 between two of them.
    static int level_of(std::uint32_t inputs) noexcept;
    // 0 without a center for inputs of this space, else its number.
    std::uint16_t center(std::uint16_t of_space, float* out) const noexcept;
    // Only for the holder of the references' claim.
    void follow(const Manifold& ordinary) noexcept;
    void add_text(const float* linear, std::uint16_t of_space) noexcept;
    // A principal has come to a level, with so many cells.
    void learn(int level, double cells) noexcept;
    // Whether those are more than 99 % of principals have at that level; `known` is false below the minimum.
    struct Rank {
        bool known = false;
        bool wide = false;
    };
    Rank rank(int level, double cells) const noexcept;

    // Layout; only the member functions touch it.
    static constexpr std::size_t bin_count = 128;
    alignas(8) std::uint32_t sequence;  // odd while the center moves
    std::uint32_t space;                // Sketch::space() of the inputs; 0 none
    std::uint32_t members;              // inputs that the center is the mean of
    std::uint32_t number;               // of centers so far
    float mean[linear_size];
    std::uint32_t texts;
    float text_sum[linear_size];
    std::uint16_t curves[level_count][bin_count];
};
static_assert(std::is_trivially_copyable_v<CoverageReference>);

}  // namespace atlascore::track
