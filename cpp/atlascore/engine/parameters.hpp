// The parameters of a call to a language model that read its output layer: log-probabilities and biased
// tokens.
//
//   logprobs        true, or a number above 0
//   top_logprobs    a number above 0
//   logit_bias_ids  ids of the biased tokens: an array of numbers or texts, or one; digits are a number
//
// Values of other types are left out, and so are ids that are negative or no whole numbers.
#pragma once

#include <cstdint>

#include "atlascore/event/event.hpp"
#include "atlascore/track/logprob_harvest.hpp"

namespace atlascore::engine {

struct Binding;

struct Parameters {
    bool asked = false;                    // for log-probabilities, or with biased tokens
    std::uint64_t tokens = 0;              // hash of the set of biased ones, 0 for none
    const event::Value* biased = nullptr;  // as given
};

// For a binding that reads parameters: its program has slots for the three fields.
Parameters read_parameters(const Binding& binding, const event::Value* fields, std::uint64_t seed) noexcept;

// The call becomes part of the track's. Each prompt of a batch is a call; a call whose prompt is not known
// adds its tokens alone.
void add_parameters(const Parameters& parameters, const event::Input& input, std::uint64_t seed,
                    std::uint64_t owner, double now, track::LogprobHarvest& harvest) noexcept;

}  // namespace atlascore::engine
