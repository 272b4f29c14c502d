// What the inputs of one track are to each other as points: on a line between two answers, halfway of the
// step before, a few coordinates apart. All on linear sketches of 64 values; differences are always taken
// directly, because the detour over dot products loses the digits that matter.
//
// Precision. Half-precision history is enough for distances; directions and ratios of short displacements
// need each to be at least 2^-8 of the input's norm (1e-5 against the full-precision head). A shorter one is
// no observation: neither hit nor miss.
#pragma once

#include <cstdint>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

inline constexpr float collinear_cosine = 0.99f;
inline constexpr float halving_from = 0.45f, halving_to = 0.55f;
inline constexpr float history_precision = 0x1p-8f;
inline constexpr float head_precision = 1e-5f;
// Scaled units by which a coordinate has to differ to count as another.
inline constexpr float coordinate_change = 1e-3f;

// x is between a and b when the steps a -> x and x -> b both point from a to b (cosine above 0.99), and a
// midpoint when also the first is 0.45 to 0.55 of the whole.
struct Between {
    bool between = false;
    bool midpoint = false;
};
Between between(const float* x, const float* a, const float* b, float shortest) noexcept;

// A step against the step before it.
struct Turn {
    bool measured = false;  // both steps are long enough
    float cosine = 0;
    float ratio = 0;  // of their lengths
    bool halving() const noexcept {
        return measured && (cosine > collinear_cosine || cosine < -collinear_cosine) &&
               ratio > halving_from && ratio < halving_to;
    }
};

// Bit i: coordinate i of the sketch differs. Both as they are stored, so that equal values are equal.
std::uint64_t changed_coordinates(const SlotRow& a, const SlotRow& b) noexcept;
// The one or two coordinates that hold 98 % of the squared difference, as much of it as a line needs to be
// one (cosine 0.99); nothing for no difference, all bits when it takes more coordinates.
std::uint64_t dominant_coordinates(const SlotRow& a, const SlotRow& b) noexcept;
// Of an input of `width` features: whether so many changed coordinates are few.
bool is_sparse(std::uint64_t changed, std::uint32_t width) noexcept;
// Or whether they are a quarter of all, and at least eight: a step in a direction of its own, not of a form.
bool is_dense(std::uint64_t changed, std::uint32_t width) noexcept;

// The head of a track: where its newest input is and how it got there.
struct Head {
    alignas(64) float latest[linear_size];
    alignas(64) float direction[linear_size];  // of the step to `latest`; its length is near 1
    float step = 0;                            // its length, 0 when there was none
};
Head unpack(const HeadRow& row) noexcept;
HeadRow pack(const Head& head) noexcept;

// The step from the head to x. `next` is what the head becomes when x is committed.
Turn step_from(const Head& head, const float* x, Head& next) noexcept;
Head first_head(const float* x) noexcept;

}  // namespace atlascore::track
