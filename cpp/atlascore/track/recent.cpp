#include "atlascore/track/recent.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "atlascore/track/references.hpp"

namespace atlascore::track {
namespace {

constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t first_kept = recent_count;
constexpr std::size_t first_anchor = recent_count + kept_count;
constexpr int kept_tries = 4;

// --- outcomes ------------------------------------------------------------------------------------
//
//   word 0   tag 8 | flags 8 | 16 for distance or margin | time 32, in 1/64 s, modulo 2^32 (776 days)
//   word 1   tag 8 | survival 8, in 1/255 | 16 for the label | digest 32
//
// The tag is the round of the ring mixed with the owner, equal in both words of one outcome.

constexpr double ticks_per_second = 64.0;
enum OutcomeFlag : std::uint8_t {
    near_pair = 1,
    duplicate = 2,
    compared = 4,
    comparable = 8,
    calibrated = 16
};

std::uint32_t ticks(double now) noexcept {
    constexpr double limit = 1e15;
    return static_cast<std::uint32_t>(
        static_cast<std::int64_t>(std::floor(std::clamp(now * ticks_per_second, -limit, limit))));
}

std::uint8_t outcome_tag(std::uint32_t ticket, std::uint64_t owner) noexcept {
    return static_cast<std::uint8_t>((ticket / outcome_count + 1) ^ (owner >> 56) ^ (owner >> 28));
}

std::uint8_t flags_of(const Observation& o) noexcept {
    return static_cast<std::uint8_t>((o.near ? near_pair : 0) | (o.duplicate ? duplicate : 0) |
                                     (o.compared ? compared : 0) | (o.comparable ? comparable : 0) |
                                     (o.calibrated ? calibrated : 0));
}

std::uint8_t survival_byte(const Observation& o) noexcept {
    return o.compared ? static_cast<std::uint8_t>(std::lround(std::clamp(o.survival, 0.0f, 1.0f) * 255.0f))
                      : 0;
}

// Counts of 8 bits side by side in one word, so that an outcome costs one addition and no branch; what an
// outcome is follows no pattern that a processor could learn.
enum TallyShift {
    count_queries = 0,
    count_duplicates = 8,
    count_originals = 16,
    count_near = 24,
    count_compared = 32,
    sum_survival = 40
};

constexpr std::array<std::uint64_t, 16> tally_of_flags = [] {
    std::array<std::uint64_t, 16> table{};
    for (std::uint64_t flags = 0; flags < 16; ++flags) {
        const bool original = (flags & duplicate) == 0;
        table[flags] = 1ull << count_queries | static_cast<std::uint64_t>(!original) << count_duplicates |
                       static_cast<std::uint64_t>(original && flags & comparable) << count_originals |
                       static_cast<std::uint64_t>(original && flags & near_pair) << count_near |
                       static_cast<std::uint64_t>(original && flags & compared) << count_compared;
    }
    return table;
}();

std::uint64_t tally(std::uint64_t flags, std::uint64_t survival) noexcept {
    const std::uint64_t counts = tally_of_flags[flags & 15];
    return counts + (survival * (counts >> count_compared & 1) << sum_survival);
}

double ratio(double part, std::uint64_t whole) noexcept {
    return whole < minimum_outcomes ? std::numeric_limits<double>::quiet_NaN()
                                    : part / static_cast<double>(whole);
}

WindowSummary summary_of(std::uint64_t sum) noexcept {
    const auto count = [sum](TallyShift shift) { return sum >> shift & 255; };
    return {ratio(static_cast<double>(sum >> sum_survival) / 255.0, count(count_compared)),
            ratio(static_cast<double>(count(count_near)), count(count_originals)),
            ratio(static_cast<double>(count(count_duplicates)), count(count_queries))};
}

// --- history -------------------------------------------------------------------------------------

// What of the history can be compared with a sketch: sequence words (0: not this one) of published slots of
// its space.
struct Candidates {
    std::uint32_t sequences[history_count];
    std::uint32_t digests[history_count];
    std::size_t recent = 0;      // recent slots ever used
    std::uint32_t distinct = 0;  // inputs
    bool duplicate = false;      // one of them is the input itself
};

bool contains(const std::uint32_t* digests, const std::uint32_t* sequences, std::size_t count,
              std::uint32_t digest) noexcept {
    bool found = false;
    for (std::size_t i = 0; i < count; ++i) found |= (sequences[i] != 0) & (digests[i] == digest);
    return found;
}

Candidates find_candidates(const HotSlab& slab, std::uint32_t space, std::uint32_t digest) noexcept {
    Candidates c;
    c.recent = std::min<std::size_t>(shared_load(slab.recent_head), recent_count);
    for (std::size_t i = 0; i < history_count; ++i) {
        const bool used = i < c.recent || i >= first_kept;
        c.sequences[i] = used ? published(slab.meta[i], space) : 0;
        c.digests[i] = shared_load(slab.meta[i].digest, std::memory_order_acquire);
        if (c.sequences[i] == 0) continue;
        c.duplicate |= c.digests[i] == digest;
        // Kept sketches and anchors are copies: an input that is still recent counts once.
        const bool copy = i >= first_kept && contains(c.digests, c.sequences, i, c.digests[i]);
        c.distinct += !copy;
    }
    return c;
}

bool seen_in_outcomes(const HotSlab& slab, std::uint64_t owner, std::uint32_t digest) noexcept {
    const std::uint32_t head = shared_load(slab.outcome_head, std::memory_order_acquire);
    const std::uint32_t count = std::min<std::uint32_t>(head, outcome_count);
    for (std::uint32_t ticket = head - count; ticket != head; ++ticket) {
        const std::uint64_t word = shared_load(slab.outcomes[ticket % outcome_count].words[1]);
        if (static_cast<std::uint32_t>(word) == digest && word >> 56 == outcome_tag(ticket, owner))
            return true;
    }
    return false;
}

// The nearest candidate whose stored sketch is whole. Torn ones are struck off the candidates.
int find_nearest(const HotSlab& slab, std::uint64_t owner, const Sketch& sketch, Candidates& c,
                 float& raw) noexcept {
    float raws[history_count];
    raw_distances(sketch, slab.rows, c.recent, raws);
    raw_distances(sketch, slab.rows + first_kept, history_count - first_kept, raws + first_kept);
    while (true) {
        int best = -1;
        raw = std::numeric_limits<float>::infinity();
        for (std::size_t i = 0; i < history_count; ++i) {
            if (c.sequences[i] != 0 && raws[i] < raw) {
                raw = raws[i];
                best = static_cast<int>(i);
            }
        }
        if (best < 0) return best;
        SlotRow whole;
        if (read_slot(slab.meta[best], slab.rows[best], c.sequences[best], owner, whole)) {
            // Whole now need not have been whole when it was measured: a late writer can finish in between.
            float again;
            raw_distances(sketch, &whole, 1, &again);
            if (std::abs(again - raw) <= 1e-4f * raw) return best;
        }
        c.sequences[best] = 0;
        --c.distinct;
    }
}

// The slot of a new kept sketch: where it is already, or the least recently used one. -1: lost to other
// writers.
int claim_kept(HotSlab& slab, std::uint32_t digest, std::uint32_t space, bool& present) noexcept {
    const std::uint32_t use =
        std::atomic_ref<std::uint32_t>(slab.kept_clock).fetch_add(1, std::memory_order_relaxed) + 1;
    for (std::size_t i = 0; i < kept_count; ++i) {
        const SlotMeta& meta = slab.meta[first_kept + i];
        present = published(meta, space) != 0 && shared_load(meta.digest) == digest;
        if (!present) continue;
        shared_store(slab.kept_used[i], use);
        return static_cast<int>(i);
    }
    for (int attempt = 0; attempt < kept_tries; ++attempt) {
        std::size_t oldest = 0;
        std::uint32_t used = shared_load(slab.kept_used[0]);
        for (std::size_t i = 1; i < kept_count; ++i) {
            const std::uint32_t other = shared_load(slab.kept_used[i]);
            if (other < used) {
                used = other;
                oldest = i;
            }
        }
        if (shared_exchange_if(slab.kept_used[oldest], used, use)) return static_cast<int>(oldest);
    }
    return -1;
}

void keep(HotSlab& slab, const SlotRow& content, std::uint32_t digest, std::uint32_t space,
          std::uint64_t owner) noexcept {
    bool present = false;
    const int slot = claim_kept(slab, digest, space, present);
    if (slot < 0 || present) return;
    const std::size_t at = first_kept + static_cast<std::size_t>(slot);
    write_slot(slab.meta[at], slab.rows[at], content, digest, space, owner);
}

void keep_neighbour(HotSlab& slab, const Observation& o, std::uint32_t space) noexcept {
    if (o.nearest_slot < 0) return;
    const auto at = static_cast<std::size_t>(o.nearest_slot);
    const std::uint32_t digest = shared_load(slab.meta[at].digest, std::memory_order_acquire);
    SlotRow content;
    if (read_slot(slab.meta[at], slab.rows[at], o.nearest_sequence, o.owner, content)) {
        keep(slab, content, digest, space, o.owner);
    }
}

void take_anchor(HotSlab& slab, const SlotRow& content, std::uint32_t digest, std::uint32_t space,
                 std::uint64_t owner) noexcept {
    const std::uint32_t taken = shared_load(slab.anchors_taken);
    if (taken >= anchor_count || !shared_exchange_if(slab.anchors_taken, taken, taken + 1)) return;
    write_slot(slab.meta[first_anchor + taken], slab.rows[first_anchor + taken], content, digest, space,
               owner);
}

void push_recent(HotSlab& slab, const SlotRow& content, std::uint32_t digest, std::uint32_t space,
                 std::uint64_t owner) noexcept {
    const std::uint32_t ticket =
        std::atomic_ref<std::uint32_t>(slab.recent_head).fetch_add(1, std::memory_order_relaxed);
    const std::size_t at = ticket % recent_count;
    write_slot(slab.meta[at], slab.rows[at], content, digest, space, owner);
}

void push_outcome(HotSlab& slab, const Observation& o, double now) noexcept {
    const std::uint32_t ticket =
        std::atomic_ref<std::uint32_t>(slab.outcome_head).fetch_add(1, std::memory_order_acq_rel);
    const std::uint64_t tag = static_cast<std::uint64_t>(outcome_tag(ticket, o.owner)) << 56;
    auto& words = slab.outcomes[ticket % outcome_count].words;
    shared_store(words[0], tag | static_cast<std::uint64_t>(flags_of(o)) << 48 | ticks(now));
    shared_store(words[1], tag | static_cast<std::uint64_t>(survival_byte(o)) << 48 |
                               static_cast<std::uint32_t>(o.digest_tag));
}

// Returns whether the track had been silent for long.
bool note_time(HotSlab& slab, double now) noexcept {
    const std::uint64_t before = shared_load(slab.last_time_bits);
    const double last = std::bit_cast<double>(before);
    if (before != 0 && now <= last) return false;
    shared_exchange_if(slab.last_time_bits, before, std::bit_cast<std::uint64_t>(now));
    return before != 0 && now - last > anchor_silence_seconds;
}

}  // namespace

void HotSlab::reset(std::uint64_t new_owner) noexcept {
    // The owner first: from here on nothing of the former one can be published so that it passes a check.
    shared_store(owner_word, new_owner, std::memory_order_seq_cst);
    for (SlotMeta& slot : meta) clear_slot(slot);
    for (Outcome& outcome : outcomes) {
        shared_store(outcome.words[0], 0);
        shared_store(outcome.words[1], 0);
    }
    for (std::uint32_t& used : kept_used) shared_store(used, 0);
    shared_store(recent_head, 0);
    shared_store(outcome_head, 0);
    shared_store(kept_clock, 0);
    shared_store(anchors_taken, 0);
    shared_store(last_time_bits, 0, std::memory_order_release);
}

std::uint64_t HotSlab::owner() const noexcept {
    return shared_load(owner_word, std::memory_order_acquire);
}

Observation HotSlab::observe(const Sketch& sketch, const ModelReferences& references, double) const noexcept {
    Observation o;
    o.owner = owner();
    o.digest_tag = sketch.digest.low;
    o.comparable = sketch.comparable();
    o.distance = o.survival = nothing;
    const auto digest = static_cast<std::uint32_t>(sketch.digest.low);
    o.duplicate = seen_in_outcomes(*this, o.owner, digest);
    if (!o.comparable || o.duplicate) return o;
    Candidates candidates = find_candidates(*this, sketch.space(), digest);
    o.duplicate = candidates.duplicate;
    if (o.duplicate || candidates.distinct == 0) return o;
    float raw;
    o.nearest_slot = find_nearest(*this, o.owner, sketch, candidates, raw);
    if (o.nearest_slot < 0) return o;
    o.nearest_sequence = candidates.sequences[o.nearest_slot];
    o.compared = true;
    o.entries = candidates.distinct;
    o.distance = distance_of(sketch, raw);
    const Reading reading = references.read(sketch, o.distance, o.entries);
    o.survival = reading.survival;
    o.near = reading.near;
    o.calibrated = reading.calibrated;
    return o;
}

void HotSlab::commit(const Sketch& sketch, const Observation& observation, double now) noexcept {
    if (owner() != observation.owner) return;
    const bool silent = note_time(*this, now);
    if (observation.comparable && !observation.duplicate) {
        const std::uint32_t space = sketch.space();
        const auto digest = static_cast<std::uint32_t>(sketch.digest.low);
        const SlotRow content = pack(sketch);
        if (silent) shared_store(anchors_taken, 0);
        if (observation.near) {
            keep_neighbour(*this, observation, space);
            keep(*this, content, digest, space, observation.owner);
        }
        take_anchor(*this, content, digest, space, observation.owner);
        push_recent(*this, content, digest, space, observation.owner);
    }
    push_outcome(*this, observation, now);
}

WindowSummary HotSlab::summary(double now, double window, const Observation* pending) const noexcept {
    const std::uint64_t tag_owner = owner();
    const std::uint32_t head = shared_load(outcome_head, std::memory_order_acquire);
    const std::uint32_t newest = pending ? outcome_count - 1 : outcome_count;
    const std::uint32_t count = std::min<std::uint32_t>(head, newest);
    const std::uint32_t now_ticks = ticks(now);
    const auto window_ticks =
        static_cast<std::uint32_t>(std::ceil(std::clamp(window * ticks_per_second, 0.0, 2147483647.0)));
    std::uint64_t sum = pending ? tally(flags_of(*pending), survival_byte(*pending)) : 0;
    for (std::uint32_t ticket = head - count; ticket != head; ++ticket) {
        const auto& words = outcomes[ticket % outcome_count].words;
        const std::uint64_t first = shared_load(words[0]), second = shared_load(words[1]);
        const std::uint64_t tag = outcome_tag(ticket, tag_owner);
        // As unsigned numbers, outcomes of the future are too old.
        const bool counts = (first >> 56 == tag) & (second >> 56 == tag) &
                            (now_ticks - static_cast<std::uint32_t>(first) < window_ticks);
        sum += tally(first >> 48, second >> 48 & 255) & (0 - static_cast<std::uint64_t>(counts));
    }
    return summary_of(sum);
}

}  // namespace atlascore::track
