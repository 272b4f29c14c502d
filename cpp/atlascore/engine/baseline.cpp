// A track against its own past. A member of a cluster has its inputs in the cluster's history, so of it only
// what its requests cost is compared.
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

// The first query of an hour: one thread closes the block that ends here. A track gets a baseline in the
// second hour that its slab sees; one that it had before it lost its slab is found at once.
double Engine::begin_hour(const Pass& pass, track::BaselineNote before, std::uint32_t hour) noexcept {
    const track::HotTrack* const hot = tracks_.hot(pass.track.hot);
    track::BaselineNote note = before;
    note.hour = hour;
    if (hot == nullptr || !tracks_.set_baseline_note(pass.track.hot, before, note)) return before.value();
    const track::BaselineNote claimed = note;
    const std::uint64_t tag = pass.track.tag;
    if (!baselines_.holds(note.entry, tag)) {
        const bool again = before.hour != 0, known = !pass.track.slot.created;
        note.entry = again ? baselines_.open(tag, hour) : known ? baselines_.find(tag) : 0;
        note.signal = track::Baseline::missing;
    }
    if (note.entry != 0)
        note.signal = baselines_.close(note.entry, tag, hour, hot->similarity).value_or(note.signal);
    if (note.word() != claimed.word()) tracks_.set_baseline_note(pass.track.hot, claimed, note);
    return note.value();
}

void Engine::tell_baseline(const track::TrackTable::Track& track, double cost) noexcept {
    const auto note = tracks_.baseline_note(track.hot);
    if (note.entry != 0) baselines_.add_cost(note.entry, track.tag, cost);
}

}  // namespace atlascore::engine
