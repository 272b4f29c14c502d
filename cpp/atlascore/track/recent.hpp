// What a hot track remembers of its inputs: 24 recent sketches, 16 kept ones (members of near
// pairs and brackets), 2 anchors (the first inputs of its life), and the outcomes of its last 64 queries.
//
//   header      owner, heads of the rings, time of the last query, masks of coordinates, clusters, trend
//   meta        42 slots: sequence word, check, digest, space, cluster and label
//   used        kept: when each of them was last used (least recently used is replaced)
//   outcomes    64 of three words (outcome.hpp)
//   departures  of the last 30 near inputs (departures.hpp)
//   head        the newest input in full precision and the step to it (geometry.hpp)
//   rows        42 sketches of 128 B: fp16[64], or 64 B MinHash and 64 B unused
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
//   When do labels come? With the response, in any order. A slot gets its label by a compare-exchange on the
//     word that holds the input's digest, so it cannot land on another input. A pair of inputs is tested when
//     its second label arrives, once: who sets the outcome's `tested` flag counts the test.
//   What about an input that is recent and kept? It counts once in `entries`.
//   All-zero memory is a valid empty slab of owner 0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include "atlascore/track/climb.hpp"
#include "atlascore/track/departures.hpp"
#include "atlascore/track/directions.hpp"
#include "atlascore/track/geometry.hpp"
#include "atlascore/track/manifold.hpp"
#include "atlascore/track/outcome.hpp"
#include "atlascore/track/sketch.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

struct ModelReferences;

inline constexpr std::size_t recent_count = 24;
inline constexpr std::size_t kept_count = 16;
inline constexpr std::size_t anchor_count = 2;
inline constexpr std::size_t history_count = recent_count + kept_count + anchor_count;
// After so long a silence, or when the model's scale has been learned anew, the next two inputs become the
// anchors.
inline constexpr double anchor_silence_seconds = 30.0 * 60.0;

inline constexpr float no_place = std::numeric_limits<float>::quiet_NaN();

// What observe() is to find out besides the nearest neighbour; what no rule reads costs nothing.
struct Wanted {
    bool lines = false;   // halving, between
    bool sparse = false;  // coordinates
    bool radial = false;  // departures from one input
    bool place = false;   // among the model's ordinary inputs
    bool grid = false;    // values off their grid
    bool turns = false;   // from the step before
    bool groups = false;  // runs of inputs around their first
    bool cells = false;   // of the input space
};

// What one query is to its track. Made by HotSlab::observe, used by summary, kept by commit.
struct Observation {
    float distance = 0;  // D_nn in scaled units (1 - Jaccard for text); NaN when nothing was compared
    float survival = 0;  // u: how ordinary that distance is between strangers; NaN when nothing was compared
    bool duplicate = false;  // exact duplicate of one of the last 64 queries or of the history
    bool near = false;       // near pair
    bool calibrated =
        false;              // survival comes from 1,000 samples of the model, not from the cold-start formula
    bool compared = false;  // distance and survival are numbers
    bool comparable = false;  // the input has a sketch that can be compared at all
    bool halving_observed = false;
    bool halving = false;  // midpoint of a bracket, or half the step before
    bool between_observed = false;
    bool between = false;          // on the line between two inputs with different labels
    bool explained = false;        // by coordinates that explained such a hit before, or the first two
    float turn = no_turn;          // cosine of the last two steps, where it is looked at
    bool sparse_observed = false;  // a near pair of dense inputs
    bool sparse = false;           // it differs from its neighbour in few coordinates
    bool new_coordinate = false;   // and in one that no sparse pair of the last day has changed
    bool departed = false;         // a near pair that is many coordinates apart
    bool radial_observed = false;  // and not much longer than others
    bool radial = false;           // from an input that many others departed from
    std::uint64_t changed = 0;     // near pairs: coordinates in which it differs from its neighbour
    std::uint64_t dominant = 0;    // hits: the coordinates that hold nearly all of the difference
    bool placed = false;           // where it lies is known
    bool far = false;              // farther than ordinary inputs
    float rank = no_place;         // among them by distance from their centre; NaN not known
    float off_grid = no_place;     // share of its values; NaN not known
    bool on_grid_model = false;    // ordinary inputs keep to the grid
    std::uint32_t entries = 0;     // m, distinct inputs compared
    std::uint64_t digest_tag = 0;  // low half of the digest
    // The nearest neighbour, for commit: slot and its sequence word; -1 when none.
    std::int32_t nearest_slot = -1;
    std::uint32_t nearest_sequence = 0;
    std::uint32_t neighbour = 0;  // low half of its digest tag
    // The ends of the bracket, for commit.
    std::int32_t bracket_slots[2] = {-1, -1};
    std::uint32_t bracket_sequences[2] = {};
    std::uint64_t owner = 0;  // of the slab when it was observed; a commit to another owner is dropped

    // Among the model's ordinary inputs, and on its grid.
    void place(const Location& where, float off_grid_share) noexcept;
    OutcomeRing::Entry outcome() const noexcept;
};

// What the model answered to one query.
struct Answered {
    std::uint16_t label = 0;       // hashed; 0 not known
    std::uint16_t best_score = 0;  // its place, plus one; 0 not known
    bool has_margin = false;
    double margin = 0;  // best score less the second
    bool low_margin = false;
    std::span<const double> scores{};
};

// What an answer has shown: tests of near pairs whose second label it brought, and a step of a climb.
struct AnswerTests {
    struct Pair {
        bool flip;
        bool fine_observed;
        bool fine_flip;
    };
    bool known = false;     // the query is still remembered, and this is its first answer
    bool original = false;  // and its input had not been sent before
    std::uint8_t pair_count = 0;
    Climb climb;
    std::array<Pair, outcome_count> pairs;
};

struct alignas(64) HotSlab {
    // Empties the slab for another track. Queries of the former owner still under way leave no visible trace.
    void reset(std::uint64_t new_owner) noexcept;
    std::uint64_t owner() const noexcept;

    // `next`: where the track's head would be; needed and filled when lines or turns are wanted.
    Observation observe(const Sketch& sketch, const ModelReferences& references, double now,
                        const Wanted& wanted, Head* next) const noexcept;
    // `ticket`: one taken for this query.
    void commit(const Sketch& sketch, const Observation& observation, double now, std::uint32_t ticket,
                const Head* next) noexcept;
    // Goes on where another track's history is, which stays as it is: its inputs with their labels, the
    // newest one and the step to it, what they departed from and which coordinates were tried. For a history
    // that is empty.
    void adopt(const HotSlab& from) noexcept;
    // The newest inputs of another track, older than any that comes from now on.
    void add_recent(const HotSlab& from) noexcept;
    std::uint32_t take_tickets(std::uint32_t n) noexcept { return outcomes.take(n); }
    AnswerTests answer(std::uint32_t ticket, const Answered& answered) noexcept;

    // Over the last 64 queries with time in (now - window, now], `pending` (may be null) being the newest.
    WindowSummary summary(double now, double window, const Observation* pending) const noexcept;
    TraitSummary traits(double now, double window, const Observation* pending) const noexcept;
    BlockMeans block_means(double from, double until) const noexcept {
        return outcomes.block_means(owner(), from, until);
    }
    double timing_regularity(double now, double window, bool pending) const noexcept {
        return outcomes.timing_regularity(owner(), now, window, pending);
    }
    // Distinct coordinates that sparse pairs have changed within a day; NaN below 8 near pairs.
    double sparse_coordinates(const Observation* pending, double now) const noexcept;
    // Of the last 30 near inputs that are many coordinates from their nearest, those that depart from an
    // input that many departed from.
    double radial_probes(const Observation* pending) const noexcept;
    // Kendall's tau of the order of near inputs on the other side of the boundary against their distance to
    // the first anchor; NaN below 24.
    double anchor_trend() const noexcept;
    // Whether some cluster has enough scored members for score_ascents to be a signal.
    bool climbs() const noexcept;

    // Layout; only the member functions touch it.
    void reset_answers() noexcept;
    struct Trend {
        std::uint32_t anchor;  // digest of the anchor that the distances are to
        float tau;
        std::uint16_t count;
        std::uint16_t stride;         // of the near inputs, one in so many is a sample
        std::uint16_t passed;         // since the last sample
        std::uint16_t eligible;       // to 65,535
        std::uint16_t distances[32];  // half precision
    };
    std::uint64_t owner_word;
    std::uint64_t last_time_bits;  // double, the latest time committed
    std::uint32_t recent_head;     // tickets taken
    std::uint32_t kept_clock;      // uses of the kept slots
    std::uint32_t anchors_taken;   // 0..2
    std::uint32_t probes;          // near pairs since `coordinates` was empty
    std::uint32_t bisected_since;  // seconds of the first entry, 0 none; a mask is empty a day later
    std::uint32_t coordinates_since;
    std::uint64_t bisected;      // coordinates that hits of line tests have been explained by
    std::uint64_t coordinates;   // that sparse pairs have changed
    std::uint64_t answer_claim;  // of clusters and trend
    Cluster clusters[cluster_count];
    std::uint32_t clusters_made;
    Trend trend;
    SlotMeta meta[history_count];  // recent, kept, anchors
    std::uint32_t kept_used[kept_count];
    SlotMeta head_meta;
    OutcomeRing outcomes;
    Departures departures;
    HeadRow head;
    SlotRow rows[history_count];
};

static_assert(std::is_trivially_copyable_v<HotSlab> && std::is_standard_layout_v<HotSlab>);
static_assert(sizeof(HotSlab) == 8640);

}  // namespace atlascore::track
