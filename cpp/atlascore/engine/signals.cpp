// From state to signals: what the rules of a route read, and the whole catalogue for one track.
#include <algorithm>
#include <cmath>
#include <limits>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/answers.hpp"
#include "atlascore/engine/pass.hpp"
#include "atlascore/engine/principal.hpp"
#include "atlascore/track/budget.hpp"

namespace atlascore::engine {

using signal::Signal;
using signal::Source;
using track::TrackTable;

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double default_window = 300;

// One track's history over one window at a time: plans are in order of their windows, so each is summed once.
class History {
  public:
    History(const track::HotSlab& slab, double now, const track::Observation* pending) noexcept
        : slab_(slab), now_(now), pending_(pending) {}

    double value(Signal signal, double window) noexcept {
        switch (signal) {
            case Signal::sparse_probe_coordinates:
                return slab_.sparse_coordinates(pending_, now_);
            case Signal::radial_probes:
                return slab_.radial_probes(pending_);
            case Signal::anchor_trend:
                return slab_.anchor_trend();
            case Signal::timing_regularity:
                return slab_.timing_regularity(now_, window, pending_ != nullptr);
            case Signal::off_grid_ratio:
                return traits(window).off_grid_ratio;
            case Signal::manifold_rank:
                return traits(window).manifold_rank;
            default:
                break;
        }
        if (window != window_) {
            summary_ = slab_.summary(now_, window, pending_);
            window_ = window;
        }
        switch (signal) {
            case Signal::input_similarity_score:
                return summary_.similarity_score;
            case Signal::near_duplicate_ratio:
                return summary_.near_ratio;
            case Signal::exact_duplicate_ratio:
                return summary_.duplicate_ratio;
            case Signal::halving_hits:
                return summary_.halving_hits;
            case Signal::collinear_flips:
                return summary_.collinear_flips;
            case Signal::label_flip_rate:
                return summary_.label_flip_rate;
            case Signal::near_margin_share:
                return summary_.near_margin_share;
            case Signal::score_ascents:
                return slab_.climbs() ? summary_.score_ascents : missing;
            default:
                return missing;
        }
    }

  private:
    const track::TraitSummary& traits(double window) noexcept {
        if (window != traits_window_) {
            traits_ = slab_.traits(now_, window, pending_);
            traits_window_ = window;
        }
        return traits_;
    }

    const track::HotSlab& slab_;
    double now_;
    const track::Observation* pending_;
    double window_ = -1, traits_window_ = -1;
    track::WindowSummary summary_{};
    track::TraitSummary traits_{};
};

double value_of(const evidence::Reading& reading, Signal signal) noexcept {
    const auto family = [&](evidence::Family f) { return reading.family[static_cast<std::size_t>(f)]; };
    switch (signal) {
        case Signal::evidence_boundary:
            return family(evidence::Family::boundary);
        case Signal::evidence_line_search:
            return family(evidence::Family::line_search);
        case Signal::evidence_coordinate:
            return family(evidence::Family::coordinate);
        case Signal::evidence_synthetic:
            return family(evidence::Family::synthetic);
        case Signal::evidence_coverage:
            return family(evidence::Family::coverage);
        case Signal::evidence_cost:
            return family(evidence::Family::cost);
        case Signal::evidence_collusion:
            return family(evidence::Family::collusion);
        case Signal::evidence_total:
            return reading.total;
        case Signal::evidence_families:
            return reading.families;
        default:
            return missing;
    }
}

double cost_amplification(const track::HotTrack* hot, double now, double window) noexcept {
    return hot == nullptr ? missing : hot->costs.fifth(now, window);
}

double shared_inputs(const track::HotTrack* hot) noexcept {
    return hot == nullptr ? missing : hot->shared.value();
}

}  // namespace

TrackTable::Track Engine::open_shared(const Pass& pass, signal::Scope scope) noexcept {
    const std::uint64_t tag =
        scope == signal::Scope::principal ? base::mix64(pass.principal_tag, 0x7072696e) : 0x676c6f62616c;
    return tracks_.open(track::KeyTable::tag_of(tag), pass.query.now);
}

// Of an hour that has been begun: one word of the track's slab.
inline double Engine::baseline_shift(const Pass& pass, bool pending) noexcept {
    const track::BaselineNote note = tracks_.baseline_note(pass.track.hot);
    const std::uint32_t hour = track::hour_of(pass.track.newest);
    return pending && hour > note.hour ? begin_hour(pass, note, hour) : note.value();
}

// Fills decision.signals in the order of the program's list: NaN where a signal is missing.
void Engine::read_signals(Pass& pass, rule::Phase phase) noexcept {
    const Binding::Plans& plans = pass.binding.plans[static_cast<std::size_t>(phase)];
    const auto plans_of = [&](Source source) -> const std::vector<Binding::Plan>& {
        return plans.of[static_cast<std::size_t>(source)];
    };
    auto& values = pass.decision.signals;
    pass.decision.signal_count = plans.count;
    std::copy_n(plans.of_no_state.begin(), plans.count, values.begin());
    // In the request phase the query under way counts; by the response it has been counted.
    const bool request = phase == rule::Phase::request;
    const double pending = request ? static_cast<double>(pass.rows()) : 0;
    double count = 0;
    const Binding::Plan* counted = nullptr;  // what `count` is of: often several signals' window
    for (const Binding::Plan& plan : plans_of(Source::count)) {
        if (counted == nullptr || counted->scope != plan.scope || counted->horizon != plan.horizon) {
            count = plan.scope == signal::Scope::track
                        ? tracks_.count(pass.track, plan.horizon)
                        : tracks_.count(open_shared(pass, plan.scope), plan.horizon);
            counted = &plan;
        }
        values[plan.place] = count + pending;
        if (plan.signal == Signal::request_rate) values[plan.place] /= plan.window;
    }
    if (pass.history != nullptr) {
        const bool alone = pass.sketch != nullptr && request;
        History history(*pass.history, pass.keeper().newest, alone ? &pass.observation : nullptr);
        for (const Binding::Plan& plan : plans_of(Source::history))
            values[plan.place] = history.value(plan.signal, plan.window);
    }
    if (pass.shapes != nullptr) {
        const track::ShapeStep step = request ? pass.shape : track::ShapeStep{};
        for (const Binding::Plan& plan : plans_of(Source::shapes))
            values[plan.place] = shape_signal(plan.signal, *pass.shapes, step);
    }
    if (pass.has_evidence && !plans_of(Source::evidence).empty()) {
        const double now = pass.keeper().newest;
        const bool row = pass.decision.input == event::InputKind::row;
        const evidence::Reading reading =
            pass.clustered ? member_reading(pass.own_evidence, pass.evidence, now, row, pass.by_key,
                                            pass.binding.evidence_on)
                           : evidence::read(pass.evidence, now, row, pass.binding.evidence_on);
        for (const Binding::Plan& plan : plans_of(Source::evidence))
            values[plan.place] = value_of(reading, plan.signal);
    }
    for (const Binding::Plan& plan : plans_of(Source::parameters))
        values[plan.place] = logprob_harvest(pass, request);
    if (pass.binding.reads_templates || pass.binding.reads_probes) read_prompt_signals(pass, request);
    if (request) {
        for (const Binding::Plan& plan : plans_of(Source::blocks)) values[plan.place] = block_signal(pass);
    }
    for (const Binding::Plan& plan : plans_of(Source::cost))
        values[plan.place] = cost_amplification(tracks_.hot(pass.track.hot), pass.track.newest, plan.window);
    for (const Binding::Plan& plan : plans_of(Source::neighbours))
        values[plan.place] = shared_inputs(tracks_.hot(pass.track.hot));
    if (pass.decision.input == event::InputKind::row) {
        for (const Binding::Plan& plan : plans_of(Source::twins))
            values[plan.place] = twin_records(pass, request);
    }
    if (pass.binding.reads_distinct || pass.binding.reads_labels || pass.binding.reads_margins)
        read_answer_signals(pass, request);
    if (pass.binding.reads_principal_use) read_principal_signals(pass, request);
    if (pass.binding.reads_baseline) {
        const double shift = baseline_shift(pass, request);
        for (const Binding::Plan& plan : plans_of(Source::baseline)) values[plan.place] = shift;
    }
    if (pass.binding.reads_budget) {
        for (const Binding::Plan& plan : plans_of(Source::budget))
            values[plan.place] = budget_used(pass, request);
    }
}

std::optional<std::array<double, signal::signal_count>> Engine::signals(std::string_view principal,
                                                                        std::string_view model,
                                                                        double now) const {
    const std::uint64_t principal_tag = base::hash64(principal, key_seed_);
    const std::uint64_t model_tag = base::hash64(model, key_seed_ ^ 2) | 1;
    const auto track = tracks_.look(track::KeyTable::tag_of(base::mix64(principal_tag, model_tag)), now);
    if (!track) return std::nullopt;
    // The default window of a rule, or the nearest that this policy has.
    std::size_t horizon = 0;
    for (std::size_t i = 0; i < horizons_.size(); ++i) {
        const double off = std::abs(horizons_[i] - default_window);
        if (off < std::abs(horizons_[horizon] - default_window)) horizon = i;
    }
    const auto keeper = cluster_of(*track, now).value_or(*track);
    const auto rate = std::find(horizons_.begin(), horizons_.end(), 10.0) - horizons_.begin();
    std::optional<History> history;
    if (const track::HotTrack* hot = tracks_.hot(keeper.hot)) {
        history.emplace(hot->similarity, keeper.newest, nullptr);
    }
    std::array<std::uint64_t, track::evidence_words> words{}, cluster_words{};
    tracks_.evidence(*track, words);
    const bool member = keeper.tag != track->tag;
    if (member) tracks_.evidence(keeper, cluster_words);
    const auto caller = principals_.look(principal_tag);
    const auto in_force = policy();
    const policy::Model* declared = in_force->model(model);
    const bool row = declared != nullptr && declared->modality == policy::Modality::row;
    const evidence::Components on =
        evidence::every_component & ~(declared == nullptr ? 0 : declared->evidence_off(model));
    const evidence::Reading reading =
        member ? member_reading(words, cluster_words, keeper.newest, row, false, on)
               : evidence::read(words, keeper.newest, row, on);
    std::vector<std::uint16_t> families;
    for (const policy::Probe& probe : in_force->spec().probes) families.push_back(probe.family);
    std::array<double, signal::signal_count> values;
    for (const signal::SignalInfo& info : signal::catalogue()) {
        double& value = values[static_cast<std::size_t>(info.id)];
        switch (info.source) {
            case Source::count:
                value = info.id == Signal::request_rate
                            ? tracks_.count(*track, static_cast<std::size_t>(rate)) / 10
                            : tracks_.count(*track, horizon);
                break;
            case Source::history:
                value = history ? history->value(info.id, horizons_[horizon]) : missing;
                break;
            case Source::shapes: {
                const track::HotTrack* slab = tracks_.hot(keeper.hot);
                value = slab != nullptr ? shape_signal(info.id, slab->shapes, {}) : missing;
                break;
            }
            case Source::evidence:
                value = value_of(reading, info.id);
                break;
            case Source::parameters: {
                const track::HotTrack* slab = tracks_.hot(track->hot);
                const bool any = slab != nullptr && !slab->harvest.empty();
                value = any ? slab->harvest.value(track->tag, track->newest) : missing;
                break;
            }
            case Source::prompts: {
                const auto use = tracks_.prompts(track->hot);
                const auto found = !use || use->newest() == 0 ? std::nullopt : templates_.find(use->newest());
                value = use ? prompt_signal(info.id, *use, found, 0, families, track->newest) : missing;
                break;
            }
            case Source::blocks: {
                const track::ModelReferences* references = find_references(model_tag);
                const auto found =
                    references != nullptr ? references->prompts.newest(now) : track::PromptWindows::Finding{};
                value = found.of != nullptr ? found.times : missing;
                break;
            }
            case Source::cost:
                value = cost_amplification(tracks_.hot(track->hot), track->newest, horizons_[horizon]);
                break;
            case Source::twins:
                value = twin_records_of(tracks_.twins(track->hot), declared, track->newest);
                break;
            case Source::budget:
                value = declared == nullptr || declared->extraction_budget == 0
                            ? missing
                            : budget_spent(*track, keeper) / declared->extraction_budget;
                break;
            case Source::neighbours:
                value = shared_inputs(tracks_.hot(track->hot));
                break;
            case Source::inputs:
            case Source::answers: {
                const track::HotTrack* slab = tracks_.hot(track->hot);
                value = slab == nullptr ? missing
                                        : answer_signal(info.id, *slab, find_references(model_tag), *track);
                break;
            }
            case Source::principal:
                value = caller ? principal_signal(info.id, caller->use->reading(now), now, on) : missing;
                break;
            case Source::baseline:
                value = tracks_.baseline_note(track->hot).value();
                break;
            case Source::count_:
                break;
        }
    }
    return values;
}

}  // namespace atlascore::engine
