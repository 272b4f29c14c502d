// The signals: their names, units and where they are read from. Rules may use these names and no others under
// `api.` and `evidence.`; the list is the single source for lints, documentation and the compiler.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace atlascore::signal {

enum class Signal : std::uint8_t {
    request_count,
    request_rate,
    input_similarity_score,
    near_duplicate_ratio,
    exact_duplicate_ratio,
    count_,  // the number of signals
};
inline constexpr std::size_t signal_count = static_cast<std::size_t>(Signal::count_);

// The state a signal is read from: one (principal, model), one principal over all models, or everything.
enum class Scope : std::uint8_t { track, principal, global };

struct SignalInfo {
    Signal id;
    std::string_view name;
    std::string_view unit;  // "queries", "queries/s", "ratio"
    bool windowed;          // depends on the rule's timeframe
    bool needs_input;       // missing for a query without a comparable input
    std::uint8_t scopes;    // bit per Scope
    std::uint16_t minimum;  // observations below which the signal is missing
    std::string_view description;
};

std::span<const SignalInfo> catalogue() noexcept;
const SignalInfo& info(Signal signal) noexcept;
std::optional<Signal> find(std::string_view name) noexcept;

}  // namespace atlascore::signal
