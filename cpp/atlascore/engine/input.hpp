// From an event's input to its sketch (detection.md section 2).
#pragma once

#include <cstdint>

#include "atlascore/event/event.hpp"
#include "atlascore/policy/policy.hpp"
#include "atlascore/track/references.hpp"
#include "atlascore/track/sketch.hpp"

namespace atlascore::engine {

struct ThreadState;

// Rows have at most this many columns.
inline constexpr std::size_t column_limit = 4096;

// Bytes of text, or numbers, of all inputs of the call; 0 where there are neither.
std::size_t size_of(const event::Input& input) noexcept;

// The scale of the model's inputs: declared by the policy, else learned.
track::Scale scale_of(const policy::Model* model, const track::ModelReferences* references,
                      std::size_t width) noexcept;

// Share of a row's values that are off the declared grid; NaN when none is declared for this width.
float off_grid_share(const event::Input& input, std::size_t row, const policy::Model* model) noexcept;

// The sketch of one input of the call. False: it has values that are not finite.
bool sketch_input(const event::Input& input, std::size_t index, const policy::Model* model,
                  const track::ModelReferences* references, std::uint64_t seed, ThreadState& state,
                  track::Sketch& out) noexcept;

}  // namespace atlascore::engine
