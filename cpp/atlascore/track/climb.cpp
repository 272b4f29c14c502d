#include "atlascore/track/climb.hpp"

#include <algorithm>
#include <cstddef>

namespace atlascore::track {
namespace {

// Distances that differ by less are equal: they are between inputs in half precision.
constexpr float storage_precision = 0x1p-10f;

// State of a side: of the previous member and of the one before, whether it was an improvement and whether it
// may still be followed; and of each kind of result, whether there is one and whether it is as a climber's.
constexpr std::uint8_t previous_improved = 1, previous_waits = 2, older_improved = 4, older_waits = 8,
                       has_other = 16, other_fits = 32, has_improved = 64, improved_fits = 128;

constexpr float from_elsewhere = 2;  // times the distance to the nearest

enum class Origin : std::uint8_t { unknown, member, best };

// Where an input comes from, by its distances.
Origin origin_of(float to_member, float to_best, float to_nearest) noexcept {
    if (to_member < 0 || to_best < 0 || to_nearest < 0) return Origin::unknown;
    if (std::min(to_member, to_best) > from_elsewhere * to_nearest) return Origin::unknown;
    return to_member < (1 - storage_precision) * to_best ? Origin::member : Origin::best;
}

// The first result of a kind waits for one of the other; more of its kind meanwhile do not count, so that
// which one is taken says nothing about when it was followed by what.
void add_result(std::uint8_t& state, bool improved, bool followed, Climb::Test& test) noexcept {
    const std::uint8_t has = improved ? has_improved : has_other;
    const std::uint8_t fits = improved ? improved_fits : other_fits;
    if ((state & has) != 0) return;
    state |= has | (improved == followed ? fits : 0);
    if ((state & has_other) == 0 || (state & has_improved) == 0) return;
    test = {true, (state & other_fits) != 0 && (state & improved_fits) != 0};
    state &= static_cast<std::uint8_t>(~(has_other | other_fits | has_improved | improved_fits));
}

// What the newest member tells about the two before it. Afterwards `older_waits` is about the previous
// member.
Climb::Test follow(std::uint8_t& state, bool counts, const MemberDistances& to,
                   const MemberDistances::Side& side) noexcept {
    Climb::Test test;
    if ((state & older_waits) != 0) {
        const bool improved = (state & older_improved) != 0;
        const Origin origin = improved ? origin_of(side.before, side.older, to.nearest)
                                       : origin_of(side.older, side.before, to.nearest);
        if (counts && origin != Origin::unknown) add_result(state, improved, origin == Origin::member, test);
    }
    const bool improved = (state & previous_improved) != 0;
    const Origin origin =
        (state & previous_waits) != 0 ? origin_of(to.previous, side.before, to.nearest) : Origin::unknown;
    if (counts && origin == Origin::member) add_result(state, improved, true, test);
    state &= static_cast<std::uint8_t>(~(older_waits | older_improved));
    state |= (origin == Origin::best ? older_waits : 0) | (improved ? older_improved : 0);
    return test;
}

// The newest member becomes the previous one.
void advance(Cluster::Side& side, std::uint8_t& state, MemberName previous, float score,
             bool improved) noexcept {
    const bool was_improved = (state & previous_improved) != 0;
    side.older = was_improved ? side.before : previous;
    if (was_improved) side.before = previous;
    if (improved) side.best = score;
    state &= static_cast<std::uint8_t>(~previous_improved);
    state |= previous_waits | (improved ? previous_improved : 0);
}

}  // namespace

Climb join(Cluster& cluster, MemberName name, std::span<const double> scores,
           const MemberDistances& distances) noexcept {
    if (cluster.label == 0) {
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        cluster.label = static_cast<std::uint16_t>(std::min<std::ptrdiff_t>(best, 0xFFFE) + 1);
    }
    const bool counts = cluster.members >= climb_members;
    if (cluster.members != 0xFF) ++cluster.members;
    if (cluster.label > scores.size()) return {};
    const auto score = static_cast<float>(scores[cluster.label - 1u]);
    Climb climb;
    if (cluster.scored == 0) {
        cluster.scored = 1;
        cluster.lowest = cluster.highest = {0, 0, score};
        cluster.lowest_state = cluster.highest_state = previous_improved;
    } else {
        const bool lower = score < cluster.lowest.best;
        const bool higher = score > cluster.highest.best;
        climb.descent = follow(cluster.lowest_state, counts, distances, distances.lowest);
        climb.ascent = follow(cluster.highest_state, counts, distances, distances.highest);
        advance(cluster.lowest, cluster.lowest_state, cluster.previous, score, lower);
        advance(cluster.highest, cluster.highest_state, cluster.previous, score, higher);
    }
    cluster.previous = name;
    return climb;
}

}  // namespace atlascore::track
