// The SIMD kernels: one source, compiled for every instruction set the compiler knows and chosen at run time.
// Costs are for one core with 512-bit vectors, data in the first-level cache, and do not count the dispatch
// (1 ns).
//
// Accuracy: sums of floats run in several lanes, so they differ from a left-to-right sum, and between
// targets, by the usual rounding (relative 1e-6 for well-conditioned sums of 1,000). add_blocks and
// everything on integers give the same bits on every target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace atlascore::simd {

// --- floats --------------------------------------------------------------------------------------

// 0.02 ns a value.
float dot(const float* a, const float* b, std::size_t count) noexcept;

// Cosine of the angle between a and b; 0 when one of them is zero, NaN when a value is not finite. Values
// whose squares leave the range of float32 are computed in double. 0.03 ns a value.
double cosine(const float* a, const float* b, std::size_t count) noexcept;

struct Nearest {
    std::size_t index = 0;
    double cosine = 0;  // NaN when a value of the query or of a row is not finite
};

// The row with the largest cosine, the first of equals. A zero row never wins against another; when nothing
// has a direction the answer is row 0 with cosine 0. `count` >= 1, rows contiguous. Bound by memory bandwidth
// from about 1 MB on; 0.04 ns a value below.
Nearest nearest(const float* query, const float* rows, std::size_t count, std::size_t width) noexcept;

struct FloatCheck {
    bool finite;         // no NaN, no infinity
    bool negative_zero;  // some value is -0
};
// 0.02 ns a value.
FloatCheck check_floats(const float* x, std::size_t count) noexcept;

// z = (x - center) * inverse, arrays of one value per feature or null for the scalars.
struct Affine {
    const float* centers;
    const float* inverses;
    float center;
    float inverse;
};
// One block of the CountSketch: lane l goes to (l + rotation) mod 64 with sign bit l of `signs` (1:
// negative).
struct SketchBlock {
    std::uint64_t signs;
    std::uint32_t rotation;  // 0..63
};
// Adds `width` features, 64 per block, the last block possibly short, into sums[128]; bucket i of the sketch
// is sums[i] + sums[i + 64]. 2 ns a block.
void add_blocks(const float* x, std::size_t width, const Affine& scale, const SketchBlock* blocks,
                float* sums) noexcept;
// out[i] = (x[i] - center) * inverse.
void scale_values(const float* x, std::size_t count, const Affine& scale, float* out) noexcept;

// A grid of values: origin + k step, arrays of one value per feature or null for the scalars; an inverse of 0
// stands for no grid.
struct Grid {
    const float* origins;
    const float* steps;
    const float* inverses;  // 1 / step
    float origin;
    float step;
    float inverse;
};
// How many values are off their grid by more than 1e-3 steps, and more than float32 can tell there: 2^-23 of
// the larger of value and distance from the origin. 0.1 ns a value.
std::size_t count_off_grid(const float* x, std::size_t count, const Grid& grid) noexcept;

// 64 floats to IEEE half precision, to the nearest even, magnitudes above 65,504 clamped.
void pack_halves(const float* x, std::uint16_t* out) noexcept;
// One float, to the nearest even, clamped likewise; and back, exactly.
std::uint16_t to_half(float x) noexcept;
float from_half(std::uint16_t half) noexcept;
// 64 halves, exactly.
void unpack_halves(const std::uint16_t* x, float* out) noexcept;
// Products of four vectors of 64 floats, one behind the other, with `count` rows of 64 halves: out[4 i + v].
// 5 ns a row.
void four_dots(const float* vectors, const std::uint16_t* rows, std::size_t count, float* out) noexcept;
// Squared Euclidean distance from x[64] to `count` rows of 64 halves. 4 ns a row.
void squared_distances(const float* x, const std::uint16_t* rows, std::size_t count, float* out) noexcept;

// out[j] = sum over i of x[i] matrix[i * outputs + j]. 100 ns for 64 inputs and 48 outputs with 256 bits.
void project(const float* matrix, const float* x, std::size_t inputs, std::size_t outputs,
             float* out) noexcept;

// cosines[i] = scale cos x[i], sines[i] = scale sin x[i], to a few units in the last place for |x| up to
// 1,000. 3 ns a value without fused multiply-add, 0.6 with 256 bits.
void cos_sin(const float* x, std::size_t count, float scale, float* cosines, float* sines) noexcept;

// --- signatures ----------------------------------------------------------------------------------

// Equal bytes of 64-byte signatures: x against `count` rows that start `stride` bytes apart. 2 ns a row.
void equal_bytes(const std::uint8_t* x, const std::uint8_t* rows, std::size_t stride, std::size_t count,
                 std::uint32_t* out) noexcept;
// Differing bits of x and each of `count` words.
void hamming(std::uint64_t x, const std::uint64_t* words, std::size_t count, std::uint32_t* out) noexcept;
// Drops of hashes[count] what cannot lower the minimum of its bin, (h >> 8) mod bins, not all of it, and
// returns how many stay, in order. `bins` is a power of two. Writes over up to 8 words behind the hashes.
// 0.2 ns a hash.
std::size_t keep_candidates(std::uint64_t* hashes, std::size_t count, const std::uint64_t* minima,
                            std::size_t bins) noexcept;
// into[i] = min(into[i], from[i]).
void min_merge(std::uint64_t* into, const std::uint64_t* from, std::size_t count) noexcept;

// --- windows -------------------------------------------------------------------------------------

// A ring of time buckets, one word each:  epoch 32 | generation 4 | count 28.
inline constexpr unsigned ring_count_bits = 28;
// The sum of the counts of those buckets that are of the generation of `empty` and of the epoch their place
// has when the bucket at `current` has that of `empty`, a word of count 0. Reads words that others may be
// writing.
std::uint64_t count_ring(const std::uint64_t* ring, std::size_t places, std::size_t current,
                         std::uint64_t empty) noexcept;

// --- outcomes ------------------------------------------------------------------------------------

// A ring of 64 outcomes, two words each:
//   a   tag 8 | flags 24 | time 32          b   tag 8 | value 8 | 48 more
// An outcome counts when both tags are what its place in the ring has, and it is younger than the window.
struct OutcomeTags {
    std::uint8_t current, before;  // of the places below `split`, of those from it on
    std::uint32_t split;
    std::uint32_t valid;    // places from here on were never written
    std::uint32_t omitted;  // this place does not count; 64: none
};
struct OutcomeTally {
    std::uint8_t flags[16];  // outcomes with each of the lower 16 flags
    std::uint32_t queries;   // outcomes that count
    std::uint32_t values;    // sum over those with flag `summed`
};
// Reads words that others may be writing. 60 ns without vectors, 15 with 256 bits.
OutcomeTally tally_outcomes(const std::uint64_t* a, const std::uint64_t* b, const OutcomeTags& tags,
                            std::uint32_t now, std::uint32_t window, unsigned summed) noexcept;

// Where inputs lie, one word an outcome:  tag 8 | 6 spare | off-grid known 1 | rank known 1 | off-grid 8 |
// rank 8, what is not known being 0. An outcome counts as above, with its first word.
struct TraitTally {
    std::uint32_t ranks, rank_sum;
    std::uint32_t off_grids, off_grid_sum;
};
TraitTally tally_traits(const std::uint64_t* a, const std::uint32_t* traits, const OutcomeTags& tags,
                        std::uint32_t now, std::uint32_t window) noexcept;

// Whether the lower half of one of the 64 words is this one. Reads words that others may be writing.
bool any_low_half(const std::uint64_t* words, std::uint32_t half) noexcept;

// --- text ----------------------------------------------------------------------------------------

// Bytes before the first one >= 0x80.
std::size_t ascii_prefix(const char* text, std::size_t size) noexcept;
// Lower-cases letters, turns digits to '0' and white space to ' ', up to the first byte that is not ASCII or
// is white space behind white space, and returns how many bytes that were. `after_space`: the byte before
// text is white space. Writes up to 64 bytes behind out + size. 0.06 ns a byte.
std::size_t fold_ascii(const char* text, std::size_t size, bool after_space, char* out) noexcept;
// Bit i of spaces[i / 64]: ASCII white space; of special[i / 64]: a digit, a quotation mark or not ASCII. The
// last of the size / 64 + 1 words goes on as if spaces followed. 0.1 ns a byte.
void word_bits(const char* text, std::size_t size, std::uint64_t* spaces, std::uint64_t* special) noexcept;
// out[i] = xxh3-64 of the 5 bytes at text + i, i < count. `flip` is the hash's secret word less the seed.
// Reads up to 64 bytes behind the last window and writes up to 8 words behind out + count. 0.4 ns a window.
void hash_windows5(const char* text, std::size_t count, std::uint64_t flip, std::uint64_t* out) noexcept;

// --- targets -------------------------------------------------------------------------------------

// The instruction set whose code runs, as the code itself reports it: "AVX3", "AVX2", "SSE4", "NEON" ...
const char* active_target() noexcept;
// For tests: the targets that this machine has and this build contains; force one (0: back to the best).
std::vector<std::int64_t> available_targets();
const char* target_name(std::int64_t target);
void force_target_for_test(std::int64_t target);

}  // namespace atlascore::simd
