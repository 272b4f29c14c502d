// The sketch of one input: everything that similarity ever needs to know about it, in 400 bytes.
//
//   dense   CountSketch-64 of the scaled features: linear, so differences, collinearity and length ratios
//           survive; distances to about 9 % (exact for width <= 64, where it is the identity)
//   text    MinHash-64 (8 bits a bin) of the 5-code-point shingles of the normalised text, and their hashed
//           term frequencies in the linear part, of norm 1
//   digest  the exact digest and nothing else: an encoded image, audio
//
// Every sketch has the exact digest of the canonical input: float32 little-endian bytes with -0 folded to 0,
// or the normalised text. `seed` is one value of the region for all three, so that a caller cannot craft
// collisions; sketches made with different seeds are not comparable.
//
// No function here allocates, locks or fails. Values must be finite (`all_finite`): the engine rejects the
// others before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/minhash.hpp"

namespace atlascore::track {

inline constexpr std::size_t linear_size = 64;
inline constexpr std::size_t minhash_size = 64;
// Images are mean-pooled to at most this many rows and columns.
inline constexpr std::size_t pooled_side = 32;

enum class SketchKind : std::uint8_t { none, dense, text, digest };

// Maps input units to scaled units: z = (x - center) * inverse. A view: the policy or the model's references
// own the arrays. Sketches are compared within one epoch only; whoever makes a Scale gives every distinct map
// its own epoch.
struct Scale {
    const float* centers = nullptr;   // one per feature, or null: `center` for every feature
    const float* inverses = nullptr;  // one per feature, or null: `inverse` for every feature
    float center = 0.0f;
    float inverse = 1.0f;
    std::uint32_t epoch = 0;
};

struct Sketch {
    alignas(64) float linear[linear_size];
    std::uint8_t minhash[minhash_size];
    base::Digest128 digest;
    SketchKind kind = SketchKind::none;
    std::uint32_t width = 0;     // dense: features after pooling
    std::uint32_t epoch = 0;     // dense: Scale::epoch
    std::uint32_t shingles = 0;  // text

    // Can be a member of a near pair: dense, or text of at least `minimum_shingles`.
    bool comparable() const noexcept {
        return kind == SketchKind::dense || (kind == SketchKind::text && shingles >= minimum_shingles);
    }
    // Two sketches may be compared only when their spaces are equal (kind, width, scale epoch). 0: with none.
    // 13 bits.
    std::uint16_t space() const noexcept;
};

// True when no value is NaN or infinite. About 0.05 ns a value in cache.
bool all_finite(const float* x, std::size_t count) noexcept;

// One vector of `width` features. False when one of them is NaN or infinite; then `out` has no meaning.
// Features beyond the ends of the scale's arrays are the caller's error.
bool sketch_dense(const float* x, std::size_t width, const Scale& scale, std::uint64_t seed,
                  Sketch& out) noexcept;

// One image or tensor, channels last: more than 32 rows or columns are area-averaged down to 32 first, which
// removes 8-bit noise and keeps perturbations. The scale's arrays, where given, have height * width *
// channels values.
bool sketch_image(const float* x, std::size_t height, std::size_t width, std::size_t channels,
                  const Scale& scale, std::uint64_t seed, Sketch& out) noexcept;

// Any bytes; invalid UTF-8 reads as U+FFFD. `scratch` belongs to the calling thread.
void sketch_text(std::string_view text, std::uint64_t seed, TextScratch& scratch, Sketch& out) noexcept;

// An input known by its digest only.
void sketch_digest(const base::Digest128& digest, Sketch& out) noexcept;

}  // namespace atlascore::track
