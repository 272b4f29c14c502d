// The last 64 queries of a hot track: what each was to the history, and what the model answered.
//
//   flags     tag 8 | flags 24 | time 32, in 1/64 s, modulo 2^32 (776 days)
//   label     tag 8 | survival 8, in 1/255 | label 16, hashed, 0 not known | digest 32
//   pair      tag 8 | distance 16, half precision | low 24 bits of the neighbour's digest | place of the best
//             score 16, plus one, 0 not known
//   trait     simd::TraitTally's form: where the input lies
//
// The tag is the round of the ring mixed with the owner, equal in the words of one outcome: an outcome
// that is half written, or of a former owner, counts as none. A response is told to its outcome by the ticket
// that the query got.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "atlascore/track/baseline.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

inline constexpr std::size_t outcome_count = 64;
// A ratio over fewer queries is missing.
inline constexpr std::uint32_t minimum_outcomes = 8;
inline constexpr std::uint32_t minimum_margins = 16;
inline constexpr std::uint32_t minimum_ranks = 30;
inline constexpr std::uint32_t minimum_times = 32;

enum OutcomeFlag : std::uint32_t {
    near_pair = 1u << 0,
    duplicate = 1u << 1,
    compared = 1u << 2,
    comparable = 1u << 3,
    halving = 1u << 4,
    between_labels = 1u << 5,
    sparse_pair = 1u << 6,
    original = 1u << 7,  // comparable and no duplicate
    // from the response
    margin = 1u << 8,  // known
    tested = 1u << 9,  // the labels of the near pair have been compared
    flip = 1u << 10,
    near_margin = 1u << 11,  // a near pair whose margin is known
    near_low_margin = 1u << 12,
    descent = 1u << 13,
    ascent = 1u << 14,
    low_margin = 1u << 15,
    answered = 1u << 16,
};

// Over the queries of one window. NaN: fewer than the minimum.
struct WindowSummary {
    double similarity_score;   // mean survival of the compared queries that are no duplicates
    double near_ratio;         // near pairs / comparable queries that are no duplicates
    double duplicate_ratio;    // duplicates / queries
    double label_flip_rate;    // near pairs whose labels differ / those whose labels are known
    double near_margin_share;  // near pairs with a low margin / those with a margin
    double halving_hits;       // queries
    double collinear_flips;    // queries
    double score_ascents;      // climb hits, the larger of descents and ascents
};

// Means over the queries of one window. NaN: fewer than the minimum.
struct TraitSummary {
    double off_grid_ratio;
    double manifold_rank;
};

struct OutcomeRing {
    struct Entry {
        std::uint32_t flags = 0;
        std::uint8_t survival = 0;
        std::uint16_t label = 0;
        std::uint32_t digest = 0;
        float distance = 0;
        std::uint32_t neighbour = 0;  // low 24 bits of its digest
        std::uint16_t best_score = 0;
        std::uint32_t traits = 0;  // without the tag
    };
    // NaN: not known.
    static std::uint32_t traits_of(float rank, float off_grid) noexcept;

    // Takes n consecutive tickets; returns the first.
    std::uint32_t take(std::uint32_t n) noexcept;
    void write(std::uint32_t ticket, std::uint64_t owner, const Entry& entry, double now) noexcept;
    // The outcome of a ticket; none when it has been overwritten.
    std::optional<Entry> read(std::uint32_t ticket, std::uint64_t owner) const noexcept;
    // Gives the outcome its label. False when it has one already, or is gone.
    bool set_label(std::uint32_t ticket, std::uint64_t owner, std::uint16_t label) noexcept;
    void set_best_score(std::uint32_t ticket, std::uint64_t owner, std::uint16_t place) noexcept;
    // Adds flags; returns those it had before, none when the outcome is gone. Who adds a flag first is told
    // so by its absence.
    std::optional<std::uint32_t> add_flags(std::uint32_t ticket, std::uint64_t owner,
                                           std::uint32_t more) noexcept;

    bool holds_digest(std::uint64_t owner, std::uint32_t digest) const noexcept;
    // Tickets [first(), end()) may still be there.
    std::uint32_t end() const noexcept { return shared_load(head, std::memory_order_acquire); }
    std::uint32_t first() const noexcept {
        const std::uint32_t last = end();
        return last - (last < outcome_count ? last : static_cast<std::uint32_t>(outcome_count));
    }
    // Over the queries with time in (now - window, now], at most 64, `pending` (may be null) being the
    // newest.
    WindowSummary summary(std::uint64_t owner, double now, double window,
                          const Entry* pending) const noexcept;
    TraitSummary traits_summary(std::uint64_t owner, double now, double window,
                                const Entry* pending) const noexcept;
    // Over the queries of [from, until), at most 64; without what they have cost.
    BlockMeans block_means(std::uint64_t owner, double from, double until) const noexcept;
    // 1 less the coefficient of variation of the times between the window's queries, at least 0; NaN below 32
    // queries, or when all came at once. `pending`: one at `now` is under way.
    double timing_regularity(std::uint64_t owner, double now, double window, bool pending) const noexcept;
    // Median distance of the last 32 near pairs before the ticket; NaN below 8 of them.
    float median_near_distance(std::uint32_t before, std::uint64_t owner) const noexcept;
    void clear() noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t flags[outcome_count];
    std::uint64_t labels[outcome_count];
    std::uint64_t pairs[outcome_count];
    std::uint32_t traits[outcome_count];
    std::uint32_t head;  // tickets taken
    std::uint32_t room;
};

}  // namespace atlascore::track
