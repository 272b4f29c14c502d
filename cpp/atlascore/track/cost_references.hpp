// What requests to one model usually cost: the median for inputs of a size, and the cost that only one
// request in a thousand exceeds. A cost is a positive number in whatever unit the operator records, tokens,
// seconds or money; the size of an input is its bytes of text or its numbers, and inputs in one of 16 bins,
// each twice as wide as the one before, are of one size.
//
//   over all sizes   8 bins an octave over [2^-24, 2^32); the 99.9th percentile is the upper edge of its
//                    bin: what piles up below a cap, as max_tokens makes it, is then no exception
//   for each size    4 bins an octave over 16 octaves around the first cost that was seen; the median is
//                    interpolated inside its bin. Should it lie in the outermost bins, that first cost was no
//                    ordinary one, and the size starts again around the present one
//
// Everything is missing below 1,000 samples; a size with fewer than 100 has the median over all sizes.
// Samples fade with a half-life of 24 h, though never below the weight of those 1,000 and 100: after a quiet
// week the first few requests do not decide what is usual.
//
// Upkeep, against poisoning.
//   - Of the first 8,000 samples no principal gives more than an eighth, or 125: there are at least eight
//     before anything is known. 8,000, because the 99.9th percentile of 1,000 is what one sample says.
//   - Of the first 1,000 of a size no principal gives more than a quarter, or 13.
//   - After that one request in 100 is a sample, drawn by a hash that callers cannot compute, and a principal
//     gives at most one a minute.
//   - The engine calls update() neither for tracks under suspicion or constraint nor for failed requests.
// So one caller cannot move a median. The 99.9th percentile is less robust: a caller that was dear before
// anything was known, or several whose first dear request became a sample, raise it for all.
//
// Concurrency: readers take two numbers that are published word by word. One updater at a time; an update
// that finds another at work is dropped. A killed one is replaced after a second and leaves a histogram of
// which a part has faded by one step. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace atlascore::track {

inline constexpr std::size_t cost_sizes = 16;
inline constexpr std::uint32_t cost_samples = 1000;      // before which nothing is known
inline constexpr std::uint32_t cost_size_samples = 100;  // before which a size has the median over all
inline constexpr std::uint32_t cost_learning = 8000;     // after which samples are drawn

// floor(log2(size)), at most 15; 0 for an input without a size.
unsigned cost_size(std::size_t size) noexcept;

// NaN while not known.
struct UsualCost {
    double median;
    double rare;  // 99.9th percentile over all sizes
};

struct alignas(64) CostReferences {
    UsualCost read(unsigned size) const noexcept;

    // Whether a request is one of those that update. Reads only: once settled nearly all requests end here.
    // `principal` is a hash, never 0.
    bool takes_part(double cost, std::uint64_t principal, double now) const noexcept;
    // One that is.
    void update(unsigned size, double cost, std::uint64_t principal, double now) noexcept;

    // Layout; only the member functions touch it.
    static constexpr std::size_t contributor_count = 64;
    struct OfSize {
        double time;   // the weights have faded to here
        float lowest;  // log2 of the lower edge of the first bin
        float median;
        std::uint32_t samples;  // since it started
        std::uint32_t room;
        float bins[64];
    };
    struct Contributor {
        std::uint64_t principal;
        std::uint32_t seconds;  // of its last sample
        std::uint16_t samples;  // to 65,535
        std::uint16_t room;
        std::uint8_t of_size[cost_sizes];  // to 255
    };

    std::uint64_t claim;
    double time;
    std::uint32_t samples;  // ever
    float median;           // 0: not known
    float rare;
    std::uint32_t room_word;
    float bins[448];
    OfSize sizes[cost_sizes];
    Contributor contributors[contributor_count];
};
static_assert(sizeof(CostReferences) <= 8'704 && std::is_trivially_copyable_v<CostReferences>);

}  // namespace atlascore::track
