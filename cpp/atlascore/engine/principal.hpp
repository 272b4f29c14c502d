// Where principals go, over all models: the signals that are read from their records.
#pragma once

#include <cstdint>

#include "atlascore/evidence/process.hpp"
#include "atlascore/signal/catalogue.hpp"
#include "atlascore/track/principal_use.hpp"

namespace atlascore::engine {

double principal_signal(signal::Signal signal, const track::PrincipalUse::Reading& use, double now,
                        evidence::Components on) noexcept;

}  // namespace atlascore::engine
