// Hill climbing on scores. Near pairs of a track form clusters; inside one, a climber makes a change, goes on
// from it when it lowered (or raised) a score, and goes back to the best input so far when it did not. A
// drifting video sets records too, but goes on from each of its frames; noise around a scene comes from none.
//
//   follows   a member is followed when one of the next two is nearer to it than to the best before it.
//   Inputs
//             that come from neither, being more than twice as far from both as from their nearest input, end
//             the comparison: the first of a row of a sweep comes from the row before
//   test      of the first member since the last test that was an improvement and the first that was not:
//   that
//             is followed, this is not. Who does not look at the scores follows both with one probability f,
//             and f (1 - f) is at most 1/4, whatever f is: so this p0 holds by itself
//
// The founder counts as a member; tests begin with the fifth. The label is the founder's best score, or that
// of the first scored member when the founder's answer is not known. The founder's own score is not
// remembered.
//
// One writer at a time (UpdateClaim of the slab); a response that finds another at work is no observation.
#pragma once

#include <cstdint>
#include <span>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

inline constexpr std::size_t cluster_count = 4;
inline constexpr std::uint16_t climb_members = 4;     // before tests begin
inline constexpr std::uint16_t reported_members = 8;  // before hits are a signal

// What one scored member has shown.
struct Climb {
    struct Test {
        bool observed = false, hit = false;
    };
    Test descent, ascent;  // whether lower scores are followed, and higher ones
};

// Members are named by the low 16 bits of their digests: two of one cluster that agree in them would give one
// wrong distance.
using MemberName = std::uint16_t;

struct Cluster {
    // Of the lowest or the highest score. t1 is the previous member, t2 the one before; b1 and b2 the best
    // ones before these. So the best member is t1 when that was an improvement, otherwise b1.
    struct Side {
        MemberName before;  // b1
        MemberName older;   // while t2 waits: b2 when it was an improvement, and then t2 is b1; else t2
        float best;         // score
    };
    Side lowest, highest;
    MemberName previous;
    std::uint16_t label;        // place of the score that is followed, plus one; 0 not known
    std::uint8_t members;       // to 255
    std::uint8_t scored;        // 1: the sides and `previous` hold something
    std::uint8_t lowest_state;  // flags, see climb.cpp
    std::uint8_t highest_state;
};
static_assert(sizeof(Cluster) == 24);

// Distances the tests need, from the input to members; negative when that member is no longer known.
struct MemberDistances {
    struct Side {
        float before = -1, older = -1;
    };
    float nearest = -1, previous = -1;
    Side lowest, highest;
};

// One scored near pair joins its cluster.
Climb join(Cluster& cluster, MemberName name, std::span<const double> scores,
           const MemberDistances& distances) noexcept;

}  // namespace atlascore::track
