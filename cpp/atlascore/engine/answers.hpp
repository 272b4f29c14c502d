// How many inputs a track has sent, and what it was answered: the signals that are read from its slab.
#pragma once

#include "atlascore/signal/catalogue.hpp"
#include "atlascore/track/references.hpp"
#include "atlascore/track/track_table.hpp"

namespace atlascore::engine {

// NaN where it is missing. `references`: of the model; null when there is no room for them.
double answer_signal(signal::Signal signal, const track::HotTrack& slab,
                     const track::ModelReferences* references,
                     const track::TrackTable::Track& track) noexcept;

}  // namespace atlascore::engine
