#include "atlascore/track/recent.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "atlascore/base/bits.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/references.hpp"

namespace atlascore::track {
namespace {

constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t first_kept = recent_count;
constexpr std::size_t first_anchor = recent_count + kept_count;
constexpr int kept_tries = 4;
constexpr std::uint32_t least_turning_width = 256;  // directions of few features repeat by chance
constexpr float natural_off_grid = 0.01f;           // below it ordinary inputs keep to the grid

// --- history -------------------------------------------------------------------------------------

// What of the history can be compared with a sketch: bit i stands for slot i.
struct Candidates {
    std::uint32_t sequences[history_count];
    std::uint64_t keys[history_count];  // SlotKey words
    std::uint64_t comparable = 0;       // published slots of the sketch's space
    std::uint64_t copies = 0;           // kept sketches and anchors are copies: an input counts once
    std::size_t recent = 0;             // recent slots ever used
    bool duplicate = false;             // one of them is the input itself
    bool labels_differ = false;

    bool has(std::size_t i) const noexcept { return (comparable >> i & 1) != 0; }
    std::uint16_t label(std::size_t i) const noexcept { return static_cast<std::uint16_t>(keys[i]); }
    std::uint32_t digest(std::size_t i) const noexcept { return static_cast<std::uint32_t>(keys[i] >> 32); }
    std::uint32_t distinct() const noexcept { return base::count_bits(comparable & ~copies); }
};
static_assert(history_count <= 64);

// Which of the comparable slots hold an input that an earlier one of them holds.
std::uint64_t find_copies(const Candidates& c) noexcept {
    std::uint64_t copies = 0;
    // Per lower 8 bits of a digest the last slot that has them, plus one: most that are new need no search.
    std::uint8_t last[256] = {};
    for (std::uint64_t left = c.comparable; left != 0; left &= left - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(left));
        std::uint8_t& before = last[c.digest(i) & 255];
        bool copy = false;
        for (std::size_t j = 0; i >= first_kept && j < before; ++j)
            copy |= c.has(j) & (c.digest(j) == c.digest(i));
        copies |= static_cast<std::uint64_t>(copy) << i;
        before = static_cast<std::uint8_t>(i + 1);
    }
    return copies;
}

Candidates find_candidates(const HotSlab& slab, std::uint16_t space, std::uint32_t digest) noexcept {
    Candidates c;
    c.recent = std::min<std::size_t>(shared_load(slab.recent_head), recent_count);
    const std::uint64_t wanted_space = SlotKey{.space = space}.word();
    std::uint16_t least_label = 0xFFFF, greatest_label = 0;  // less one, 0xFFFF for none
    for (std::size_t i = 0; i < history_count; ++i) {
        const SlotMeta& meta = slab.meta[i];
        const std::uint32_t sequence = shared_load(meta.sequence, std::memory_order_acquire);
        const std::uint64_t key = shared_load(meta.key, std::memory_order_acquire);
        const bool used = i < c.recent || i >= first_kept;
        const bool fits =
            used & (sequence != 0) & (sequence % 2 == 0) & ((key & SlotKey::space_bits) == wanted_space);
        c.sequences[i] = sequence;
        c.keys[i] = key;
        c.comparable |= static_cast<std::uint64_t>(fits) << i;
        c.duplicate |= fits & (static_cast<std::uint32_t>(key >> 32) == digest);
        const auto label = static_cast<std::uint16_t>(fits ? key : 0);
        least_label = std::min(least_label, static_cast<std::uint16_t>(label - 1));
        greatest_label = std::max(greatest_label, label);
    }
    c.labels_differ = greatest_label != 0 && greatest_label - 1 != least_label;
    if (!c.duplicate) c.copies = find_copies(c);
    return c;
}

// Raw distances to all candidates; what is none gets any number.
void measure(const HotSlab& slab, const Sketch& sketch, const Candidates& c, float* raws) noexcept {
    raw_distances(sketch, slab.rows, c.recent, raws);
    raw_distances(sketch, slab.rows + first_kept, history_count - first_kept, raws + first_kept);
}

// The nearest candidate whose stored sketch is whole, and that sketch; -1 when there is none. Torn ones are
// struck off the candidates.
int find_nearest(const HotSlab& slab, std::uint64_t owner, const Sketch& sketch, Candidates& c,
                 const float* raws, SlotRow& whole) noexcept {
    while (c.comparable != 0) {
        auto best = static_cast<std::size_t>(std::countr_zero(c.comparable));
        for (std::uint64_t left = c.comparable; left != 0; left &= left - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(left));
            best = raws[i] < raws[best] ? i : best;
        }
        if (read_slot(slab.meta[best], slab.rows[best], c.sequences[best], owner, whole)) {
            // Whole now need not have been whole when it was measured: a late writer can finish in between.
            float again;
            raw_distances(sketch, &whole, 1, &again);
            if (std::abs(again - raws[best]) <= 1e-4f * raws[best]) return static_cast<int>(best);
        }
        c.comparable &= ~(std::uint64_t{1} << best);
    }
    return -1;
}

// --- lines ---------------------------------------------------------------------------------------

constexpr std::size_t bracket_neighbours = 4;
// Two steps that are each within 8.1 degrees of a third are within 16.2 of each other.
constexpr float bracket_filter = 0.955f;

// The four nearest inputs, nearest first; fewer when there are fewer.
std::size_t nearest_four(const Candidates& c, const float* raws, std::size_t* out) noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < history_count; ++i) {
        if (((c.comparable & ~c.copies) >> i & 1) == 0) continue;
        if (count == bracket_neighbours && !(raws[i] < raws[out[count - 1]])) continue;
        std::size_t at = count < bracket_neighbours ? count++ : count - 1;
        for (; at > 0 && raws[i] < raws[out[at - 1]]; --at) out[at] = out[at - 1];
        out[at] = i;
    }
    return count;
}

bool read_linear(const HotSlab& slab, std::size_t at, const Candidates& c, std::uint64_t owner,
                 float* out) noexcept {
    SlotRow row;
    if (!read_slot(slab.meta[at], slab.rows[at], c.sequences[at], owner, row)) return false;
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(row.words), out);
    return true;
}

// The same in whatever state it is: for what is verified before it counts.
void peek_linear(const HotSlab& slab, std::size_t at, float* out) noexcept {
    std::uint64_t words[linear_size / 4];
    for (std::size_t i = 0; i < std::size(words); ++i) words[i] = shared_load(slab.rows[at].words[i]);
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(words), out);
}

struct BracketSearch {
    Between found;
    bool tested = false;   // pairs of different labels above the limit of precision
    bool dropped = false;  // below it
};

// Whether the input lies between one of its four nearest and any input with another label. All products of
// the four steps with the history come first; the exact test is for the few that can pass.
BracketSearch find_bracket(const HotSlab& slab, const Sketch& sketch, const Candidates& c, const float* raws,
                           Observation& o) noexcept {
    BracketSearch search;
    if (!c.labels_differ) return search;
    const float* x = sketch.linear;
    const float shortest = history_precision * std::sqrt(simd::dot(x, x, linear_size));
    const float least = std::max(shortest * shortest, std::numeric_limits<float>::min());
    std::size_t nearest[bracket_neighbours];
    const std::size_t neighbours = nearest_four(c, raws, nearest);
    alignas(64) float steps[bracket_neighbours][linear_size] = {};
    float along[bracket_neighbours] = {}, lengths[bracket_neighbours] = {};
    std::uint16_t labels[bracket_neighbours] = {};
    for (std::size_t j = 0; j < neighbours; ++j) {
        labels[j] = c.label(nearest[j]);
        if (labels[j] == 0 || raws[nearest[j]] < least) continue;
        peek_linear(slab, nearest[j], steps[j]);
        for (std::size_t i = 0; i < linear_size; ++i) steps[j][i] = x[i] - steps[j][i];
        along[j] = simd::dot(steps[j], x, linear_size);
        lengths[j] = std::sqrt(raws[nearest[j]]);
    }
    float products[history_count][bracket_neighbours];
    four_products(steps[0], slab.rows, c.recent, products[0]);
    four_products(steps[0], slab.rows + first_kept, history_count - first_kept, products[first_kept]);
    std::size_t best = bracket_neighbours;  // the bracket that is kept: of the nearest j, with the nearest k
    for (std::size_t k = 0; k < history_count; ++k) {
        const std::uint16_t label = c.label(k);
        if (!c.has(k) || label == 0) continue;
        const bool far_enough = raws[k] >= least;
        const float length = bracket_filter * std::sqrt(raws[k]);
        unsigned passing = 0, opposite = 0, resolved = 0;
        for (std::size_t j = 0; j < bracket_neighbours; ++j) {
            const unsigned bit = 1u << j;
            opposite |= (labels[j] != 0) & (labels[j] != label) ? bit : 0;
            resolved |= lengths[j] > 0 ? bit : 0;
            passing |= products[k][j] - along[j] >= lengths[j] * length ? bit : 0;
        }
        resolved = far_enough ? resolved & opposite : 0;
        search.tested |= resolved != 0;
        search.dropped |= resolved != opposite;
        for (unsigned left = resolved & passing; left != 0; left &= left - 1) {
            const auto j = static_cast<std::size_t>(std::countr_zero(left));
            float start[linear_size], end[linear_size];
            if (!read_linear(slab, nearest[j], c, o.owner, start)) continue;
            if (!read_linear(slab, k, c, o.owner, end)) continue;
            const Between b = between(x, start, end, shortest);
            if (!b.between) continue;
            search.found.between = true;
            search.found.midpoint |= b.midpoint;
            if (j > best || (j == best && raws[k] >= raws[static_cast<std::size_t>(o.bracket_slots[1])])) {
                continue;
            }
            best = j;
            o.bracket_slots[0] = static_cast<std::int32_t>(nearest[j]);
            o.bracket_slots[1] = static_cast<std::int32_t>(k);
            o.bracket_sequences[0] = c.sequences[nearest[j]];
            o.bracket_sequences[1] = c.sequences[k];
        }
    }
    return search;
}

// The step from the track's head. False: it has fewer than two predecessors.
bool find_step(const HotSlab& slab, const Sketch& sketch, std::uint64_t owner, Head& next,
               Turn& turn) noexcept {
    HeadRow row;
    const std::uint32_t sequence = published(slab.head_meta, sketch.space());
    if (sequence == 0 || !read_slot(slab.head_meta, slab.head, sequence, owner, row)) {
        next = first_head(sketch.linear);
        return false;
    }
    const Head head = unpack(row);
    turn = step_from(head, sketch.linear, next);
    return head.step > 0;
}

// --- coordinates ---------------------------------------------------------------------------------

constexpr std::uint32_t mask_seconds = 24 * 3600;
constexpr unsigned explained_coordinates = 2;
constexpr std::uint32_t minimum_near_pairs = 8;

// Never 0, which stands for no entry.
std::uint32_t whole_seconds(double now) noexcept {
    return static_cast<std::uint32_t>(std::clamp(now, 1.0, 4294967295.0));
}

bool expired(const std::uint32_t& since_word, double now) noexcept {
    const std::uint32_t since = shared_load(since_word), seconds = whole_seconds(now);
    return since == 0 || (seconds > since && seconds - since >= mask_seconds);
}

bool few(std::uint64_t dominant) noexcept {
    return base::count_bits(dominant) <= explained_coordinates;
}

// A person who bisects one slider, or sweeps two of them over a grid, does what an attacker does: a hit that
// one or two coordinates explain counts once for each of them, and for the first two not at all.
bool explained_before(const HotSlab& slab, std::uint64_t dominant, double now) noexcept {
    const std::uint64_t mask = expired(slab.bisected_since, now) ? 0 : shared_load(slab.bisected);
    return few(dominant) && ((dominant & ~mask) == 0 || few(dominant | mask));
}

void note_bisection(HotSlab& slab, const Observation& o, double now) noexcept {
    if (!(o.halving || o.between) || !few(o.dominant)) return;
    if (expired(slab.bisected_since, now)) {
        shared_store(slab.bisected, 0);
        shared_store(slab.bisected_since, whole_seconds(now));
    }
    std::atomic_ref(slab.bisected).fetch_or(o.dominant, std::memory_order_relaxed);
}

void note_coordinates(HotSlab& slab, const Observation& o, double now) noexcept {
    if (!o.sparse_observed) return;
    if (expired(slab.coordinates_since, now)) {
        shared_store(slab.coordinates, 0);
        shared_store(slab.probes, 0);
        shared_store(slab.coordinates_since, whole_seconds(now));
    }
    std::atomic_ref(slab.probes).fetch_add(1, std::memory_order_relaxed);
    if (!o.sparse) return;
    std::atomic_ref(slab.coordinates).fetch_or(o.changed, std::memory_order_relaxed);
}

// --- departures ----------------------------------------------------------------------------------

constexpr std::uint32_t minimum_departures = 6;
constexpr float centre_share = 0.6f;  // of squared distances

float median_distance(const Candidates& c, const float* raws) noexcept {
    float distances[history_count];
    std::size_t count = 0;
    std::uint64_t left = c.comparable & ~c.copies;
    if (left == 0) left = c.comparable;  // what they are copies of was torn; the nearest is among them
    for (; left != 0; left &= left - 1) distances[count++] = raws[std::countr_zero(left)];
    std::nth_element(distances, distances + count / 2, distances + count);
    return distances[count / 2];
}

void find_departures(const Departures& departures, const Candidates& c, const float* raws,
                     Observation& o) noexcept {
    const Departures::Earlier before = departures.from(o.neighbour, o.distance);
    o.departed = true;
    o.radial_observed = before.observed;
    if (!before.observed || before.same < minimum_departures || 2 * before.same < before.since) return;
    o.radial = raws[o.nearest_slot] <= centre_share * median_distance(c, raws);
}

// --- writing -------------------------------------------------------------------------------------

// The slot of a new kept sketch: where it is already, or the least recently used one. -1: lost to other
// writers.
int claim_kept(HotSlab& slab, const SlotKey& key, bool& present) noexcept {
    const std::uint32_t use =
        std::atomic_ref<std::uint32_t>(slab.kept_clock).fetch_add(1, std::memory_order_relaxed) + 1;
    for (std::size_t i = 0; i < kept_count; ++i) {
        const SlotMeta& meta = slab.meta[first_kept + i];
        present = published(meta, key.space) != 0 && key_of(meta).digest == key.digest;
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

void keep(HotSlab& slab, const SlotRow& content, const SlotKey& key, std::uint64_t owner) noexcept {
    bool present = false;
    const int slot = claim_kept(slab, key, present);
    if (slot < 0 || present) return;
    const std::size_t at = first_kept + static_cast<std::size_t>(slot);
    write_slot(slab.meta[at], slab.rows[at], content, key, owner);
}

// A slot of the history that was seen with `sequence`.
void keep_seen(HotSlab& slab, std::int32_t slot, std::uint32_t sequence, std::uint64_t owner) noexcept {
    if (slot < 0) return;
    const auto at = static_cast<std::size_t>(slot);
    const SlotKey key = key_of(slab.meta[at]);
    SlotRow content;
    if (read_slot(slab.meta[at], slab.rows[at], sequence, owner, content)) keep(slab, content, key, owner);
}

// Anchors that a model's new scale has made incomparable: the same width, another epoch (Sketch::space).
bool is_rescaled(std::uint16_t anchor, std::uint16_t now) noexcept {
    return anchor != 0 && anchor != now && (anchor ^ now) < 8;
}

void take_anchor(HotSlab& slab, const SlotRow& content, const SlotKey& key, std::uint64_t owner) noexcept {
    const std::uint32_t taken = shared_load(slab.anchors_taken);
    if (taken >= anchor_count || !shared_exchange_if(slab.anchors_taken, taken, taken + 1)) return;
    write_slot(slab.meta[first_anchor + taken], slab.rows[first_anchor + taken], content, key, owner);
}

void push_recent(HotSlab& slab, const SlotRow& content, const SlotKey& key, std::uint64_t owner) noexcept {
    const std::uint32_t ticket =
        std::atomic_ref<std::uint32_t>(slab.recent_head).fetch_add(1, std::memory_order_relaxed);
    const std::size_t at = ticket % recent_count;
    write_slot(slab.meta[at], slab.rows[at], content, key, owner);
}

// What the slot holds, and of which input; false when it is empty or being written.
template <class Row>
bool read_published(const SlotMeta& meta, const Row& row, std::uint64_t owner, SlotKey& key,
                    Row& out) noexcept {
    const std::uint32_t sequence = shared_load(meta.sequence, std::memory_order_acquire);
    key = key_of(meta);
    return sequence != 0 && sequence % 2 == 0 && read_slot(meta, row, sequence, owner, out);
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

OutcomeRing::Entry Observation::outcome() const noexcept {
    OutcomeRing::Entry entry;
    const auto flag = [&](bool is, OutcomeFlag which) { entry.flags |= is ? which : 0u; };
    flag(near, near_pair);
    flag(duplicate, track::duplicate);
    flag(compared, track::compared);
    flag(comparable, track::comparable);
    flag(halving, track::halving);
    flag(between, track::between_labels);
    flag(sparse, sparse_pair);
    flag(comparable && !duplicate, original);
    if (compared)
        entry.survival = static_cast<std::uint8_t>(std::lround(std::clamp(survival, 0.0f, 1.0f) * 255.0f));
    entry.digest = static_cast<std::uint32_t>(digest_tag);
    entry.distance = compared ? distance : 0.0f;
    entry.neighbour = neighbour & 0xFFFFFF;
    if (comparable && !duplicate) entry.traits = OutcomeRing::traits_of(rank, off_grid);
    return entry;
}

void Observation::place(const Location& where, float off_grid_share) noexcept {
    placed = where.known;
    if (where.known) {
        rank = where.rank;
        far = where.far;
        on_grid_model = where.off_grid < natural_off_grid;
    }
    off_grid = off_grid_share;
}

void HotSlab::reset(std::uint64_t new_owner) noexcept {
    // The owner first: from here on nothing of the former one can be published so that it passes a check.
    shared_store(owner_word, new_owner, std::memory_order_seq_cst);
    for (SlotMeta& slot : meta) clear_slot(slot);
    clear_slot(head_meta);
    outcomes.clear();
    departures.clear();
    for (std::uint32_t& used : kept_used) shared_store(used, 0);
    shared_store(recent_head, 0);
    shared_store(kept_clock, 0);
    shared_store(anchors_taken, 0);
    shared_store(probes, 0);
    shared_store(bisected_since, 0);
    shared_store(coordinates_since, 0);
    shared_store(bisected, 0);
    shared_store(coordinates, 0);
    reset_answers();
    shared_store(last_time_bits, 0, std::memory_order_release);
}

std::uint64_t HotSlab::owner() const noexcept {
    return shared_load(owner_word, std::memory_order_acquire);
}

void HotSlab::adopt(const HotSlab& from) noexcept {
    const std::uint64_t mine = owner(), theirs = from.owner();
    for (std::size_t i = 0; i < history_count; ++i) {
        SlotKey key;
        SlotRow content;
        if (read_published(from.meta[i], from.rows[i], theirs, key, content))
            write_slot(meta[i], rows[i], content, key, mine);
    }
    SlotKey key;
    HeadRow newest;
    if (read_published(from.head_meta, from.head, theirs, key, newest))
        write_slot(head_meta, head, newest, key, mine);
    for (std::size_t i = 0; i < kept_count; ++i) shared_store(kept_used[i], shared_load(from.kept_used[i]));
    shared_store(kept_clock, shared_load(from.kept_clock));
    shared_store(anchors_taken, shared_load(from.anchors_taken));
    shared_store(probes, shared_load(from.probes));
    shared_store(bisected_since, shared_load(from.bisected_since));
    shared_store(coordinates_since, shared_load(from.coordinates_since));
    shared_store(bisected, shared_load(from.bisected));
    shared_store(coordinates, shared_load(from.coordinates));
    departures.adopt(from.departures);
    shared_store(last_time_bits, shared_load(from.last_time_bits));
    shared_store(recent_head, shared_load(from.recent_head), std::memory_order_release);
}

void HotSlab::add_recent(const HotSlab& from) noexcept {
    const std::uint64_t mine = owner(), theirs = from.owner();
    const std::uint32_t end = shared_load(from.recent_head);
    const std::uint32_t some = std::min<std::uint32_t>(end, recent_count / 2);
    for (std::uint32_t ticket = end - some; ticket != end; ++ticket) {
        const std::size_t at = ticket % recent_count;
        SlotKey key;
        SlotRow content;
        if (read_published(from.meta[at], from.rows[at], theirs, key, content))
            push_recent(*this, content, key, mine);
    }
}

Observation HotSlab::observe(const Sketch& sketch, const ModelReferences& references, double now,
                             const Wanted& wanted, Head* next) const noexcept {
    Observation o;
    o.owner = owner();
    o.digest_tag = sketch.digest.low;
    o.comparable = sketch.comparable();
    o.distance = o.survival = nothing;
    const auto digest = static_cast<std::uint32_t>(sketch.digest.low);
    o.duplicate = outcomes.holds_digest(o.owner, digest);
    if (!o.comparable || o.duplicate) return o;
    Candidates candidates = find_candidates(*this, sketch.space(), digest);
    o.duplicate = candidates.duplicate;
    if (o.duplicate) return o;
    const bool dense = sketch.kind == SketchKind::dense;
    float raws[history_count];
    SlotRow whole;
    measure(*this, sketch, candidates, raws);
    o.nearest_slot = find_nearest(*this, o.owner, sketch, candidates, raws, whole);
    if (o.nearest_slot >= 0) {
        const auto at = static_cast<std::size_t>(o.nearest_slot);
        o.nearest_sequence = candidates.sequences[at];
        o.neighbour = candidates.digest(at);
        o.compared = true;
        o.entries = candidates.distinct();
        o.distance = distance_of(sketch, raws[at]);
        const Reading reading = references.read(sketch, o.distance, o.entries);
        o.survival = reading.survival;
        o.near = reading.near;
        o.calibrated = reading.calibrated;
    }
    if (!dense) return o;
    if ((wanted.sparse || wanted.radial) && o.near) o.changed = changed_coordinates(pack(sketch), whole);
    if (wanted.radial && o.near && is_dense(o.changed, sketch.width))
        find_departures(departures, candidates, raws, o);
    if (wanted.sparse && o.near) {
        o.sparse_observed = true;
        o.sparse = is_sparse(o.changed, sketch.width);
        const std::uint64_t known = expired(coordinates_since, now) ? 0 : shared_load(coordinates);
        o.new_coordinate = o.sparse && (o.changed & ~known) != 0;
    }
    if (!wanted.lines && !wanted.turns) return o;
    Turn turn;
    const bool two_before = find_step(*this, sketch, o.owner, *next, turn);
    if (wanted.turns && turn.measured && sketch.width >= least_turning_width) o.turn = turn.cosine;
    if (!wanted.lines) return o;
    const BracketSearch search =
        o.compared ? find_bracket(*this, sketch, candidates, raws, o) : BracketSearch{};
    o.halving = search.found.midpoint || (two_before && turn.halving());
    o.between = search.found.between;
    o.halving_observed = two_before && (turn.measured || search.tested);
    o.between_observed = two_before && (search.tested || !search.dropped);
    if (!o.halving && !o.between) return o;
    o.dominant = o.compared ? dominant_coordinates(pack(sketch), whole) : ~std::uint64_t{0};
    o.explained = explained_before(*this, o.dominant, now);
    return o;
}

void HotSlab::commit(const Sketch& sketch, const Observation& observation, double now, std::uint32_t ticket,
                     const Head* next) noexcept {
    if (owner() != observation.owner) return;
    const bool silent = note_time(*this, now);
    if (observation.comparable && !observation.duplicate) {
        const SlotKey key{static_cast<std::uint32_t>(sketch.digest.low), sketch.space()};
        const SlotRow content = pack(sketch);
        if (silent || is_rescaled(key_of(meta[first_anchor]).space, key.space))
            shared_store(anchors_taken, 0);
        const Observation& o = observation;
        if (o.near) keep_seen(*this, o.nearest_slot, o.nearest_sequence, o.owner);
        for (std::size_t end : {0, 1})
            keep_seen(*this, o.bracket_slots[end], o.bracket_sequences[end], o.owner);
        if (o.near || o.bracket_slots[0] >= 0) keep(*this, content, key, o.owner);
        take_anchor(*this, content, key, observation.owner);
        push_recent(*this, content, key, observation.owner);
        note_bisection(*this, observation, now);
        note_coordinates(*this, observation, now);
        if (o.departed) departures.add(o.neighbour, o.distance, o.radial);
        if (next != nullptr && sketch.kind == SketchKind::dense) {
            write_slot(head_meta, head, pack(*next), key, observation.owner);
        }
    }
    outcomes.write(ticket, observation.owner, observation.outcome(), now);
}

WindowSummary HotSlab::summary(double now, double window, const Observation* pending) const noexcept {
    if (pending == nullptr) return outcomes.summary(owner(), now, window, nullptr);
    const OutcomeRing::Entry entry = pending->outcome();
    return outcomes.summary(owner(), now, window, &entry);
}

TraitSummary HotSlab::traits(double now, double window, const Observation* pending) const noexcept {
    if (pending == nullptr) return outcomes.traits_summary(owner(), now, window, nullptr);
    const OutcomeRing::Entry entry = pending->outcome();
    return outcomes.traits_summary(owner(), now, window, &entry);
}

double HotSlab::sparse_coordinates(const Observation* pending, double now) const noexcept {
    const bool empty = expired(coordinates_since, now);
    const bool probes_too = pending != nullptr && pending->sparse_observed;
    const std::uint32_t pairs = (empty ? 0 : shared_load(probes)) + (probes_too ? 1u : 0u);
    if (pairs < minimum_near_pairs) return std::numeric_limits<double>::quiet_NaN();
    std::uint64_t mask = empty ? 0 : shared_load(coordinates);
    if (probes_too && pending->sparse) mask |= pending->changed;
    return base::count_bits(mask);
}

double HotSlab::radial_probes(const Observation* pending) const noexcept {
    const bool one_more = pending != nullptr && pending->radial;
    return departures.radial() + (one_more ? 1 : 0);
}

}  // namespace atlascore::track
