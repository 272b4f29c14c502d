// Inputs near other principals'.
//
// The observation: of an input that nobody has sent before, whether one of another principal is nearer to it
// than one in a hundred ordinary inputs has a stranger's at all. What evidence::Component::shared_input makes
// of it is the test by which tracks are linked (clusters.cpp): at 1,000 to 1 that the caller's inputs are
// near others' more often than strangers' are, it belongs with the principal whose input this one is near.
//
// Only numbers are linked: small steps between texts, or between records with categories, mean nothing.
#include <cmath>

#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using evidence::Component;

namespace {

// ln R from which tracks are linked.
const float linking = std::log(1000.0f);

}  // namespace

// Enters a committed input.
void Engine::visit_neighbours(Pass& pass, const track::Sketch& sketch,
                              const track::Observation& seen) noexcept {
    if (seen.duplicate || !sketch.comparable()) return;
    const bool text = sketch.kind == track::SketchKind::text;
    const float reach = text ? 0 : pass.binding.references->reach(sketch);
    if (!text && reach <= 0) return;
    const std::uint64_t own = pass.track.tag;
    const track::NearIndex::Place place = near_index_.place(sketch, reach, pass.binding.model_tag);
    const track::NearIndex::Match match = near_index_.find(place, own);
    near_index_.add(place, own, match);
    if (!pass.track.hot) tracks_.warm(pass.track, pass.query.now, true);
    track::HotTrack* const hot = tracks_.hot(pass.track.hot);
    if (hot == nullptr) return;
    hot->shared.add(match.owner != 0);
    if (match.identical || !pass.decision.continuous) return;
    evidence::Observations shared;
    shared.add(Component::shared_input, match.owner != 0);
    add_evidence(pass.binding, pass.principal_tag, pass.track, *hot, shared, pass.track.newest);
    if (match.owner == 0 || !evidence::contains(pass.binding.evidence_on, Component::shared_input)) return;
    const std::uint64_t word =
        track::shared_load(hot->evidence[static_cast<std::size_t>(Component::shared_input)]);
    if (evidence::log_r(word, pass.track.newest) >= linking) link(pass, match.owner);
}

}  // namespace atlascore::engine
