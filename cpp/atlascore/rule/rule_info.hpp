// What is known about one rule besides its condition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "atlascore/signal/catalogue.hpp"

namespace atlascore::rule {

enum class Level : std::uint8_t { informational, low, medium, high, critical };

// When a rule is evaluated: before the model runs, or on its answer (sigma.md V14).
enum class Phase : std::uint8_t { request, response };
inline constexpr std::size_t phase_count = 2;

struct RuleInfo {
    std::string id;                    // UUID
    std::vector<std::string> aliases;  // other names it may be called by: the written id, `name`
    std::string title;
    Level level = Level::informational;
    std::vector<std::string> tags;        // as written
    std::vector<std::string> techniques;  // canonical ATLAS ids: AML.T0024.002
    std::uint32_t window = 300;           // seconds
    signal::Scope scope = signal::Scope::track;
    Phase phase = Phase::request;
    std::string file;
    std::uint32_t line = 0;
};

}  // namespace atlascore::rule
