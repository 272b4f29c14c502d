#pragma once

#include <memory>

#include "atlascore/engine/engine.hpp"

namespace atlascore::bindings {

struct EngineHolder {
    std::unique_ptr<engine::Engine> engine;
};

}  // namespace atlascore::bindings
