// What an answer tells about the query it belongs to: labels of near pairs, steps of climbs, and where the
// other side of the boundary is.
#include <algorithm>
#include <cmath>
#include <limits>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/recent.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t first_anchor = recent_count + kept_count;
constexpr std::uint32_t short_digest = 0xFFFFFF;
constexpr std::size_t trend_samples = std::size(HotSlab::Trend{}.distances);
constexpr std::uint16_t minimum_trend = 24;

// The slot that holds the input, -1 when it is no longer there.
int find_slot(const HotSlab& slab, std::uint32_t digest, std::uint32_t bits, SlotKey& key) noexcept {
    for (std::size_t i = 0; i < history_count; ++i) {
        const std::uint32_t sequence = shared_load(slab.meta[i].sequence, std::memory_order_acquire);
        if (sequence == 0 || sequence % 2 != 0) continue;
        key = key_of(slab.meta[i]);
        if ((key.digest & bits) == (digest & bits)) return static_cast<int>(i);
    }
    return -1;
}

// Changes every slot that holds the input: its first label and its cluster stay.
template <class Change>
void change_keys(HotSlab& slab, std::uint32_t digest, const Change& change) noexcept {
    for (SlotMeta& meta : slab.meta) {
        const std::uint64_t before = shared_load(meta.key);
        SlotKey key = SlotKey::of(before);
        if (key.digest != digest || key.space == 0) continue;
        if (change(key)) shared_exchange_if(meta.key, before, key.word());
    }
}

void give_label(HotSlab& slab, std::uint32_t digest, std::uint16_t label) noexcept {
    change_keys(slab, digest, [label](SlotKey& key) {
        if (key.label != 0) return false;
        key.label = label;
        return true;
    });
}

void give_cluster(HotSlab& slab, std::uint32_t digest, std::uint8_t cluster) noexcept {
    change_keys(slab, digest, [cluster](SlotKey& key) {
        key.cluster = cluster;
        return true;
    });
}

// 0: not known.
std::uint16_t label_of(const HotSlab& slab, std::uint64_t owner, std::uint32_t neighbour) noexcept {
    SlotKey key;
    if (find_slot(slab, neighbour, short_digest, key) >= 0 && key.label != 0) return key.label;
    const std::uint32_t end = slab.outcomes.end();
    for (std::uint32_t ticket = slab.outcomes.first(); ticket != end; ++ticket) {
        const auto entry = slab.outcomes.read(ticket, owner);
        if (entry && (entry->digest & short_digest) == neighbour && entry->label != 0) return entry->label;
    }
    return 0;
}

// --- pairs ---------------------------------------------------------------------------------------

void test_pair(HotSlab& slab, std::uint64_t owner, std::uint32_t ticket, const OutcomeRing::Entry& entry,
               std::uint16_t other, AnswerTests& tests) noexcept {
    const bool differ = entry.label != other;
    const auto before = slab.outcomes.add_flags(ticket, owner, tested | (differ ? flip : 0u));
    if (!before || (*before & tested) != 0 || tests.pair_count == tests.pairs.size()) return;
    const float median = slab.outcomes.median_near_distance(ticket, owner);
    const bool fine = !std::isnan(median);
    tests.pairs[tests.pair_count++] = {differ, fine, fine && differ && entry.distance < 0.5f * median};
}

void test_pairs(HotSlab& slab, std::uint64_t owner, std::uint32_t ticket, const OutcomeRing::Entry& entry,
                AnswerTests& tests) noexcept {
    if ((entry.flags & near_pair) != 0) {
        const std::uint16_t other = label_of(slab, owner, entry.neighbour);
        if (other != 0) test_pair(slab, owner, ticket, entry, other, tests);
    }
    // Those that have waited for this label.
    const std::uint32_t end = slab.outcomes.end();
    for (std::uint32_t later = ticket + 1; static_cast<std::int32_t>(end - later) > 0; ++later) {
        const auto waiting = slab.outcomes.read(later, owner);
        if (!waiting || (waiting->flags & near_pair) == 0 || (waiting->flags & tested) != 0) continue;
        if (waiting->label == 0 || waiting->neighbour != (entry.digest & short_digest)) continue;
        test_pair(slab, owner, later, *waiting, entry.label, tests);
    }
}

// --- climbs and trend ----------------------------------------------------------------------------

bool read_row(const HotSlab& slab, std::uint64_t owner, std::uint32_t digest, SlotKey& key,
              SlotRow& row) noexcept {
    const int at = find_slot(slab, digest, ~0u, key);
    if (at < 0) return false;
    const SlotMeta& meta = slab.meta[at];
    return read_slot(meta, slab.rows[at], shared_load(meta.sequence, std::memory_order_acquire), owner, row);
}

// Between two stored sketches of one space; comparable with others of it.
float stored_distance(const SlotRow& a, const SlotRow& b, std::uint16_t space) noexcept {
    constexpr std::uint16_t text_space = 0x1000;
    if (space == text_space) {
        std::uint32_t equal;
        simd::equal_bytes(reinterpret_cast<const std::uint8_t*>(a.words),
                          reinterpret_cast<const std::uint8_t*>(b.words), sizeof(SlotRow), 1, &equal);
        return static_cast<float>(minhash_size - equal);
    }
    alignas(64) float x[linear_size];
    float squared;
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(a.words), x);
    simd::squared_distances(x, reinterpret_cast<const std::uint16_t*>(b.words), 1, &squared);
    return std::sqrt(squared);
}

struct Member {
    SlotKey key;
    SlotRow row;
};

// Distance of a member of the cluster; negative when it is no longer there.
float distance_to(const HotSlab& slab, std::uint64_t owner, const Member& from, std::uint8_t cluster,
                  MemberName name) noexcept {
    for (std::size_t i = 0; i < history_count; ++i) {
        const SlotMeta& meta = slab.meta[i];
        const SlotKey key = SlotKey::of(shared_load(meta.key));
        if (static_cast<MemberName>(key.digest) != name || key.cluster != cluster) continue;
        const std::uint32_t sequence = published(meta, from.key.space);
        SlotRow row;
        if (sequence == 0 || !read_slot(meta, slab.rows[i], sequence, owner, row)) continue;
        return stored_distance(from.row, row, from.key.space);
    }
    return -1;
}

// Place of the input's best score, plus one; 0 not known.
std::uint16_t best_score_of(const HotSlab& slab, std::uint64_t owner, std::uint32_t neighbour) noexcept {
    const std::uint32_t end = slab.outcomes.end();
    for (std::uint32_t ticket = slab.outcomes.first(); ticket != end; ++ticket) {
        const auto entry = slab.outcomes.read(ticket, owner);
        if (entry && (entry->digest & short_digest) == neighbour && entry->best_score != 0) {
            return entry->best_score;
        }
    }
    return 0;
}

// The cluster of the near pair: the neighbour's, or a new one in the place of the oldest.
std::uint8_t cluster_of_pair(HotSlab& slab, std::uint64_t owner, std::uint32_t neighbour) noexcept {
    SlotKey key;
    if (find_slot(slab, neighbour, short_digest, key) < 0) return 0;
    const bool current = key.cluster != 0 && key.cluster <= cluster_count;
    if (current) return key.cluster;
    const auto fresh = static_cast<std::uint8_t>(shared_load(slab.clusters_made) % cluster_count);
    std::atomic_ref(slab.clusters_made).fetch_add(1, std::memory_order_relaxed);
    // Members of the one it replaces belong to none.
    for (SlotMeta& meta : slab.meta) {
        const std::uint64_t before = shared_load(meta.key);
        SlotKey old = SlotKey::of(before);
        if (old.cluster != fresh + 1) continue;
        old.cluster = 0;
        shared_exchange_if(meta.key, before, old.word());
    }
    Cluster cluster{};
    cluster.members = 1;  // its founder
    cluster.label = best_score_of(slab, owner, neighbour);
    shared_assign(slab.clusters[fresh], cluster);
    give_cluster(slab, key.digest, static_cast<std::uint8_t>(fresh + 1));
    return static_cast<std::uint8_t>(fresh + 1);
}

Climb climb(HotSlab& slab, std::uint64_t owner, const Member& member, std::uint32_t neighbour,
            std::span<const double> scores) noexcept {
    const std::uint8_t id = cluster_of_pair(slab, owner, neighbour);
    if (id == 0) return {};
    give_cluster(slab, member.key.digest, id);
    Cluster cluster = shared_copy(slab.clusters[id - 1]);
    MemberDistances distances;
    if (cluster.scored != 0) {
        const auto to = [&](MemberName name) { return distance_to(slab, owner, member, id, name); };
        distances.nearest = to(static_cast<MemberName>(neighbour));
        distances.previous = to(cluster.previous);
        distances.lowest = {to(cluster.lowest.before), to(cluster.lowest.older)};
        distances.highest = {to(cluster.highest.before), to(cluster.highest.older)};
    }
    const Climb result = join(cluster, static_cast<MemberName>(member.key.digest), scores, distances);
    shared_assign(slab.clusters[id - 1], cluster);
    return result;
}

// tau-a of the order of the samples against their values.
float kendall(const std::uint16_t* values, std::size_t count) noexcept {
    // Halves that are not negative are ordered as their bits.
    int agreement = 0;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = i + 1; j < count; ++j) {
            agreement += (values[j] > values[i]) - (values[j] < values[i]);
        }
    }
    return static_cast<float>(agreement) / (0.5f * static_cast<float>(count * (count - 1)));
}

void add_sample(HotSlab::Trend& t, float distance) noexcept {
    t.passed = 0;
    if (t.count == trend_samples) {
        for (std::size_t i = 0; i < trend_samples / 2; ++i) t.distances[i] = t.distances[2 * i];
        t.count = trend_samples / 2;
        t.stride = static_cast<std::uint16_t>(std::min(2 * t.stride, 0x4000));
    }
    t.distances[t.count++] = simd::to_half(distance);
    t.tau = kendall(t.distances, t.count);
}

void follow_trend(HotSlab& slab, std::uint64_t owner, const Member& member, std::uint16_t label) noexcept {
    SlotKey anchor;
    SlotRow row;
    const SlotMeta& meta = slab.meta[first_anchor];
    const std::uint32_t sequence = published(meta, member.key.space);
    if (sequence == 0 || !read_slot(meta, slab.rows[first_anchor], sequence, owner, row)) return;
    anchor = key_of(meta);
    HotSlab::Trend t = shared_copy(slab.trend);
    if (t.anchor != anchor.digest || t.stride == 0) {
        t = {};
        t.anchor = anchor.digest;
        t.stride = 1;
    }
    if (anchor.label != 0 && anchor.label != label) {
        if (t.eligible != 0xFFFF) ++t.eligible;
        if (++t.passed >= t.stride) add_sample(t, stored_distance(member.row, row, anchor.space));
    }
    shared_assign(slab.trend, t);
}

}  // namespace

AnswerTests HotSlab::answer(std::uint32_t ticket, const Answered& answered) noexcept {
    AnswerTests tests;
    const std::uint64_t mine = owner();
    auto entry = outcomes.read(ticket, mine);
    if (!entry || (entry->flags & track::answered) != 0) return tests;
    const bool near = (entry->flags & near_pair) != 0;
    std::uint32_t flags = track::answered;
    const bool original_input = (entry->flags & track::duplicate) == 0;
    if (original_input && answered.has_margin)
        flags |= margin | (answered.low_margin ? track::low_margin : 0u);
    if (near && answered.has_margin) flags |= near_margin | (answered.low_margin ? near_low_margin : 0u);
    const auto before = outcomes.add_flags(ticket, mine, flags);
    if (!before || (*before & track::answered) != 0) return tests;
    tests.known = true;
    if (!original_input) return tests;
    tests.original = true;
    if (answered.best_score != 0) outcomes.set_best_score(ticket, mine, answered.best_score);
    if (answered.label != 0 && outcomes.set_label(ticket, mine, answered.label)) {
        entry->label = answered.label;
        give_label(*this, entry->digest, answered.label);
        test_pairs(*this, mine, ticket, *entry, tests);
    }
    if (!near) return tests;
    const UpdateClaim held(answer_claim);
    Member member;
    if (!held || !read_row(*this, mine, entry->digest, member.key, member.row)) return tests;
    if (answered.scores.size() > 1) {
        tests.climb = climb(*this, mine, member, entry->neighbour, answered.scores);
        const std::uint32_t hits =
            (tests.climb.descent.hit ? descent : 0u) | (tests.climb.ascent.hit ? ascent : 0u);
        if (hits != 0) outcomes.add_flags(ticket, mine, hits);
    }
    if (answered.label != 0) follow_trend(*this, mine, member, answered.label);
    return tests;
}

double HotSlab::anchor_trend() const noexcept {
    const Trend t = shared_copy(trend);
    return t.eligible >= minimum_trend ? t.tau : std::numeric_limits<double>::quiet_NaN();
}

bool HotSlab::climbs() const noexcept {
    return std::any_of(std::begin(clusters), std::end(clusters), [](const Cluster& cluster) {
        return shared_load(cluster.members) >= reported_members;
    });
}

void HotSlab::reset_answers() noexcept {
    shared_store(answer_claim, 0);
    shared_store(clusters_made, 0);
    for (Cluster& cluster : clusters) shared_assign(cluster, Cluster{});
    shared_assign(trend, Trend{});
}

}  // namespace atlascore::track
