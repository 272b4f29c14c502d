#include "atlascore/engine/principal.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using evidence::Component;
using signal::Signal;
using track::PrincipalUse;

namespace {

// Who keeps to so many models and endpoints within the hour does not look around: what is refused there is a
// broken client's, and what is new is how every client begins.
constexpr unsigned free_places = 8;
// So many calls on one prompt, each with other biased tokens, are nothing yet.
constexpr double free_bias_sets = 16;

constexpr auto first_component = static_cast<std::size_t>(Component::error);
static_assert(static_cast<std::size_t>(Component::bias_set) - first_component + 1 ==
              PrincipalUse::evidence_words);

// Status codes of errors that the caller made.
bool is_callers_error(int status) noexcept {
    switch (status) {
        case 400:
        case 401:
        case 403:
        case 404:
        case 405:
        case 413:
        case 415:
        case 422:
            return true;
        default:
            return false;
    }
}

template <class Update>
void each_observation(const evidence::Observations& seen, const Update& update) noexcept {
    for (std::size_t i = 0; i < PrincipalUse::evidence_words; ++i) {
        const std::size_t component = first_component + i;
        if (seen.made >> component & 1)
            update(i, static_cast<Component>(component), seen.hits >> component & 1);
    }
}

double recon(const PrincipalUse::Reading& use, double now, evidence::Components on) noexcept {
    if (std::ranges::all_of(use.evidence, [](std::uint64_t word) { return word == 0; })) return 0;
    std::uint64_t words[evidence::component_room] = {};
    std::ranges::copy(use.evidence, words + first_component);
    return evidence::read(words, now, false, on).family[static_cast<std::size_t>(evidence::Family::recon)];
}

// When the table of principals is full, one newcomer in four is taken in at each of its requests.
bool takes_in(std::uint64_t principal, double now) noexcept {
    return base::mix64(principal, std::bit_cast<std::uint64_t>(now)) % 4 == 0;
}

// Of a principal that PrincipalUse::quiet() is true of; `enough`: requests for a ratio.
double quiet_signal(Signal signal, bool enough) noexcept {
    switch (signal) {
        case Signal::distinct_models:
            return PrincipalUse::one_model;
        case Signal::distinct_endpoints:
            return PrincipalUse::one_endpoint;
        case Signal::evidence_recon:
            return 0;
        default:
            return enough ? 0 : std::numeric_limits<double>::quiet_NaN();
    }
}

}  // namespace

double principal_signal(Signal signal, const PrincipalUse::Reading& use, double now,
                        evidence::Components on) noexcept {
    switch (signal) {
        case Signal::distinct_models:
            return use.distinct_models();
        case Signal::distinct_endpoints:
            return use.distinct_endpoints();
        case Signal::error_ratio:
            return use.error_ratio();
        case Signal::evidence_recon:
            return recon(use, now, on);
        default:
            return std::numeric_limits<double>::quiet_NaN();
    }
}

// Of a call that biases tokens, by a track that has varied them often on one prompt: whether it does once
// more.
std::optional<bool> Engine::varies_bias(const Pass& pass) const noexcept {
    if (pass.parameters.tokens == 0) return std::nullopt;
    const track::HotTrack* slab = tracks_.hot(pass.track.hot);
    if (slab == nullptr || slab->harvest.varied_calls(pass.track.newest) < free_bias_sets)
        return std::nullopt;
    track::LogprobHarvest tried = slab->harvest.copy();
    const double before = tried.varied_calls(pass.track.newest);
    add_parameters(pass.parameters, pass.query.input, sketch_seed_, pass.track.tag, pass.query.now, tried);
    const double after = tried.varied_calls(pass.track.newest);
    return after > free_bias_sets ? std::optional(after > before) : std::nullopt;
}

// `pending`: the query under way counts.
void Engine::read_principal_signals(Pass& pass, bool pending) noexcept {
    const Binding& binding = pass.binding;
    const double now = pass.query.now;
    if (pending) {
        track::HotTrack* const slab = tracks_.hot(pass.track.hot);
        const bool evict = takes_in(pass.principal_tag, now);
        pass.principal = slab != nullptr ? principals_.open(pass.principal_tag, evict, slab->principal)
                                         : principals_.open(pass.principal_tag, evict);
    } else {
        pass.principal = principals_.look(pass.principal_tag).value_or(track::PrincipalTable::Record{});
    }
    static const PrincipalUse nothing_known{};
    const PrincipalUse& known = pass.principal.use != nullptr ? *pass.principal.use : nothing_known;
    const auto phase = pending ? rule::Phase::request : rule::Phase::response;
    const auto& plans = binding.plans[static_cast<std::size_t>(phase)]
                            .of[static_cast<std::size_t>(signal::Source::principal)];
    if (pending && !pass.recon && pass.parameters.tokens == 0) {
        if (const auto requests = known.quiet(binding.place, now)) {
            const bool enough = *requests + pass.rows() >= PrincipalUse::fewest_requests;
            for (const Binding::Plan& plan : plans)
                pass.decision.signals[plan.place] = quiet_signal(plan.signal, enough);
            return;
        }
    }
    PrincipalUse::Reading use = known.reading(now);
    if (pending) {
        const bool is_new = use.add_request(binding.place, pass.rows());
        if (binding.reads_recon) {
            if (use.places() > free_places) pass.recon.add(Component::new_place, is_new);
            if (const auto varies = varies_bias(pass)) pass.recon.add(Component::bias_set, *varies);
            each_observation(pass.recon.of(binding.evidence_on),
                             [&](std::size_t i, Component component, bool hit) {
                                 evidence::update_word(use.evidence[i], component, hit, now);
                             });
        }
    }
    for (const Binding::Plan& plan : plans)
        pass.decision.signals[plan.place] = principal_signal(plan.signal, use, now, binding.evidence_on);
}

void Engine::commit_principal(Pass& pass) noexcept {
    if (pass.principal.use == nullptr) return;
    PrincipalUse& use = *pass.principal.use;
    use.add_request(pass.binding.place, pass.query.now, pass.rows());
    const bool looks_around = evidence::contains(pass.recon.made, Component::new_place);
    pass.decision.status_due = looks_around ? 2 : 1;
    const evidence::Observations counted = counted_of(pass.binding, pass.principal_tag, pass.recon);
    if (counted) principals_.keep(pass.principal);
    each_observation(counted, [&](std::size_t i, Component component, bool hit) {
        if (!evidence::update_word(use.evidence[i], component, hit, pass.query.now))
            region_.add(base::Counter::evidence_dropped);
    });
}

// The answer of a call, whatever it carried.
void Engine::tell_principal(const Binding& binding, const Decision& decision, const Answer& answer) noexcept {
    const std::uint8_t due = std::atomic_ref(decision.status_due).exchange(0, std::memory_order_relaxed);
    const bool error = is_callers_error(answer.status);
    if (due == 0 || (due == 1 && !error)) return;
    const auto record = principals_.look(decision.principal_tag);
    if (!record) return;
    PrincipalUse& use = *record->use;
    if (error) use.add_error(decision.now, decision.rows);
    if (due != 2 || !binding.reads_recon) return;
    evidence::Observations seen;
    seen.add(Component::error, error);
    if (!counted_of(binding, decision.principal_tag, seen)) return;
    const auto word = static_cast<std::size_t>(Component::error) - first_component;
    if (!evidence::update_word(use.evidence[word], Component::error, error, answer.now))
        region_.add(base::Counter::evidence_dropped);
}

}  // namespace atlascore::engine
