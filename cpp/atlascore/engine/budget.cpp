// How much of a model a track has taken, over what a clone of it takes by the policy's estimate.
#include "atlascore/track/budget.hpp"
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

// `pending`: the query under way counts.
double Engine::budget_used(const Pass& pass, bool pending) const noexcept {
    const double spent = track::budget_spent(pass.track.words[TrackTable::budget_word], pass.track.newest);
    const double more = pending ? fresh_rows(pass.rows(), pass.duplicates) : 0;
    return (spent + more) / pass.binding.route.model->extraction_budget;
}

void Engine::commit_budget(Pass& pass) noexcept {
    const double rows = fresh_rows(pass.rows(), pass.duplicates);
    if (rows == 0 || !tracks_.holds(pass.track)) return;
    if (!track::spend_budget(pass.track.words[TrackTable::budget_word], pass.track.newest, rows))
        region_.add(base::Counter::evidence_dropped);
    if (tracks_.keys().kept(pass.track.slot.index) >= track::Keep::suspect) return;
    if (budget_used(pass, false) >= telling_share) tracks_.keep(pass.track, track::Keep::suspect);
}

}  // namespace atlascore::engine
