#pragma once

#include <atomic>
#include <memory>

#include "atlascore/engine/engine.hpp"

namespace atlascore::bindings {

struct EngineHolder {
    std::unique_ptr<engine::Engine> engine;
    std::unique_ptr<std::atomic<bool>> closed = std::make_unique<std::atomic<bool>>(false);
};

}  // namespace atlascore::bindings
