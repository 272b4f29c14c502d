#include "atlascore/signal/catalogue.hpp"

#include <array>

namespace atlascore::signal {
namespace {

constexpr std::uint8_t scope_bit(Scope scope) {
    return static_cast<std::uint8_t>(1u << static_cast<unsigned>(scope));
}
constexpr std::uint8_t track_only = scope_bit(Scope::track);
constexpr std::uint8_t principal_only = scope_bit(Scope::principal);
constexpr std::uint8_t counted = track_only | scope_bit(Scope::principal) | scope_bit(Scope::global);

constexpr std::string_view parameters[] = {"logprobs", "top_logprobs", "logit_bias_ids"};
constexpr std::string_view keys[] = {"cluster_keys"};

constexpr std::array<SignalInfo, signal_count> table{{
    {Signal::request_count, "api.request_count", "queries", true, Source::count, counted, 0, false,
     "queries in the window, this one included; a batch of N rows counts N"},
    {Signal::request_rate, "api.request_rate", "queries/s", false, Source::count, counted, 0, false,
     "queries per second over the trailing 10 s"},
    {Signal::input_similarity_score, "api.input_similarity_score", "ratio", true, Source::history, track_only,
     8, false,
     "mean survival probability of the nearest-neighbour distances in the window: about 0.5 for ordinary "
     "traffic, near 1 when inputs are variations of each other"},
    {Signal::near_duplicate_ratio, "api.near_duplicate_ratio", "ratio", true, Source::history, track_only, 8,
     false,
     "share of the window's non-duplicate queries that are nearer to an earlier one than 99 % of other "
     "principals' inputs are"},
    {Signal::exact_duplicate_ratio, "api.exact_duplicate_ratio", "ratio", true, Source::history, track_only,
     8, false, "share of the window's queries whose input was sent before, byte for byte"},
    {Signal::timing_regularity, "api.timing_regularity", "ratio", true, Source::history, track_only, 32,
     false,
     "1 less the coefficient of variation of the times between the window's queries, at least 0: 1 for a "
     "clock, about 0 for people"},
    {Signal::halving_hits, "api.halving_hits", "queries", true, Source::history, track_only, 0, false,
     "queries in the window that lie halfway between two inputs with different labels, or halve the step "
     "before them"},
    {Signal::collinear_flips, "api.collinear_flips", "queries", true, Source::history, track_only, 0, true,
     "queries in the window that lie on the line between two inputs with different labels"},
    {Signal::sparse_probe_coordinates, "api.sparse_probe_coordinates", "coordinates", false, Source::history,
     track_only, 8, false,
     "distinct coordinates that near pairs differing in few coordinates have changed within 24 h"},
    {Signal::anchor_trend, "api.anchor_trend", "tau", false, Source::history, track_only, 24, true,
     "Kendall's tau of time against distance to the track's first input, over near inputs with another label "
     "than that one's: near -1 when they close in on it"},
    {Signal::label_flip_rate, "api.label_flip_rate", "ratio", true, Source::history, track_only, 8, true,
     "share of the window's near pairs with known labels whose labels differ"},
    {Signal::near_margin_share, "api.near_margin_share", "ratio", true, Source::history, track_only, 16, true,
     "share of the window's near pairs with a margin between the two best scores below 0.2"},
    {Signal::score_ascents, "api.score_ascents", "queries", true, Source::history, track_only, 8, true,
     "steps of a climb in the window: near inputs that showed that an improvement of a score was gone on "
     "from, and an input that was none was not; the larger of descents and ascents"},
    {Signal::radial_probes, "api.radial_probes", "queries", false, Source::history, track_only, 0, false,
     "of the last 30 near inputs that differ in many coordinates, those that depart from an input that six "
     "or "
     "more, and half of all since, have departed from"},
    {Signal::delta_concentration, "api.delta_concentration", "ratio", false, Source::shapes, track_only, 64,
     false,
     "of the last few hundred steps between vectors or images of 256 values or more, the share in the two "
     "fullest of 40 bins by the cosine with the step before"},
    {Signal::group_regularity, "api.group_regularity", "ratio", false, Source::shapes, track_only, 10, false,
     "how equal in length the last 16 runs are of inputs within the model's median distance of the run's "
     "first: 1 less the coefficient of variation, at least 0; missing for runs of fewer than 3 inputs"},
    {Signal::off_grid_ratio, "api.off_grid_ratio", "ratio", true, Source::history, track_only, 8, false,
     "mean share of values off the declared grid (grid or decimals of the policy's input), over the window's "
     "queries that were not sent before"},
    {Signal::manifold_rank, "api.manifold_rank", "ratio", true, Source::history, track_only, 30, false,
     "mean rank of the window's inputs among the model's ordinary ones by distance from their centre: about "
     "0.5 for ordinary traffic, 1 for inputs that lie outside the data"},
    {Signal::coverage, "api.coverage", "ratio", false, Source::shapes, track_only, 64, false,
     "share of 4,096 cells of the input space, cut by twelve random planes through the middle of the model's "
     "ordinary inputs, that the track's inputs have been in (an estimate)"},
    {Signal::logprob_harvest, "api.logprob_harvest", "calls", false, Source::parameters, track_only, 1, false,
     "calls of the last 16 to 24 h on one prompt that ask for log-probabilities or bias tokens, each with "
     "other tokens than the one before; or a twentieth of the distinct tokens biased within 24 h, if that is "
     "more",
     parameters},
    {Signal::template_principals, "api.template_principals", "principals", false, Source::prompts, track_only,
     1, false,
     "principals that had been known for less than 7 days and sent the newest prompt's template within 24 h; "
     "missing for templates that the policy allows"},
    {Signal::template_share, "api.template_share", "ratio", false, Source::prompts, track_only, 20, false,
     "share of the prompts of the last 24 to 48 h, those sent before aside, that were made from the most "
     "frequent template"},
    {Signal::known_probes, "api.known_probes", "probes", false, Source::prompts, track_only, 0, false,
     "distinct prompts of one family of the dictionary of known probes that were sent within 24 h"},
    {Signal::window_mmd, "api.window_mmd", "times", false, Source::blocks, track_only, 100, false,
     "how far the newest block of 100 prompts of as many principals, or of 15 such blocks, within 24 h, lies "
     "from what "
     "the model usually gets (squared maximum mean discrepancy), over what 99.9 % of blocks keep to; from 1 "
     "on that "
     "holds for prompts of the kind that there are too many of, and is 0 for others"},
    {Signal::cost_amplification, "api.cost_amplification", "times", true, Source::cost, track_only, 5, true,
     "fifth largest in the window of: what a request has cost over the model's median for inputs of its "
     "size"},
    {Signal::twin_records, "api.twin_records", "records", false, Source::twins, track_only, 3, false,
     "rows of the last 16 to 24 h of which a twin was sent within 12 h that differs in one column alone: "
     "those "
     "of the column with most, less what twins in other columns speak against it"},
    {Signal::extraction_budget_used, "api.extraction_budget_used", "ratio", false, Source::budget, track_only,
     0, false,
     "queries with inputs that were not sent before, half forgotten in 30 d, over the extraction_budget that "
     "the policy declares for the model",
     keys},
    {Signal::shared_inputs, "api.shared_inputs", "ratio", false, Source::neighbours, track_only, 16, false,
     "share of the last 64 inputs, those sent before aside, that another principal has sent as well or "
     "nearly "
     "so; what more than 20 have sent counts as not shared"},
    {Signal::distinct_inputs, "api.distinct_inputs", "inputs", false, Source::inputs, track_only, 1, false,
     "different inputs within 24 to 48 h, an estimate; of a batch the first and last 128 rows"},
    {Signal::label_discovery, "api.label_discovery", "times", false, Source::answers, track_only, 16, true,
     "different labels among the answers over what 99 % of the model's principals have seen after as many"},
    {Signal::confidence_shift, "api.confidence_shift", "log10", false, Source::answers, track_only, 200, true,
     "how improbable it is, if the model was as sure of this caller's inputs as it usually is, that the "
     "margins "
     "between the two best scores differ as they do: 6 stands for one in a million"},
    {Signal::baseline_shift, "api.baseline_shift", "sd", false, Source::baseline, track_only, 500, false,
     "how far the hours of late lie above what the track's own were in 30 d, summed up (CUSUM, at most 16): "
     "the "
     "largest of four, for the similarity of inputs, the share of low margins, the rank among ordinary "
     "inputs and "
     "the cost; missing below 7 d, 500 queries and 24 hours of use"},
    {Signal::distinct_models, "api.distinct_models", "models", false, Source::principal, principal_only, 1,
     false, "models that the principal has asked within one to two hours, an estimate"},
    {Signal::distinct_endpoints, "api.distinct_endpoints", "endpoints", false, Source::principal,
     principal_only, 1, false, "endpoints that the principal has asked within one to two hours, an estimate"},
    {Signal::error_ratio, "api.error_ratio", "ratio", false, Source::principal, principal_only, 20, true,
     "share of the principal's requests of one to two hours that were answered with an error of the caller: "
     "400, 401, 403, 404, 405, 413, 415 or 422"},
    {Signal::evidence_boundary, "evidence.boundary", "log10", false, Source::evidence, track_only, 0, true,
     "evidence that near inputs are sent to see where labels change; 3 stands for 1,000 to 1", keys},
    {Signal::evidence_line_search, "evidence.line_search", "log10", false, Source::evidence, track_only, 0,
     false, "evidence of a search along lines between inputs with different labels", keys},
    {Signal::evidence_coordinate, "evidence.coordinate", "log10", false, Source::evidence, track_only, 0,
     false,
     "evidence that coordinates, or directions from one input, are tried one after the other, or a score is "
     "climbed",
     keys},
    {Signal::evidence_synthetic, "evidence.synthetic", "log10", false, Source::evidence, track_only, 0, false,
     "evidence that inputs are made up: outside the data, or off the grid of values; honest clients of "
     "another "
     "domain reach it too, so it enters nothing else"},
    {Signal::evidence_coverage, "evidence.coverage", "log10", false, Source::evidence, track_only, 0, false,
     "evidence that a track goes through more of the input space than 99 % of principals have after as many "
     "inputs; no part of evidence.total"},
    {Signal::evidence_cost, "evidence.cost", "log10", false, Source::evidence, track_only, 0, true,
     "evidence of requests that cost more than 99.9 % of the model's do; no part of evidence.total"},
    {Signal::evidence_collusion, "evidence.collusion", "log10", false, Source::evidence, track_only, 0, false,
     "evidence of inputs near other principals' and of templates that new principals share; no part of "
     "evidence.total"},
    {Signal::evidence_recon, "evidence.recon", "log10", false, Source::principal, principal_only, 0, false,
     "evidence that the principal looks around: errors and ever new models and endpoints, known probes, ever "
     "new biased tokens on one prompt; no part of evidence.total",
     parameters},
    {Signal::evidence_total, "evidence.total", "log10", false, Source::evidence, track_only, 0, false,
     "evidence of the strict families (boundary, line search, coordinate) together", keys},
    {Signal::evidence_families, "evidence.families", "families", false, Source::evidence, track_only, 0,
     false,
     "strict families with evidence of 3 or more; a line search of 9 or more counts twice, but for rows",
     keys},
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
