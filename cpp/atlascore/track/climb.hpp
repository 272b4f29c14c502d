// Hill climbing on scores. Near pairs of a track form clusters; inside one, a climber makes a change, keeps
// what lowered (or raised) a score, and goes back to the best input so far when it did not. A drifting video
// sets records too, but never returns to its best frame.
//
// Climb hit: a new extreme score of the cluster's label, while the best member is not the previous one and
// the input is closer to the best than to the previous. The founder counts as a member; observations begin
// with the fifth. The label is the founder's best score, or that of the first scored member when the
// founder's answer is not known. The founder's own score is not remembered.
//
// One writer at a time (UpdateClaim of the slab); a response that finds another at work is no observation.
#pragma once

#include <cstdint>
#include <span>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

inline constexpr std::size_t cluster_count = 4;
inline constexpr std::uint16_t climb_members = 4;     // before observations begin
inline constexpr std::uint16_t reported_members = 8;  // before hits are a signal

// A new extreme is observed when the best member and the previous one are still known; no extreme, or one
// that follows the best member, is a miss anyway.
struct Climb {
    bool descent_observed = false, descent = false;
    bool ascent_observed = false, ascent = false;
};

struct Cluster {
    std::uint32_t lowest;  // digests of members
    std::uint32_t highest;
    std::uint32_t previous;
    float lowest_score;
    float highest_score;
    std::uint16_t label;    // place of the score that is followed, plus one; 0 not known
    std::uint16_t members;  // to 65,535
    std::uint32_t scored;   // members with a score, the founder not counted
};
static_assert(sizeof(Cluster) == 28);

// Distances the test needs, from the input to members; negative when that member is no longer known.
struct MemberDistances {
    float lowest = -1, highest = -1, previous = -1;
};

// One scored near pair joins its cluster.
Climb join(Cluster& cluster, std::uint32_t digest, std::span<const double> scores,
           const MemberDistances& distances) noexcept;

}  // namespace atlascore::track
