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
    timing_regularity,
    halving_hits,
    collinear_flips,
    sparse_probe_coordinates,
    anchor_trend,
    label_flip_rate,
    near_margin_share,
    score_ascents,
    radial_probes,
    delta_concentration,
    group_regularity,
    off_grid_ratio,
    manifold_rank,
    coverage,
    logprob_harvest,
    template_principals,
    template_share,
    known_probes,
    window_mmd,
    cost_amplification,
    twin_records,
    extraction_budget_used,
    shared_inputs,
    distinct_inputs,
    label_discovery,
    confidence_shift,
    baseline_shift,
    distinct_models,
    distinct_endpoints,
    error_ratio,
    evidence_boundary,
    evidence_line_search,
    evidence_coordinate,
    evidence_synthetic,
    evidence_coverage,
    evidence_cost,
    evidence_collusion,
    evidence_recon,
    evidence_total,
    evidence_families,
    count_,  // the number of signals
};
inline constexpr std::size_t signal_count = static_cast<std::size_t>(Signal::count_);

// The state a signal is read from: one (principal, model), one principal over all models, or everything.
enum class Scope : std::uint8_t { track, principal, global };

// Where a signal comes from: the counters of windows, the history of inputs and answers (missing for a query
// without a comparable input), the shapes that the inputs make one after the other, the evidence of a track,
// the parameters of its calls, the wording of its prompts, blocks of all prompts to a model, what its
// requests have cost, its rows that differ in one column, what it has taken of the model's budget, inputs
// near other principals' ones, where its principal goes, the number of its inputs, what it was answered, or
// what it was like before.
enum class Source : std::uint8_t {
    count,
    history,
    shapes,
    evidence,
    parameters,
    prompts,
    blocks,
    cost,
    twins,
    budget,
    neighbours,
    principal,
    inputs,
    answers,
    baseline,
    count_
};
inline constexpr std::size_t source_count = static_cast<std::size_t>(Source::count_);

struct SignalInfo {
    Signal id;
    std::string_view name;
    std::string_view unit;  // "queries", "queries/s", "ratio", "log10"
    bool windowed;          // depends on the rule's timeframe
    Source source;
    std::uint8_t scopes;    // bit per Scope
    std::uint16_t minimum;  // observations below which the signal is missing
    bool needs_answers;     // missing unless record() tells labels, scores or costs
    std::string_view description;
    std::span<const std::string_view> fields = {};  // event fields that it is computed from
};

std::span<const SignalInfo> catalogue() noexcept;
const SignalInfo& info(Signal signal) noexcept;
std::optional<Signal> find(std::string_view name) noexcept;

}  // namespace atlascore::signal
