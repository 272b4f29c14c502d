#include "atlascore/signal/catalogue.hpp"

#include <array>

namespace atlascore::signal {
namespace {

constexpr std::uint8_t scope_bit(Scope scope) {
    return static_cast<std::uint8_t>(1u << static_cast<unsigned>(scope));
}
constexpr std::uint8_t track_only = scope_bit(Scope::track);
constexpr std::uint8_t counted = track_only | scope_bit(Scope::principal) | scope_bit(Scope::global);

constexpr std::array<SignalInfo, signal_count> table{{
    {Signal::request_count, "api.request_count", "queries", true, false, counted, 0,
     "queries in the window, this one included; a batch of N rows counts N"},
    {Signal::request_rate, "api.request_rate", "queries/s", false, false, counted, 0,
     "queries per second over the trailing 10 s"},
    {Signal::input_similarity_score, "api.input_similarity_score", "ratio", true, true, track_only, 8,
     "mean survival probability of the nearest-neighbour distances in the window: about 0.5 for ordinary "
     "traffic, near 1 when inputs are variations of each other"},
    {Signal::near_duplicate_ratio, "api.near_duplicate_ratio", "ratio", true, true, track_only, 8,
     "share of the window's non-duplicate queries that are nearer to an earlier one than 99 % of other "
     "principals' inputs are"},
    {Signal::exact_duplicate_ratio, "api.exact_duplicate_ratio", "ratio", true, true, track_only, 8,
     "share of the window's queries whose input was sent before, byte for byte"},
}};

}  // namespace

std::span<const SignalInfo> catalogue() noexcept {
    return table;
}

const SignalInfo& info(Signal signal) noexcept {
    return table[static_cast<std::size_t>(signal)];
}

std::optional<Signal> find(std::string_view name) noexcept {
    for (const SignalInfo& entry : table) {
        if (entry.name == name) return entry.id;
    }
    return std::nullopt;
}

}  // namespace atlascore::signal
