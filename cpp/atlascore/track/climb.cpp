#include "atlascore/track/climb.hpp"

#include <algorithm>
#include <cstddef>

namespace atlascore::track {
namespace {

// Distances that differ by less are equal: they are between inputs in half precision.
constexpr float storage_precision = 0x1p-10f;

struct Side {
    bool observed, hit;
};

Side observe(bool extreme, bool follows_best, float to_best, float to_previous) noexcept {
    if (!extreme || follows_best) return {true, false};
    const bool known = to_best >= 0 && to_previous >= 0;
    return {known, known && to_best < (1 - storage_precision) * to_previous};
}

}  // namespace

Climb join(Cluster& cluster, std::uint32_t digest, std::span<const double> scores,
           const MemberDistances& distances) noexcept {
    if (cluster.label == 0) {
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        cluster.label = static_cast<std::uint16_t>(std::min<std::ptrdiff_t>(best, 0xFFFE) + 1);
    }
    const std::uint16_t members = cluster.members;
    if (cluster.members != 0xFFFF) ++cluster.members;
    if (cluster.label > scores.size()) return {};
    const auto score = static_cast<float>(scores[cluster.label - 1u]);
    const bool first = cluster.scored == 0;
    const bool lowest = first || score < cluster.lowest_score;
    const bool highest = first || score > cluster.highest_score;
    Climb climb;
    if (members >= climb_members && !first) {
        const Side down =
            observe(lowest, cluster.lowest == cluster.previous, distances.lowest, distances.previous);
        const Side up =
            observe(highest, cluster.highest == cluster.previous, distances.highest, distances.previous);
        climb = {down.observed, down.hit, up.observed, up.hit};
    }
    if (lowest) {
        cluster.lowest = digest;
        cluster.lowest_score = score;
    }
    if (highest) {
        cluster.highest = digest;
        cluster.highest_score = score;
    }
    cluster.previous = digest;
    if (cluster.scored != 0xFFFFFFFF) ++cluster.scored;
    return climb;
}

}  // namespace atlascore::track
