#include "atlascore/track/references.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/near_index.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

using Distribution = ModelReferences::Distribution;

constexpr std::size_t sample_strangers = 64;  // M
constexpr std::size_t minimum_strangers = 16;
constexpr std::uint32_t sample_share = 100;  // once calibrated, one query in so many updates
constexpr std::uint32_t principal_samples = calibration_samples / 8;
constexpr std::uint32_t principal_updates = calibration_samples;
constexpr double half_life_seconds = 24 * 3600.0;
constexpr std::uint32_t principal_entries = 4;
constexpr std::uint32_t own_entries = 64;  // places of the only principal
constexpr double own_pair_seconds = 3600.0;
constexpr double entry_refresh_seconds = 60.0;
constexpr double contributor_seconds = 60.0;
constexpr std::size_t reservoir_run = 16;  // rows compared at a time
constexpr std::uint32_t cold_near_samples = 200;
constexpr float cold_scale_dense = 0.1f, cold_scale_text = 0.3f;
constexpr int read_tries = 4;
constexpr double lowest_log2 = -16, bins_per_octave = reference_bins / 20.0;

// Lower edges of the bins, and the upper edge of the last.
const std::array<double, reference_bins + 1> edges = [] {
    std::array<double, reference_bins + 1> table{};
    for (std::size_t i = 0; i <= reference_bins; ++i) {
        table[i] = std::exp2(lowest_log2 + static_cast<double>(i) / bins_per_octave);
    }
    return table;
}();

std::size_t bin_of(double distance) noexcept {
    const double place = (std::log2(std::max(distance, edges[0])) - lowest_log2) * bins_per_octave;
    auto bin = static_cast<std::size_t>(std::clamp(place, 0.0, reference_bins - 1.0));
    // The logarithm may be off by a rounding at an edge.
    if (bin > 0 && distance < edges[bin]) --bin;
    if (bin + 1 < reference_bins && distance >= edges[bin + 1]) ++bin;
    return bin;
}

// Linear between the edges of the bin; 0 below the first and 1 above the last.
double inside_bin(double distance, std::size_t bin) noexcept {
    return std::clamp((distance - edges[bin]) / (edges[bin + 1] - edges[bin]), 0.0, 1.0);
}

double quantile(const Distribution& d, double share) noexcept {
    double below = 0;
    for (std::size_t bin = 0; bin < reference_bins; ++bin) {
        const double part = d.bins[bin] / d.weight;
        if (part > 0 && below + part >= share) {
            return edges[bin] + (share - below) / part * (edges[bin + 1] - edges[bin]);
        }
        below += part;
    }
    return edges[reference_bins];
}

// --- the reservoir -------------------------------------------------------------------------------

// Uniform in [0, 1), the same for a principal's place always: traffic cannot improve it.
double priority(std::uint64_t principal, std::uint32_t place) noexcept {
    return static_cast<double>(base::mix64(principal, place + 1) >> 11) * 0x1p-53;
}

struct Update {
    const Sketch& sketch;
    std::uint64_t principal;
    double now;
    SlotKey key;
    float off_grid;
};

bool alone(const ModelReferences& r, std::uint64_t principal) noexcept {
    for (std::size_t i = 0; i < reservoir_count; ++i) {
        if (shared_load(r.meta[i].sequence) != 0 && shared_load(r.entries[i].principal) != principal)
            return false;
    }
    return true;
}

struct Sample {
    float distance = 0;
    std::size_t strangers = 0;
};

// The least distance to 64 entries of other principals (or, alone, to older ones of its own), from a place
// that the digest chooses.
Sample draw_sample(const ModelReferences& r, const Update& u, bool own) noexcept {
    constexpr std::size_t runs = reservoir_count / reservoir_run;
    Sample sample;
    float least = std::numeric_limits<float>::infinity();
    const std::size_t start = u.sketch.digest.high % runs;
    for (std::size_t run = 0; run < runs && sample.strangers < sample_strangers; ++run) {
        const std::size_t first = (start + run) % runs * reservoir_run;
        float raws[reservoir_run];
        raw_distances(u.sketch, r.rows + first, reservoir_run, raws);
        for (std::size_t i = 0; i < reservoir_run && sample.strangers < sample_strangers; ++i) {
            const ModelReferences::Entry& entry = r.entries[first + i];
            const SlotMeta& meta = r.meta[first + i];
            if (published(meta, u.key.space) == 0 || key_of(meta).digest == u.key.digest) continue;
            const bool same = shared_load(entry.principal) == u.principal;
            const bool fits = own ? same && std::abs(u.now - shared_load(entry.time)) >= own_pair_seconds
                                  : !same && shared_load(entry.place) < principal_entries;
            if (!fits) continue;
            ++sample.strangers;
            least = std::min(least, raws[i]);
        }
    }
    if (sample.strangers != 0) sample.distance = distance_of(u.sketch, least);
    return sample;
}

// How much an entry deserves to go: its principal's draw, and a whole range more for every day of age.
// Entries that no sample can use go first.
double staleness(const ModelReferences& r, std::size_t i, const Update& u, bool own) noexcept {
    const ModelReferences::Entry& entry = r.entries[i];
    const std::uint32_t place = shared_load(entry.place);
    const bool useless = key_of(r.meta[i]).space != u.key.space || (!own && place >= principal_entries);
    const double age = std::max(0.0, u.now - shared_load(entry.time)) / half_life_seconds;
    return priority(shared_load(entry.principal), place) + age + (useless ? 1e9 : 0.0);
}

// The entry that this input takes, or -1.
int choose_entry(const ModelReferences& r, const Update& u, std::uint32_t place, bool own) noexcept {
    const double refresh = own ? 2 * own_pair_seconds : entry_refresh_seconds;
    int chosen = -1;
    double worst = priority(u.principal, place);
    for (std::size_t i = 0; i < reservoir_count; ++i) {
        const ModelReferences::Entry& entry = r.entries[i];
        if (shared_load(r.meta[i].sequence) == 0) {
            // Entries fill from the front, so nothing lies behind an empty one.
            return static_cast<int>(i);
        }
        if (shared_load(entry.principal) == u.principal && shared_load(entry.place) == place) {
            const bool stale =
                key_of(r.meta[i]).space != u.key.space || u.now - shared_load(entry.time) >= refresh;
            return stale ? static_cast<int>(i) : -1;
        }
        const double score = staleness(r, i, u, own);
        if (score > worst) {
            worst = score;
            chosen = static_cast<int>(i);
        }
    }
    return chosen;
}

constexpr float off_grid_steps = 65'535.0f;

// Whether it has got an entry.
bool enter_reservoir(ModelReferences& r, const Update& u, bool own) noexcept {
    const auto place =
        static_cast<std::uint32_t>((u.sketch.digest.high >> 8) % (own ? own_entries : principal_entries));
    const int at = choose_entry(r, u, place, own);
    if (at < 0) return false;
    ModelReferences::Entry& entry = r.entries[at];
    shared_store(entry.principal, u.principal);
    shared_store(entry.time, u.now);
    shared_store(entry.place, place);
    shared_store(entry.off_grid, std::isnan(u.off_grid) ? 0u
                                                        : 1 + static_cast<std::uint32_t>(
                                                                  std::lround(u.off_grid * off_grid_steps)));
    return write_slot(r.meta[at], r.rows[at], pack(u.sketch), u.key, u.principal);
}

// --- the manifold --------------------------------------------------------------------------------

constexpr std::uint32_t manifold_renewal = 8;  // one entry in so many

constexpr std::size_t manifold_words = (sizeof(Manifold) - sizeof(std::uint64_t)) / sizeof(std::uint32_t);

std::uint32_t* words_of(Manifold& m) noexcept {
    return reinterpret_cast<std::uint32_t*>(&m.sequence + 1);
}

// Of the entries that an input like this one can be compared with; into the copy that nobody reads.
void renew_manifold(ModelReferences& r, const Update& u) noexcept {
    alignas(64) float inputs[reservoir_count * linear_size];
    float off_grid[reservoir_count];
    std::size_t count = 0;
    for (std::size_t i = 0; i < reservoir_count; ++i) {
        const ModelReferences::Entry& entry = r.entries[i];
        if (published(r.meta[i], u.key.space) == 0 || shared_load(entry.place) >= principal_entries) continue;
        simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(r.rows[i].words),
                            inputs + count * linear_size);
        const std::uint32_t share = shared_load(entry.off_grid);
        off_grid[count++] = share == 0 ? -1.0f : static_cast<float>(share - 1) / off_grid_steps;
    }
    Manifold made{};
    make_manifold(std::span(inputs).first(count * linear_size), std::span(off_grid).first(count), u.key.space,
                  made);
    const std::uint32_t other = (shared_load(r.active_manifold) & 1) ^ 1;
    Manifold& to = r.manifolds[other];
    const std::uint64_t writing = shared_load(to.sequence) | 1;
    shared_store(to.sequence, writing, std::memory_order_release);
    for (std::size_t i = 0; i < manifold_words; ++i)
        shared_store(words_of(to)[i], words_of(made)[i], std::memory_order_release);
    shared_store(to.sequence, writing + 1, std::memory_order_release);
    shared_store(r.active_manifold, other, std::memory_order_release);
    shared_store(r.entries_changed, 0);
    r.coverage.follow(made);
}

std::uint32_t entries_used(const ModelReferences& r) noexcept {
    // Entries fill from the front.
    return static_cast<std::uint32_t>(
        std::partition_point(std::begin(r.meta), std::end(r.meta),
                             [](const SlotMeta& meta) { return shared_load(meta.sequence) != 0; }) -
        std::begin(r.meta));
}

void note_entry(ModelReferences& r, const Update& u) noexcept {
    if (u.sketch.kind == SketchKind::text) r.coverage.add_text(u.sketch.linear, u.key.space);
    const std::uint32_t changed = shared_load(r.entries_changed) + 1;
    shared_store(r.entries_changed, changed);
    const std::uint32_t used = entries_used(r);
    if (u.sketch.kind != SketchKind::dense || used < manifold_minimum) return;
    if (changed >= used / manifold_renewal) renew_manifold(r, u);
}

// --- the contributors ----------------------------------------------------------------------------

// A principal's record is one of four.
std::size_t contributor_set(std::uint64_t principal) noexcept {
    return base::mix64(principal, 0) % (ModelReferences::contributor_count / 4) * 4;
}

// -1: the principal has none.
int find_contributor(const ModelReferences& r, std::uint64_t principal) noexcept {
    const std::size_t first = contributor_set(principal);
    for (std::size_t i = first; i < first + 4; ++i) {
        if (shared_load(r.contributors[i].principal) == principal) return static_cast<int>(i);
    }
    return -1;
}

// A new record replaces the one of the four that was updated longest ago.
ModelReferences::Contributor& contributor(ModelReferences& r, std::uint64_t principal) noexcept {
    if (const int found = find_contributor(r, principal); found >= 0) return r.contributors[found];
    const std::size_t first = contributor_set(principal);
    std::size_t oldest = first;
    for (std::size_t i = first + 1; i < first + 4; ++i) {
        if (shared_load(r.contributors[i].seconds) < shared_load(r.contributors[oldest].seconds)) oldest = i;
    }
    ModelReferences::Contributor& taken = r.contributors[oldest];
    shared_store(taken.principal, principal);
    shared_store(taken.seconds, 0);
    shared_store(taken.updates, 0);
    shared_store(taken.samples, 0);
    return taken;
}

std::uint32_t whole_seconds(double now) noexcept {
    return static_cast<std::uint32_t>(std::clamp(now, 0.0, 4294967295.0));
}

void add_one(std::uint16_t& count) noexcept {
    const std::uint16_t before = shared_load(count);
    if (before != std::numeric_limits<std::uint16_t>::max()) shared_store(count, before + 1);
}

// --- the distribution ----------------------------------------------------------------------------

constexpr std::size_t state_words = (sizeof(Distribution) - sizeof(std::uint64_t)) / sizeof(std::uint64_t);

// Everything behind the sequence word, word by word.
const std::uint64_t* state_of(const Distribution& d) noexcept {
    return &d.sequence + 1;
}
std::uint64_t* state_of(Distribution& d) noexcept {
    return &d.sequence + 1;
}

Distribution copy_active(const ModelReferences& r) noexcept {
    Distribution copy;
    copy.sequence = 0;
    const std::uint64_t* from = state_of(r.distributions[shared_load(r.active) & 1]);
    for (std::size_t i = 0; i < state_words; ++i) state_of(copy)[i] = shared_load(from[i]);
    return copy;
}

// Into the copy that nobody reads, which then becomes the one that is read.
void publish(ModelReferences& r, const Distribution& d) noexcept {
    const std::uint32_t other = (shared_load(r.active) & 1) ^ 1;
    Distribution& to = r.distributions[other];
    const std::uint64_t writing = shared_load(to.sequence) | 1;
    shared_store(to.sequence, writing, std::memory_order_release);
    for (std::size_t i = 0; i < state_words; ++i) {
        shared_store(state_of(to)[i], state_of(d)[i], std::memory_order_release);
    }
    shared_store(to.sequence, writing + 1, std::memory_order_release);
    shared_store(r.active, other, std::memory_order_release);
}

// An empty distribution of inputs like this one; everybody may give a share of it again.
Distribution restart(ModelReferences& r, const Sketch& sketch) noexcept {
    Distribution d{};
    d.text = sketch.kind == SketchKind::text;
    d.epoch = sketch.epoch;
    publish(r, d);
    for (ModelReferences::Contributor& who : r.contributors) shared_store(who.principal, 0);
    return d;
}

bool fits(const Distribution& d, const Sketch& sketch) noexcept {
    return d.text == (sketch.kind == SketchKind::text) && (d.text || d.epoch == sketch.epoch);
}

// A query scaled before the model's scale was refined comes too late to be counted.
bool outdated(const Distribution& d, const Sketch& sketch) noexcept {
    return !d.text && d.epoch < first_declared_epoch && sketch.epoch < d.epoch;
}

void add_sample(Distribution& d, const Sample& sample, double now) noexcept {
    const double factor = std::exp2(-std::max(0.0, now - d.time) / half_life_seconds);
    for (double& bin : d.bins) bin *= factor;
    d.time = std::max(d.time, now);
    d.bins[bin_of(sample.distance)] += 1;
    d.weight = d.weight * factor + 1;
    d.strangers_sum = d.strangers_sum * factor + static_cast<double>(sample.strangers);
    d.samples += d.samples != std::numeric_limits<std::uint32_t>::max();
    d.strangers = static_cast<float>(d.strangers_sum / d.weight);
    double below = 0;
    for (std::size_t bin = 0; bin < reference_bins; ++bin) {
        d.cumulative[bin] = static_cast<float>(below / d.weight);
        below += d.bins[bin];
    }
    d.cumulative[reference_bins] = d.cumulative[reference_bins + 1] = 1.0f;
    d.q01 = static_cast<float>(quantile(d, 0.01));
    d.median = static_cast<float>(quantile(d, 0.5));
    d.reach = 0;
    if (!(d.q01 > 0 && d.median > d.q01)) return;
    const double power = std::log(0.5 / 0.01) / std::log(static_cast<double>(d.median) / d.q01);
    const double share = d.strangers / static_cast<double>(NearIndex::most_entries);
    d.reach = static_cast<float>(d.q01 * std::pow(share, 1 / power));
}

// Strangers replace what a single principal's own pairs have stood in for.
bool replaces_own_pairs(const Distribution& d, const Sample& sample, bool own) noexcept {
    return d.own_pairs != 0 && !own && sample.strangers >= minimum_strangers;
}

bool accepts(Distribution& d, const Sample& sample, bool own,
             const ModelReferences::Contributor& who) noexcept {
    if (sample.strangers < (own ? 1 : minimum_strangers)) return false;
    if (own && d.samples == 0) d.own_pairs = 1;
    if (own) return d.own_pairs != 0;
    return d.samples >= calibration_samples || shared_load(who.samples) < principal_samples;
}

// What a reader needs of the active distribution, taken in one piece.
struct View {
    std::uint32_t samples = 0, own_pairs = 0;
    float strangers = 0, q01 = 0, median = 0, reach = 0, low = 0, high = 0;
};

// False when nothing fits, or updates kept interfering; bin: the one whose edges are wanted.
bool view(const ModelReferences& r, const Sketch* sketch, std::size_t bin, View& out) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    for (int attempt = 0; attempt < read_tries; ++attempt) {
        const Distribution& d = r.distributions[shared_load(r.active, acquire) & 1];
        const std::uint64_t sequence = shared_load(d.sequence, acquire);
        Distribution head;
        head.text = shared_load(d.text, acquire);
        head.epoch = shared_load(d.epoch, acquire);
        out = {shared_load(d.samples, acquire),         shared_load(d.own_pairs, acquire),
               shared_load(d.strangers, acquire),       shared_load(d.q01, acquire),
               shared_load(d.median, acquire),          shared_load(d.reach, acquire),
               shared_load(d.cumulative[bin], acquire), shared_load(d.cumulative[bin + 1], acquire)};
        if (sequence % 2 != 0 || shared_load(d.sequence) != sequence) continue;
        return out.samples != 0 && (sketch == nullptr || fits(head, *sketch));
    }
    return false;
}

// Whether this query is one of those that update. Reads only: nearly all queries end here.
bool takes_part(const ModelReferences& r, const Sketch& sketch, std::uint64_t principal,
                double now) noexcept {
    View v;
    const bool settled = view(r, &sketch, 0, v) && v.samples >= calibration_samples;
    if (settled && (sketch.digest.high >> 16) % sample_share != 0) return false;
    const int at = find_contributor(r, principal);
    if (at < 0) return true;
    const ModelReferences::Contributor& who = r.contributors[at];
    const bool share_given =
        shared_load(who.samples) >= principal_samples || shared_load(who.updates) >= principal_updates;
    return !(settled || share_given) || now - shared_load(who.seconds) >= contributor_seconds;
}

Reading cold_reading(const Sketch& sketch, float distance, const View& v) noexcept {
    const float tau = sketch.kind == SketchKind::text ? cold_scale_text : cold_scale_dense;
    const float near = v.samples >= cold_near_samples ? 0.5f * v.median : 0.5f * tau;
    return {std::exp(-distance / tau), distance < near, false};
}

#if defined(__SANITIZE_THREAD__)
// Read as it is while it may be written; what was torn is discarded by the sequence word. The thread
// sanitizer cannot know that, so under it the reference is copied word by word.
Location locate_shared(const Manifold& active, const Sketch& sketch) noexcept {
    Manifold copy{};
    for (std::size_t i = 0; i < manifold_words; ++i)
        words_of(copy)[i] =
            shared_load(words_of(const_cast<Manifold&>(active))[i], std::memory_order_acquire);
    return copy.locate(sketch.linear, sketch.space());
}
#else
Location locate_shared(const Manifold& current, const Sketch& sketch) noexcept {
    const Location location = current.locate(sketch.linear, sketch.space());
    std::atomic_thread_fence(std::memory_order_acquire);  // the sequence word is read again behind this
    return location;
}
#endif

}  // namespace

void ModelReferences::update(const Sketch& sketch, std::uint64_t principal, double now,
                             float off_grid) noexcept {
    if (!sketch.comparable() || !takes_part(*this, sketch, principal, now)) return;
    const UpdateClaim held(claim);
    if (!held) return;
    Distribution d = copy_active(*this);
    if (outdated(d, sketch)) return;
    const Update u{sketch, principal, now,
                   SlotKey{static_cast<std::uint32_t>(sketch.digest.low), sketch.space()}, off_grid};
    const bool own = alone(*this, principal);
    const Sample sample = draw_sample(*this, u, own);
    if (!fits(d, sketch) || replaces_own_pairs(d, sample, own)) d = restart(*this, sketch);
    Contributor& who = contributor(*this, principal);
    if (accepts(d, sample, own, who)) {
        add_sample(d, sample, now);
        publish(*this, d);
        add_one(who.samples);
    }
    add_one(who.updates);
    shared_store(who.seconds, whole_seconds(now));
    if (enter_reservoir(*this, u, own)) note_entry(*this, u);
}

Reading ModelReferences::read(const Sketch& sketch, float distance, std::uint32_t compared) const noexcept {
    const std::size_t bin = bin_of(distance);
    View v;
    if (!view(*this, &sketch, bin, v)) v = View{};
    if (v.samples < calibration_samples) return cold_reading(sketch, distance, v);
    const double below = v.low + inside_bin(distance, bin) * (v.high - v.low);
    const double survival = std::pow(std::max(0.0, 1.0 - below), compared / static_cast<double>(v.strangers));
    return {static_cast<float>(survival), distance < v.q01, v.own_pairs == 0};
}

Location ModelReferences::locate(const Sketch& sketch) const noexcept {
    if (sketch.kind != SketchKind::dense) return {};
    for (int attempt = 0; attempt < read_tries; ++attempt) {
        const Manifold& current = manifolds[shared_load(active_manifold, std::memory_order_acquire) & 1];
        const std::uint64_t sequence = shared_load(current.sequence, std::memory_order_acquire);
        const Location location = locate_shared(current, sketch);
        if (sequence % 2 == 0 && shared_load(current.sequence) == sequence) return location;
    }
    return {};
}

std::uint32_t ModelReferences::samples() const noexcept {
    View v;
    return view(*this, nullptr, 0, v) ? v.samples : 0;
}

bool ModelReferences::calibrated() const noexcept {
    View v;
    return view(*this, nullptr, 0, v) && v.samples >= calibration_samples && v.own_pairs == 0;
}

double ModelReferences::q01() const noexcept {
    View v;
    return view(*this, nullptr, 0, v) ? v.q01 : std::numeric_limits<double>::quiet_NaN();
}

double ModelReferences::median() const noexcept {
    View v;
    return view(*this, nullptr, 0, v) ? v.median : std::numeric_limits<double>::quiet_NaN();
}

float ModelReferences::reach(const Sketch& sketch) const noexcept {
    View v;
    if (sketch.kind != SketchKind::dense || !view(*this, &sketch, 0, v)) return 0;
    if (v.samples < calibration_samples || v.own_pairs != 0) return 0;
    return v.reach * std::sqrt(static_cast<float>(sketch.width));
}

}  // namespace atlascore::track
