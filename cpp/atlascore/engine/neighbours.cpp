// Inputs near other principals', and the clusters of those whose inputs are near each other's too often.
//
// The observation: of an input that nobody has sent before, whether one of another principal is nearer to it
// than one in a hundred ordinary inputs has a stranger's at all. What evidence::Component::shared_input makes
// of it is the test by which tracks are linked: at 1,000 to 1 that the caller's inputs are near others' more
// often than strangers' are, it belongs with the principal whose input this one is near. From then on the
// members' inputs go to one history, and what that shows against them stands against each.
//
// Only numbers are linked: small steps between texts, or between records with categories, mean nothing.
#include <algorithm>
#include <cmath>
#include <utility>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using evidence::Component;
using track::Keep;
using track::TrackTable;

namespace {

// ln R from which tracks are linked.
const float linking = std::log(1000.0f);
// And from which what the cluster has sent may block a member: as much as the evidence that blocks.
const float certain_link = std::log(1e7f);

std::uint64_t track_of(std::uint64_t cluster) noexcept {
    return track::KeyTable::tag_of(base::mix64(cluster, 0x636c7573746572));
}

}  // namespace

std::optional<TrackTable::Track> Engine::cluster_of(const TrackTable::Track& track,
                                                    double now) const noexcept {
    const std::uint64_t cluster = clusters_.find(track.tag, now);
    return cluster == 0 ? std::nullopt : tracks_.look(track_of(cluster), now);
}

// What is against a member. Two honest callers who make up inputs from the same ones may be linked, and what
// lies between their inputs looks like a search; so the families of the cluster make a second one only for
// members that belong to it beyond doubt.
evidence::Reading Engine::member_reading(std::span<const std::uint64_t, track::evidence_words> own,
                                         std::span<const std::uint64_t, track::evidence_words> cluster,
                                         double now, bool row) noexcept {
    std::array<std::uint64_t, track::evidence_words> words{};
    evidence::average(own, cluster, now, words);
    evidence::Reading reading = evidence::read(words, now, row);
    if (evidence::log_r(own[static_cast<std::size_t>(Component::shared_input)], now) < certain_link)
        reading.families = std::min(reading.families, std::max(1u, evidence::read(own, now, row).families));
    return reading;
}

void Engine::open_cluster(Pass& pass) noexcept {
    const event::InputKind kind = pass.decision.input;
    const bool numbers =
        kind == event::InputKind::vector || kind == event::InputKind::image || kind == event::InputKind::row;
    if (!numbers || !pass.decision.continuous) return;
    const std::uint64_t cluster = clusters_.find(pass.track.tag, pass.query.now);
    if (cluster == 0) return;
    pass.cluster = tracks_.open(track_of(cluster), pass.query.now);
    pass.clustered = true;
}

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
    add_evidence(pass.track, *hot, shared, pass.track.newest);
    if (match.owner == 0) return;
    const std::uint64_t word =
        track::shared_load(hot->evidence[static_cast<std::size_t>(Component::shared_input)]);
    if (evidence::log_r(word, pass.track.newest) >= linking) link(pass, match.owner);
}

// The caller belongs with the track `other`. A new cluster begins with the history of whichever founder has
// more against it, and the other's newest inputs, and with what they have against them on average. Who joins
// one brings its newest inputs. Of two clusters that meet, the one with less against it is forgotten.
void Engine::link(const Pass& pass, std::uint64_t other) noexcept {
    const double now = pass.query.now;
    const std::uint64_t own = pass.track.tag;
    const std::uint64_t mine = clusters_.find(own, now), theirs = clusters_.find(other, now);
    using Words = std::array<std::uint64_t, track::evidence_words>;
    const auto total = [&](std::uint64_t cluster) {
        Words words{};
        if (const auto track = tracks_.look(track_of(cluster), now)) tracks_.evidence(*track, words);
        return evidence::read(words, now, false).total;
    };
    const bool meet = mine != 0 && theirs != 0 && mine != theirs;
    const std::uint64_t prefer = meet ? (total(mine) > total(theirs) ? mine : theirs) : 0;
    const std::uint64_t cluster = clusters_.link(own, other, prefer, now);
    if (mine == cluster && theirs == cluster) return;
    region_.add(base::Counter::clusters_linked);
    TrackTable::Track shared = tracks_.open(track_of(cluster), now);
    tracks_.promote(shared, now, true);
    track::HotTrack* const hot = tracks_.hot(shared.hot);
    if (hot == nullptr) return;
    const auto others = tracks_.look(other, now);
    const track::HotTrack* const own_slab = tracks_.hot(pass.track.hot);
    const track::HotTrack* const other_slab = others ? tracks_.hot(others->hot) : nullptr;
    if (mine != 0 || theirs != 0) {
        const track::HotTrack* const joining = mine != cluster ? own_slab : other_slab;
        if (joining != nullptr) hot->similarity.add_recent(joining->similarity);
        return;
    }
    Words words{}, of_other{};
    tracks_.evidence(pass.track, words);
    if (others) tracks_.evidence(*others, of_other);
    const track::HotTrack *first = own_slab, *second = other_slab;
    if (evidence::read(of_other, now, false).total > evidence::read(words, now, false).total)
        std::swap(first, second);
    if (first != nullptr) hot->similarity.adopt(first->similarity);
    if (second != nullptr) hot->similarity.add_recent(second->similarity);
    evidence::average(words, of_other, now, words);
    for (std::size_t i = 0; i < words.size(); ++i) track::shared_store(hot->evidence[i], words[i]);
    tracks_.keep(shared, Keep::suspect);
}

}  // namespace atlascore::engine
