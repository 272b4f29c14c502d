// What a request has cost: to its track, as evidence and among the largest amplifications, and to what the
// model knows of ordinary costs. Needs no input, and finds out nothing unless a rule reads it.
//
// Evidence is about single requests. The other half of the specified observation, more requests in a minute
// than principals usually send, is not made: api.request_rate and limits are for volume.
#include <atomic>

#include "atlascore/engine/engine.hpp"

namespace atlascore::engine {
namespace {

// Of evidence, from which a track does not teach the model what is ordinary.
constexpr double suspicion = 1.0;

// 0: not known. What a cache or a free model answers is recorded as 0 and says nothing about what requests
// cost; of a failed request only what was recorded counts, for what was declared has not been spent.
double cost_of(const Decision& decision, const Answer& answer) noexcept {
    if (answer.cost >= 0) return answer.cost;
    return answer.status < 400 ? decision.cost : 0;
}

}  // namespace

void Engine::tell_cost(const Binding& binding, const Decision& decision, track::TrackTable::Track& track,
                       const Answer& answer) noexcept {
    const double cost = cost_of(decision, answer);
    if (!(cost > 0) || binding.references == nullptr) return;
    if (std::atomic_ref(decision.cost_due).exchange(0, std::memory_order_relaxed) == 0) return;
    if (binding.reads_baseline) tell_baseline(track, cost);
    track::CostReferences& references = binding.references->costs;
    const std::uint64_t principal = decision.track_tag | 1;
    // Suspicion as it was before this request: else what is rare would never become known as not so rare.
    bool teaches = answer.status < 400 && decision.would < Action::constrain &&
                   references.takes_part(cost, principal, track.newest);
    if (teaches) {
        std::array<std::uint64_t, track::evidence_words> words{};
        tracks_.evidence(track, words);
        const evidence::Reading reading = evidence::read(words, track.newest, false, binding.evidence_on);
        teaches = reading.total < suspicion &&
                  reading.family[static_cast<std::size_t>(evidence::Family::cost)] < suspicion;
    }
    const track::UsualCost usual = references.read(decision.cost_size);
    if (usual.median > 0) {
        if (!track.hot) tracks_.warm(track, track.newest, true);
        if (track::HotTrack* hot = tracks_.hot(track.hot)) {
            evidence::Observations seen;
            if (binding.reads_evidence) seen.add(evidence::Component::cost, cost > usual.rare);
            add_evidence(binding, decision.principal_tag, track, *hot, seen, track.newest);
            const bool kept = binding.cost_window == 0 || hot->costs.add(cost / usual.median, decision.now,
                                                                         track.newest, binding.cost_window);
            if (!kept) region_.add(base::Counter::evidence_dropped);
        }
    }
    if (teaches) references.update(decision.cost_size, cost, principal, track.newest);
}

}  // namespace atlascore::engine
