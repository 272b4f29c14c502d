// The state of every (principal, model): cold records in a KeyTable, hot slabs from a bounded pool.
//
// Cold record, 256 B
//   word 0      generation
//   word 1      newest time (double)
//   word 2      link to a hot slab: slab + 1 in the high half, its generation in the low half; 0 none
//   word 3      standing decision: until (s, 32 bits) | generation 4 | action 2 | repeats 6 | response 20
//   word 4      token bucket of a `rate` constraint: theoretical arrival time (double)
//   words 5, 6  commitment of the principal for the log
//   words 7-12  evidence of a track whose slab is gone (evidence::pack)
//   word 13     queries for which a delayed BLOCK was called, 32 | generation 32
//   word 14     queries spent of the model's extraction budget (budget.hpp)
//   word 15     first seen with a prompt (64 s, 26 bits) | day 8 | prompts of that day 14 | generation 16
//   words 16-31 coarse window rings, 16 words over all horizons
//
// Hot slab: the history (recent.hpp), 64 words of finer rings, the evidence, the calls with parameters, the
// largest costs, the records with twins or what prompts say (prompt_use.hpp), the number of distinct inputs,
// what was answered, where the principal's record is, and the shapes of the inputs (shapes.hpp).
//
// Both rings are written for every query of a hot track; the coarse one is the truth that survives the slab.
// A reading takes the coarse ring while its oldest bucket is empty, because then it is exact, and otherwise
// the fine one, as soon as the slab has watched the track for the whole horizon.
//
// Pool (slab_groups.hpp). A new track gets a slab with its first input and is on probation: a newcomer takes
// the oldest slab on probation of a group of 64, each group in its turn, and never one of the main part. At
// its 16th query within the longest horizon, or at once with a near pair, a track moves to the main part,
// three quarters of each group. When that is full, a near pair takes the place of the least valuable and
// least recently used of the group, a busy track only that of a silent one. Tracks worth Keep::standing have
// a right to a quarter of each group: while they hold more, whoever comes takes the place of the one of them
// with the lowest evidence, and one of them comes in only with as much. So accounts made by the thousand,
// each with a standing decision, take each other's places, not those of other suspects or of ordinary busy
// tracks. Whose place is taken is on probation from then on.
//
// Who may see what when
//   owner       is claimed while a slab changes hands. A process killed in between costs nothing: its claim
//               is taken over when the slab has its turn, or its place in the main part by who comes next.
//               The claimer gives the owner back when the track was promoted after the slab was chosen.
//   generation  goes up before the slab's bits are cleared. Who enters the main part reads it after setting
//               its bit and takes the bit back when the slab is no longer its own.
//   main        is a bit in the group, the only truth there is: nothing is counted that a kill could put out.
//   keep        copies the class in the KeyTable for the time in the main part. A copy that was written while
//               the slab changed hands is put right when the track enters or is kept again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "atlascore/track/answer_profile.hpp"
#include "atlascore/track/baseline_table.hpp"
#include "atlascore/track/distinct.hpp"
#include "atlascore/track/key_table.hpp"
#include "atlascore/track/largest_costs.hpp"
#include "atlascore/track/logprob_harvest.hpp"
#include "atlascore/track/prompt_use.hpp"
#include "atlascore/track/recent.hpp"
#include "atlascore/track/shapes.hpp"
#include "atlascore/track/shared_inputs.hpp"
#include "atlascore/track/slab_groups.hpp"
#include "atlascore/track/twin_counts.hpp"
#include "atlascore/track/window.hpp"
#include "atlascore/track/window_table.hpp"

namespace atlascore::track {

inline constexpr std::size_t evidence_words = 20;
inline constexpr std::size_t packed_evidence_words = 6;

// Rows and prompts share a part of the slab; the first of either has it for as long as the slab is this
// track's. A writer of the one that slept while the slab went to a track with the other may spoil a word of
// it.
enum class SlabUse : std::uint8_t { none, rows, prompts };

struct alignas(64) HotTrack {
    HotSlab similarity;
    std::uint64_t watched_since;  // double: the first time at which the fine rings saw every query
    std::uint64_t rings[64];
    std::uint64_t evidence[evidence_words];
    LogprobHarvest harvest;
    LargestCosts costs;
    union {
        TwinCounts twins;
        PromptUse prompts;
    };
    SharedInputs shared;
    DailyDistinct inputs;
    AnswerProfile answers;
    std::uint64_t principal;  // where the principal's record was found last (principal_table.hpp)
    Shapes shapes;
};
static_assert(sizeof(HotTrack) == 10'176);

struct HotRef {
    std::uint32_t slab = SlotRef::none;
    std::uint32_t generation = 0;
    explicit operator bool() const noexcept { return slab != SlotRef::none; }
};

// How evidence goes from a slab to the cold record and back, and what it comes to; the layer that knows its
// form supplies it.
struct EvidenceForm {
    void (*pack)(const std::uint64_t* words, std::uint32_t generation, std::uint64_t* out) noexcept = nullptr;
    // False when nothing was packed for this generation of the record, which the low half of the first word
    // has; 0 stands for nothing.
    bool (*unpack)(const std::uint64_t* packed, std::uint32_t generation,
                   std::uint64_t* out) noexcept = nullptr;
    // How much it is in all, by which those of Keep::standing are compared; without it they are equal.
    double (*total)(const std::uint64_t* words, double now) noexcept = nullptr;
};

// A decision that outlives its query: made by a response with `duration`.
struct Standing {
    std::uint32_t until = 0;     // seconds
    std::uint8_t action = 0;     // policy::Action
    std::uint8_t repeats = 0;    // how often it was made, for growing durations
    std::uint32_t response = 0;  // 20 bits of the response's name hash
};

class TrackTable {
  public:
    static constexpr std::uint32_t record_words = 32;
    static constexpr std::uint32_t cold_ring_words = 16;
    static constexpr std::uint32_t hot_ring_words = 64;
    static constexpr std::uint32_t budget_word = 14;
    static constexpr double promotion_queries = 16;

    static std::vector<std::uint64_t> section_bytes(std::uint64_t capacity, std::uint32_t hot);
    // `first_section`: where section_bytes() begin in the region. horizons: seconds, ascending, at most 8.
    TrackTable(base::Region& region, std::size_t first_section, std::uint64_t capacity, std::uint32_t hot,
               std::span<const double> horizons, const EvidenceForm& evidence = {}) noexcept;

    // One query's hold on its track; valid for the call.
    struct Track {
        SlotRef slot;
        std::uint64_t tag = 0;
        std::uint64_t* words = nullptr;
        HotRef hot;
        double newest = 0;  // the later of the query's time and the track's newest
    };

    // Makes it if it is new. `prefetched`: as in KeyTable.
    Track open(std::uint64_t tag, double now, bool prefetched = false) noexcept;
    std::optional<Track> look(std::uint64_t tag, double now) const noexcept;
    bool holds(const Track& track) const noexcept { return keys_.holds(track.slot, track.tag); }
    void prefetch(std::uint64_t tag) const noexcept { keys_.prefetch(tag); }

    double count(const Track& track, std::size_t horizon) const noexcept;
    // Count n queries at `now`. False when the query is too late for at least one horizon.
    bool add(Track& track, double now, std::uint64_t n) noexcept;

    // Null when the slab has moved on.
    HotTrack* hot(const HotRef& ref) const noexcept {
        if (!ref) return nullptr;
        const std::uint32_t now =
            std::atomic_ref(infos_[ref.slab].generation).load(std::memory_order_acquire);
        return now == ref.generation ? hot_tracks_ + ref.slab : nullptr;
    }
    // Gives the track a slab if it has none. `seen`: it has queries that a fine ring would miss.
    void warm(Track& track, double now, bool seen) noexcept;
    // Off probation, with a slab if it has none. When the main part of its group is full, an urgent track
    // takes the place of the least valuable, any other only that of one without a query in the longest
    // horizon, and both that of the lowest evidence of Keep::standing while those are more than a quarter.
    void promote(Track& track, double now, bool urgent) noexcept;
    bool promoted(const Track& track) const noexcept;
    void touch(const Track& track) noexcept;  // recency of the slab
    void keep(const Track& track, Keep value) noexcept;

    // The records with twins; none without a slab, or when the track sends prompts. What prompts say; none
    // without any.
    std::optional<TwinCounts> twins(const HotRef& ref) const noexcept;
    std::optional<PromptUse> prompts(const HotRef& ref) const noexcept;
    // To be added to; null for the same reasons.
    TwinCounts* claim_twins(const HotRef& ref) const noexcept;
    PromptUse* claim_prompts(const HotRef& ref) const noexcept;

    // What its slab notes of the track's baseline (baseline_table.hpp); nothing without a slab.
    BaselineNote baseline_note(const HotRef& ref) const noexcept {
        if (!ref) return {};
        const std::uint64_t word = shared_load(infos_[ref.slab].baseline, std::memory_order_acquire);
        return hot(ref) != nullptr ? BaselineNote::of(word) : BaselineNote{};
    }
    bool set_baseline_note(const HotRef& ref, const BaselineNote& before, const BaselineNote& value) noexcept;

    // What a track has against it, from its slab or its cold record. False, and `out` as it was, when
    // nothing.
    bool evidence(const Track& track, std::span<std::uint64_t, evidence_words> out) const noexcept;

    Standing standing(const Track& track) const noexcept;
    bool set_standing(const Track& track, const Standing& before, const Standing& value) noexcept;
    // How many queries of this track have called for a BLOCK that is delayed.
    std::uint32_t delayed(const Track& track) const noexcept;
    void add_delayed(const Track& track) noexcept;
    // When the track's first prompt came, in seconds, to the minute; 0 before that.
    double first_prompt(const Track& track) const noexcept;
    void set_first_prompt(const Track& track, double now) noexcept;
    // One more prompt of this day (UTC): so many are they now, at most 16,383. 0: not counted.
    std::uint32_t count_prompt(const Track& track, double now) noexcept;
    // GCRA: whether a query of weight n conforms to `per_second` with a burst of max(1, per_second).
    bool within_rate(const Track& track, double now, double per_second, std::uint64_t n) noexcept;
    std::uint8_t* commitment(const Track& track) const noexcept {
        return reinterpret_cast<std::uint8_t*>(track.words + 5);
    }

    const KeyTable& keys() const noexcept { return keys_; }
    std::uint32_t hot_slabs() const noexcept { return slabs_; }
    struct HotCensus {
        std::uint64_t used = 0, probation = 0, claimed = 0;
    };
    HotCensus hot_census() const noexcept;

  private:
    struct alignas(32) SlabInfo {
        std::uint64_t owner;  // slot + 1 in the high half, the slot's generation in the low half; or a claim
        std::uint32_t generation;
        std::uint8_t recency;    // 0..3
        std::uint8_t keep;       // Keep; of a slab in the main part
        std::uint8_t use;        // SlabUse
        std::uint64_t used_at;   // double: time of the last query
        std::uint64_t baseline;  // BaselineNote
    };

    // What a record says of the prompts of its track; zeros when it has changed hands.
    struct PromptDay {
        std::uint64_t word = 0;
        std::uint32_t first = 0;  // in ticks
        std::uint8_t day = 0;     // of the number of the day, the low bits
        std::uint32_t prompts = 0;
    };
    static constexpr double prompt_tick = 64;  // seconds
    static constexpr std::uint32_t most_prompts = (1u << 14) - 1;

    PromptDay prompt_day(const Track& track) const noexcept;
    bool set_prompt_day(const Track& track, PromptDay& before, const PromptDay& value) noexcept;

    // Who wants into the main part.
    struct Applicant {
        const Track& track;
        double now;
        bool urgent;
        Keep worth;
    };

    HotRef linked(const std::uint64_t* words) const noexcept;
    HotTrack* claim_use(const HotRef& ref, SlabUse use) const noexcept;
    SlabUse use_of(const HotRef& ref) const noexcept;
    std::uint32_t take_newcomer_slab() noexcept;
    bool take_slab(std::uint32_t slab) noexcept;
    void hand_over(Track& track, std::uint32_t slab, std::uint64_t link, double now, bool seen) noexcept;
    bool owner_links_back(std::uint32_t slab, std::uint64_t owner) const noexcept;
    bool is_orphan(std::uint32_t slab) const noexcept;
    void enter_with_new_slab(Track& track, const Applicant& applicant) noexcept;
    void enter_main(const Track& track, std::uint32_t victim, Keep worth) noexcept;
    std::optional<std::uint32_t> find_place(std::uint32_t group, const Applicant& applicant) noexcept;
    template <typename Visit>
    void each_lane(std::uint32_t group, std::uint64_t lanes, Visit&& visit) const noexcept;
    std::uint32_t least_evident(std::uint32_t group, double now, double& lowest) noexcept;
    std::uint32_t least_valuable(std::uint32_t group) noexcept;
    std::uint32_t a_silent_one(std::uint32_t group, double now) noexcept;
    unsigned lower_recency(std::uint32_t slab) noexcept;
    double used_at(std::uint32_t slab) const noexcept;
    double slab_evidence(std::uint32_t slab, double now) const noexcept;
    double evidence_total(const Track& track, double now) const noexcept;
    void count_demotion(std::uint32_t slab) noexcept;
    void set_worth(std::uint32_t slab, Keep value) noexcept;
    void save_evidence(std::uint32_t slab, std::uint64_t owner) noexcept;
    bool saved_evidence(const Track& track, std::uint64_t* out) const noexcept;

    base::Region* region_;
    EvidenceForm form_;
    KeyTable keys_;
    SlabInfo* infos_;
    HotTrack* hot_tracks_;
    SlabGroups groups_;
    std::uint32_t slabs_;
    std::vector<WindowShape> cold_;
    std::vector<WindowShape> fine_;
};

}  // namespace atlascore::track
