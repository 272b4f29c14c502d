// What is ordinary for one model, learned from all its principals: how far an input usually is from the
// inputs of strangers (F_ref), a reservoir of such inputs, and the scale of the features where the policy
// declares none.
//
// F_ref is the distribution of the least distance between an input and up to 64 inputs of other principals:
// 256 log-spaced bins over [2^-16, 2^4), linear interpolation inside a bin, decayed with a half-life of 24 h.
//
// Upkeep, against poisoning. One caller cannot move distances between strangers; many callers need many
// principals:
//   - a principal has at most 4 of the 256 reservoir entries, drawn by a hash of the principal, not by its
//     traffic;
//   - of the first 1,000 samples no principal gives more than an eighth (and none tries more than 1,000
//   times,
//     which bounds the cost where there are too few principals);
//   - after its share a principal updates once a minute; after the 1,000 samples only 1 % of all queries do,
//     chosen by their digest;
//   - the engine calls update() for committed queries only, and not for tracks under suspicion or constraint.
//
// Fewer than 64 strangers. The specification has 64 for every sample; a model with 16 principals or fewer
// never has them. A sample against 16 or more strangers counts with its own number, and the exponent of the
// survival probability is m over the mean of those numbers: m / 64 as soon as 17 principals are known. A
// model with one principal takes its own inputs at least 1 h apart, and `calibrated` stays false; these
// samples go when the first stranger comes.
//
// Concurrency: readers never wait and never see half of an update (two copies, the finished one is
// published). One updater at a time; an update that finds another at work is dropped. A killed updater is
// replaced after a second; what it left is not visible. Given the same sequence of calls and the same seed
// the content is the same to the bit. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "atlascore/track/answer_references.hpp"
#include "atlascore/track/cost_references.hpp"
#include "atlascore/track/coverage_reference.hpp"
#include "atlascore/track/manifold.hpp"
#include "atlascore/track/prompt_windows.hpp"
#include "atlascore/track/sketch.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

inline constexpr std::size_t reservoir_count = 256;
inline constexpr std::size_t reference_bins = 256;
inline constexpr std::uint32_t calibration_samples = 1000;
inline constexpr float no_grid = std::numeric_limits<float>::quiet_NaN();
inline constexpr std::size_t learned_width = 1024;  // wider inputs share one scale for all features
// Learned scales have the epochs 1 to 3. A declared scale has one at or above this, another for every
// distinct scale.
inline constexpr std::uint32_t first_declared_epoch = 16;

// The rows from which a model's scale is learned; used only until the scale is frozen, and only without a
// declared one. A block of its own, because it is large and most models never need it. All-zero memory is
// valid and empty.
struct alignas(64) ScaleSample {
    static constexpr std::size_t capacity = 131072;

    std::uint64_t claim;
    std::uint32_t queries;     // seen
    std::uint32_t width;       // a query of another width is ignored
    std::uint32_t principals;  // distinct, counted to 8
    std::uint32_t room_word;
    std::uint64_t principal_tags[8];
    double square_sum;  // over the first 16 inputs
    std::uint64_t room[3];
    // Rows of `width`: all of 1,000 queries up to width 128, a random 128 at 1,024. Wider inputs leave 128
    // random values a query.
    float values[capacity];
};

// How a distance reads against the model.
struct Reading {
    float survival;
    bool near;
    bool calibrated;
};

struct alignas(64) ModelReferences {
    // A committed query. `principal` is the principal's tag: a hash, never 0. `off_grid`: the share of its
    // values that are off their declared grid; NaN when none is declared.
    void update(const Sketch& sketch, std::uint64_t principal, double now, float off_grid = no_grid) noexcept;

    // The same query's features, where the policy declares no scale: learns and finally freezes it. Does
    // nothing once it is frozen. The query that completes the sample pays for that (about 2 ms), once in a
    // model's life.
    void learn_scale(const float* x, std::size_t width, std::uint64_t principal, std::uint64_t seed,
                     ScaleSample& sample) noexcept;
    // Epoch 1 from the first input, 2 from the 16th (both: divided by the RMS of what was seen), 3 frozen:
    // median, and the largest of IQR / 1.349, standard deviation and a
    // sixth of the range, per feature. Identity with epoch 0 before the first. The arrays stay where they
    // are for good.
    Scale learned_scale(std::size_t width) const noexcept;
    bool scale_frozen() const noexcept;

    // A distance of this sketch that is the least of `compared` comparisons.
    Reading read(const Sketch& sketch, float distance, std::uint32_t compared) const noexcept;

    // Where a dense input lies among the model's ordinary ones.
    Location locate(const Sketch& sketch) const noexcept;

    std::uint32_t samples() const noexcept;
    bool calibrated() const noexcept;
    double q01() const noexcept;     // 1st percentile of F_ref; NaN without samples
    double median() const noexcept;  // NaN without samples

    // The distance at which two inputs are near even among as many strangers as the near index holds: one in
    // a hundred ordinary inputs has one of those as near. From the lower half of F_ref, taken for a power of
    // the distance. As the length of a difference of linear sketches; 0 where it is not known.
    float reach(const Sketch& sketch) const noexcept;

    // Layout; only the member functions touch it.
    struct Distribution {
        std::uint64_t sequence;   // odd while written
        std::uint32_t text;       // samples are of texts
        std::uint32_t epoch;      // of the scale, for dense inputs
        std::uint32_t samples;    // ever
        std::uint32_t own_pairs;  // samples are a single principal's own pairs
        float strangers;          // mean number compared in a sample
        float q01;
        float median;
        float reach;           // see reach()
        double time;           // the weights are decayed to here
        double weight;         // of all samples
        double strangers_sum;  // weighted
        double bins[reference_bins];
        float cumulative[reference_bins + 2];  // share below the lower edge of each bin; 1 from 256 on
    };
    struct Contributor {
        std::uint64_t principal;
        std::uint32_t seconds;  // of its last update
        std::uint16_t updates;  // to 65,535
        std::uint16_t samples;  // to 65,535
    };
    struct Entry {
        std::uint64_t principal;
        double time;
        std::uint32_t place;     // which of its principal's entries
        std::uint32_t off_grid;  // share in 1/65,535, plus one; 0 not known
    };
    static constexpr std::size_t contributor_count = 512;

    std::uint64_t claim;
    std::uint32_t active;  // distribution that is read
    std::uint32_t scale_epoch;
    float rms_inverses[2];  // of epochs 1 and 2
    float scale_center;     // frozen scalar scale of wide inputs
    float scale_inverse;
    std::uint32_t scale_width;
    std::uint32_t entries_changed;  // since the manifold was made
    std::uint32_t active_manifold;
    std::uint32_t room_word;
    std::uint64_t room[2];
    Distribution distributions[2];
    Manifold manifolds[2];
    Contributor contributors[contributor_count];
    Entry entries[reservoir_count];
    SlotMeta meta[reservoir_count];
    SlotRow rows[reservoir_count];
    float centers[learned_width];
    float inverses[learned_width];
    CostReferences costs;
    CoverageReference coverage;
    AnswerReferences answers;
    PromptWindows prompts;
};

static_assert(std::is_trivially_copyable_v<ModelReferences> && std::is_trivially_copyable_v<ScaleSample>);
static_assert(sizeof(ModelReferences) <= 96 * 1024);

}  // namespace atlascore::track
