// How much of a model a track has taken, over what a clone of it takes by the policy's estimate.
#include "atlascore/track/budget.hpp"

#include <algorithm>
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using track::TrackTable;

namespace {

// Share from which a track keeps its state when others want it: else a flood of keys would give the budget
// back.
constexpr double telling_share = 0.1;

// What was sent before tells nobody anything new. A query without an input that can be known again counts.
double fresh_rows(std::uint64_t rows, std::uint32_t duplicates) noexcept {
    return static_cast<double>(rows - duplicates);
}

}  // namespace

// What a track has taken, or its cluster since there is one, if that is more.
double Engine::budget_spent(const TrackTable::Track& track, const TrackTable::Track& keeper) noexcept {
    const double own = track::budget_spent(track.words[TrackTable::budget_word], track.newest);
    if (keeper.tag == track.tag) return own;
    return std::max(own, track::budget_spent(keeper.words[TrackTable::budget_word], keeper.newest));
}

// `pending`: the query under way counts.
double Engine::budget_used(const Pass& pass, bool pending) const noexcept {
    const double spent = budget_spent(pass.track, pass.keeper());
    const double more = pending ? fresh_rows(pass.rows(), pass.duplicates) : 0;
    return (spent + more) / pass.binding.route.model->extraction_budget;
}

void Engine::spend_budget(const TrackTable::Track& track, double rows) noexcept {
    if (!tracks_.holds(track)) return;
    if (!track::spend_budget(track.words[TrackTable::budget_word], track.newest, rows))
        region_.add(base::Counter::evidence_dropped);
}

void Engine::commit_budget(Pass& pass) noexcept {
    const double rows = fresh_rows(pass.rows(), pass.duplicates);
    if (rows == 0) return;
    spend_budget(pass.track, rows);
    if (pass.clustered) spend_budget(pass.cluster, rows);
    if (tracks_.keys().kept(pass.track.slot.index) >= track::Keep::suspect) return;
    if (budget_used(pass, false) >= telling_share) tracks_.keep(pass.track, track::Keep::suspect);
}

}  // namespace atlascore::engine
