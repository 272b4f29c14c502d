// What a hot track remembers of its inputs: 24 recent sketches, 24 kept ones (members of near pairs), 2
// anchors (the first inputs of its life), and the outcomes of its last 64 queries.
//
//   +----------------+  0      header: owner, ring heads, time of the last query, anchor state
//   | header     64  |
//   +----------------+  64     50 slots of meta data: sequence word, digest, check, space
//   | meta      800  |
//   +----------------+  864    kept: when each of the 24 was last used (least recently used is replaced)
//   | used       96  |
//   +----------------+  960    64 outcomes of two words
//   | outcomes 1024  |
//   +----------------+  1984   50 sketches of 128 B: fp16[64], or 64 B MinHash and 64 B unused
//   | rows      6400 |
//   +----------------+  8384   of the 10,240 B a hot track may have; the rest is for the float32 heads,
//                              coverage and evidence of later signals
//
// Two phases, because a blocked request must leave no trace: observe() reads, commit() writes. The same
// observation given to summary() as `pending` counts as if it were committed.
//
// Who may see what when
//   Can a reader wait? Never; nor a writer. There is no lock.
//   What does a reader see of a slot that is being written? Nothing: its sequence word is odd, or changed
//     meanwhile, or the check word does not fit the sketch. Such a slot does not exist for that query. The
//     check is verified for the slot that would become the nearest neighbour, so a torn sketch is never the
//     reason of anything.
//   What if a writer is killed inside a slot? The slot stays invisible until it is reused.
//   What if a writer sleeps inside a slot for a whole round of the ring, and the slab changes its owner
//     meanwhile? Its publication fails, and what it overwrote fails the check, which covers owner and digest.
//   What about two queries of one track at the same time? Neither sees the other, or one sees the other.
//   What about time? It is the caller's. A query that is late goes where it arrives in the rings; the window
//     of summary() is by its time. Nothing requires order. Outcome times have a resolution of 1/64 s.
//   What about an input that is recent and kept? It counts once in `entries`.
//   All-zero memory is a valid empty slab of owner 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/sketch.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

struct ModelReferences;

inline constexpr std::size_t recent_count = 24;
inline constexpr std::size_t kept_count = 24;
inline constexpr std::size_t anchor_count = 2;
inline constexpr std::size_t history_count = recent_count + kept_count + anchor_count;
inline constexpr std::size_t outcome_count = 64;
// A ratio over fewer queries is missing.
inline constexpr std::uint32_t minimum_outcomes = 8;
// After so long a silence the next two inputs become the anchors.
inline constexpr double anchor_silence_seconds = 30.0 * 60.0;

// What one query is to its track. Made by HotSlab::observe, used by summary, kept by commit.
struct Observation {
    float distance = 0;  // D_nn in scaled units (1 - Jaccard for text); NaN when nothing was compared
    float survival = 0;  // u: how ordinary that distance is between strangers; NaN when nothing was compared
    bool duplicate = false;  // exact duplicate of one of the last 64 queries or of the history
    bool near = false;       // near pair
    bool calibrated =
        false;              // survival comes from 1,000 samples of the model, not from the cold-start formula
    bool compared = false;  // distance and survival are numbers
    bool comparable = false;       // the input has a sketch that can be compared at all
    std::uint32_t entries = 0;     // m, distinct inputs compared
    std::uint64_t digest_tag = 0;  // low half of the digest
    // The nearest neighbour, for commit: slot and its sequence word; -1 when none.
    std::int32_t nearest_slot = -1;
    std::uint32_t nearest_sequence = 0;
    std::uint64_t owner = 0;  // of the slab when it was observed; a commit to another owner is dropped
};

struct WindowSummary {
    double similarity_score;  // mean survival of the compared queries that are no duplicates; NaN below 8
    double near_ratio;        // near pairs / comparable queries that are no duplicates; NaN below 8
    double duplicate_ratio;   // duplicates / queries; NaN below 8
};

struct alignas(64) HotSlab {
    // Empties the slab for another track. Queries of the former owner still under way leave no visible trace.
    void reset(std::uint64_t new_owner) noexcept;
    std::uint64_t owner() const noexcept;

    Observation observe(const Sketch& sketch, const ModelReferences& references, double now) const noexcept;
    void commit(const Sketch& sketch, const Observation& observation, double now) noexcept;
    // Over the last 64 queries with time in (now - window, now], `pending` (may be null) being the newest.
    WindowSummary summary(double now, double window, const Observation* pending) const noexcept;

    // Layout; only the member functions touch it.
    struct Outcome {
        std::uint64_t words[2];
    };
    std::uint64_t owner_word;
    std::uint64_t last_time_bits;  // double, the latest time committed
    std::uint32_t recent_head;     // tickets taken
    std::uint32_t outcome_head;    // tickets taken
    std::uint32_t kept_clock;      // uses of the kept slots
    std::uint32_t anchors_taken;   // 0..2
    std::uint64_t header_room[4];
    SlotMeta meta[history_count];  // recent, kept, anchors
    std::uint32_t kept_used[kept_count];
    Outcome outcomes[outcome_count];
    SlotRow rows[history_count];
};

static_assert(std::is_trivially_copyable_v<HotSlab> && std::is_standard_layout_v<HotSlab>);
static_assert(sizeof(HotSlab) == 8384 && sizeof(HotSlab) <= 9216);

}  // namespace atlascore::track
