// Tracks that belong together. From then on the members' inputs go to one history, and what that shows
// against them stands against each.
//
// Two ways lead into a cluster: inputs near another principal's too often for strangers (neighbours.cpp), and
// an infrastructure key that another track of the model has shown within a week (event field `cluster_keys`).
#include <algorithm>
#include <cmath>
#include <utility>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"
#include "atlascore/track/budget.hpp"

namespace atlascore::engine {

using evidence::Component;
using track::Keep;
using track::TrackTable;

namespace {

// ln R of near inputs from which what the cluster has sent may block a member: as much as the evidence that
// blocks.
const float certain_link = std::log(1e7f);
// Seconds after which a key that is in use, and the membership by it, is entered again.
constexpr double key_refresh = 3'600;

double own_budget(const TrackTable::Track& track) noexcept {
    return track::budget_spent(track.words[TrackTable::budget_word], track.newest);
}

std::uint64_t track_of(std::uint64_t cluster) noexcept {
    return track::KeyTable::tag_of(base::mix64(cluster, 0x636c7573746572));
}

}  // namespace

// Hashes of the keys in an event field, which is a text or an array of texts. False: it is something else, or
// they are too many.
bool Engine::read_keys(const Binding& binding, const event::Value& field, Keys& keys) const noexcept {
    const auto add = [&](const event::Value& key) {
        if (key.kind != event::ValueKind::text) return false;
        if (key.size == 0) return true;
        if (keys.count == keys.hashes.size()) return false;
        keys.hashes[keys.count++] =
            base::mix64(base::hash64(key.as_text(), key_seed_ ^ 7), binding.model_tag);
        return true;
    };
    switch (field.kind) {
        case event::ValueKind::missing:
        case event::ValueKind::null:
            return true;
        case event::ValueKind::array:
            return std::all_of(field.items, field.items + field.size, add);
        default:
            return add(field);
    }
}

std::optional<TrackTable::Track> Engine::cluster_of(const TrackTable::Track& track,
                                                    double now) const noexcept {
    const std::uint64_t cluster = clusters_.find(track.tag, now);
    return cluster == 0 ? std::nullopt : tracks_.look(track_of(cluster), now);
}

// What is against a member. Two honest callers who make up inputs from the same ones may be linked, and what
// lies between their inputs looks like a search; so the families of the cluster make a second one only for
// members that belong to it beyond doubt: by a key, or by as much evidence as blocks.
evidence::Reading Engine::member_reading(std::span<const std::uint64_t, track::evidence_words> own,
                                         std::span<const std::uint64_t, track::evidence_words> cluster,
                                         double now, bool row, bool by_key,
                                         evidence::Components on) noexcept {
    std::array<std::uint64_t, track::evidence_words> words{};
    evidence::average(own, cluster, now, words);
    evidence::Reading reading = evidence::read(words, now, row, on);
    if (!by_key &&
        evidence::log_r(own[static_cast<std::size_t>(Component::shared_input)], now) < certain_link)
        reading.families =
            std::min(reading.families, std::max(1u, evidence::read(own, now, row, on).families));
    return reading;
}

// The keys that come with the query: the track belongs with whoever showed one of them before.
void Engine::show_keys(Pass& pass, std::span<const std::uint64_t> keys) noexcept {
    const double now = pass.track.newest;
    const std::uint64_t own = pass.track.tag;
    for (const std::uint64_t key : keys) {
        const track::ClusterKeys::Record record = cluster_keys_.open(key);
        const track::ClusterKeys::Holder holder = cluster_keys_.holder(record, now);
        const std::uint64_t mine = clusters_.find(own, now), theirs = clusters_.find(holder.track, now);
        const bool other =
            holder.track != 0 && holder.track != own && (theirs != 0 || tracks_.look(holder.track, now));
        const bool shared = holder.shared || other;
        const bool stale = holder.age >= key_refresh;
        if (other && (mine == 0 || mine != theirs)) {
            link(pass, holder.track);
        } else if (mine != 0 && shared && stale) {
            clusters_.link(own, other ? holder.track : own, 0, now);
        }
        if (holder.track == 0 || shared != holder.shared || stale || (!other && holder.track != own))
            cluster_keys_.set(record, own, shared, now);
        pass.by_key |= shared;
    }
    pass.decision.by_key = pass.by_key;
}

// Of inputs that say nothing about who belongs with whom, the cluster's history is only kept where a key says
// it.
void Engine::open_cluster(Pass& pass) noexcept {
    const event::InputKind kind = pass.decision.input;
    const bool numbers =
        kind == event::InputKind::vector || kind == event::InputKind::image || kind == event::InputKind::row;
    if (!pass.by_key && (!numbers || !pass.decision.continuous)) return;
    const std::uint64_t cluster = clusters_.find(pass.track.tag, pass.query.now);
    if (cluster == 0) return;
    pass.cluster = tracks_.open(track_of(cluster), pass.query.now);
    pass.clustered = true;
}

// The caller belongs with the track `other`. A new cluster begins with the history of whichever founder has
// more against it, and the other's newest inputs, with what they have against them on average, and with what
// they have taken of the budget. Who joins one brings its newest inputs. Of two clusters that meet, the one
// with less against it is forgotten.
void Engine::link(const Pass& pass, std::uint64_t other) noexcept {
    const double now = pass.query.now;
    const evidence::Components on = pass.binding.evidence_on;
    const std::uint64_t own = pass.track.tag;
    const std::uint64_t mine = clusters_.find(own, now), theirs = clusters_.find(other, now);
    using Words = std::array<std::uint64_t, track::evidence_words>;
    const auto total = [&](std::uint64_t cluster) {
        Words words{};
        if (const auto track = tracks_.look(track_of(cluster), now)) tracks_.evidence(*track, words);
        return evidence::read(words, now, false, on).total;
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
    if (evidence::read(of_other, now, false, on).total > evidence::read(words, now, false, on).total)
        std::swap(first, second);
    if (first != nullptr) hot->similarity.adopt(first->similarity);
    if (second != nullptr) hot->similarity.add_recent(second->similarity);
    evidence::average(words, of_other, now, words);
    for (std::size_t i = 0; i < words.size(); ++i) track::shared_store(hot->evidence[i], words[i]);
    tracks_.keep(shared, Keep::suspect);
    spend_budget(shared, own_budget(pass.track) + (others ? own_budget(*others) : 0));
}

}  // namespace atlascore::engine
