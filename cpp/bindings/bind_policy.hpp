#pragma once

#include <memory>

#include "atlascore/log/names.hpp"
#include "atlascore/policy/policy.hpp"

namespace atlascore::bindings {

struct CompiledPolicy {
    std::shared_ptr<const policy::Policy> policy;
    log::Policy names;
};

}  // namespace atlascore::bindings
