// Whether a model's prompts, those of all its principals together, are of another kind than they usually are:
// the squared maximum mean discrepancy between blocks of prompts and the model's own reference. Source:
// Gretton et al. (2012); random Fourier features after Rahimi and Recht (2007).
//
// A prompt is its hashed term frequencies (Sketch::linear), mapped to 256 numbers of norm 1: cosine and sine
// of 128 random projections, 32 for each of four widths of a Gaussian kernel. Means of these are what is
// compared:
//
//   reference   mean of the first 1,000 prompts; from then on it follows the blocks with a half-life of 7 d,
//               and those beyond their limit with one of 70 d: a campaign does not become ordinary in a month
//   block       mean of 100 prompts of 100 accounts, and of 15 such blocks. Its distance is the squared
//   length
//               of block less reference
//   limit       99.9th percentile of the distances of ordinary blocks of this size, extrapolated from their
//               median and 90th percentile: the cube root of a sum of squares is nearly normal (Wilson and
//               Hilferty, 1931). A quarter more is allowed, for the reference is an estimate, and no two days
//               are quite alike. Blocks beyond the limit are none of those that it is estimated from; should
//               it be too low, what is left still leads to a higher one. None before 20 blocks
//
// Which prompts count. One of each account in a block, so that its prompts are independent of each other and
// a block is 100 opinions on what the model is for, not one; and the n-th prompt that an account sends on a
// day (what it sent before aside) with probability 1/n, 5 of 60 and 7 of 600, so that no account knows which.
//
// Whose prompts are too many. A prompt is on the block's side when, along the line from the reference to the
// block, it lies at least half as far as the block does, and as far when the block is less than 2.25 times
// beyond its limit: then those of which there are too many are few and lie farther.
//
// Who may see what when: one update at a time; one that finds another at work is not counted. A reader that
// finds a block being published has none of this size. One left half-published by a killed process is
// finished by the next one. All-zero memory is valid and empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/sketch.hpp"

namespace atlascore::track {

inline constexpr std::size_t fourier_frequencies = 128;
inline constexpr std::size_t fourier_size = 2 * fourier_frequencies;

using FourierFeatures = std::array<float, fourier_size>;

// The map of texts to features; the same in every process on a region.
class FourierMap {
  public:
    explicit FourierMap(std::uint64_t seed) noexcept;
    // `linear` as in Sketch. 0.5 us with 256 bits.
    void apply(const float* linear, FourierFeatures& out) const noexcept;
    // Whether the n-th prompt of an account's day counts. `digest`: of its text.
    bool counts(std::uint64_t digest, std::uint32_t n) const noexcept;

  private:
    std::uint64_t seed_;
    // (64, 128): a column a frequency.
    alignas(64) std::array<float, linear_size * fourier_frequencies> frequencies_;
};

struct PromptWindows {
    static constexpr std::uint32_t reference_prompts = 1000, block_prompts = 100, large_blocks = 15;
    static constexpr std::uint32_t fewest_blocks = 20;
    static constexpr std::size_t bins_per_octave = 16, bin_count = 14 * bins_per_octave;

    // Blocks of one size, the newest of them published.
    struct Blocks {
        std::uint32_t sequence;  // odd while one is published
        float times;             // its distance over the limit; 0: there was no limit yet
        double end;              // seconds
        float side;              // product with `towards` from which on a prompt is on its side
        std::uint32_t room;
        float towards[fourier_size];  // block less reference
        std::uint16_t distances[bin_count];
    };
    // `of` is null when there is none, or none that ended within 24 h.
    struct Finding {
        const Blocks* of = nullptr;
        double times = 0;
    };
    // The newest block that is the farther beyond its limit, of both sizes.
    Finding newest(double now) const noexcept;
    // Whether a prompt is on the side of the newest of these blocks.
    static bool alike(const Blocks& blocks, const FourierFeatures& features) noexcept;

    // A prompt that counts. `account`: a hash. `ordinary`: it may be one of the first reference.
    void add(const FourierFeatures& features, std::uint64_t account, double now, bool ordinary) noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t claim;
    std::uint32_t learned;   // prompts of the first reference
    std::uint32_t in_block;  // prompts
    std::uint32_t in_large;  // blocks
    std::uint32_t room;
    std::uint64_t accounts[16];  // of the block, a bit each
    float reference[fourier_size];
    float sum[fourier_size];
    float large_sum[fourier_size];  // of blocks' means
    Blocks small, large;

  private:
    bool is_first_of(std::uint64_t account) noexcept;
    void learn(const FourierFeatures& features) noexcept;
    void end_block(Blocks& blocks, const FourierFeatures& mean, double now) noexcept;
};
static_assert(std::is_trivially_copyable_v<PromptWindows>);

}  // namespace atlascore::track
