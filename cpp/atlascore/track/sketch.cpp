// The block number of the CountSketch is hashed inline: a library call would cost more than the block.
#define XXH_INLINE_ALL
#include "atlascore/track/sketch.hpp"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/wide_digest.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t blocks_at_once = 16, known_blocks = 64;
constexpr std::size_t features_at_once = 64 * blocks_at_once;

// Signs and rotation of block b: xxh3-64(b), and the low bits of the hash of that.
simd::SketchBlock sketch_block(std::uint64_t b, std::uint64_t seed) noexcept {
    const std::uint64_t signs = XXH3_64bits_withSeed(&b, sizeof b, seed);
    return {signs, static_cast<std::uint32_t>(XXH3_64bits_withSeed(&signs, sizeof signs, seed) & 63)};
}

// The first blocks, of the seed that this thread used last: hashing them anew costs as much as adding them.
const simd::SketchBlock* first_blocks(std::uint64_t seed) noexcept {
    struct Known {
        bool any = false;
        std::uint64_t seed = 0;
        simd::SketchBlock blocks[known_blocks];
    };
    thread_local Known known;
    if (!known.any || known.seed != seed) {
        for (std::uint64_t b = 0; b < known_blocks; ++b) known.blocks[b] = sketch_block(b, seed);
        known.seed = seed;
        known.any = true;
    }
    return known.blocks;
}

simd::Affine affine(const Scale& scale, std::size_t at) noexcept {
    return {scale.centers ? scale.centers + at : nullptr, scale.inverses ? scale.inverses + at : nullptr,
            scale.center, scale.inverse};
}

// Takes features in order, any number at a time as long as each call but the last brings whole blocks.
class LinearSketch {
  public:
    explicit LinearSketch(std::uint64_t seed) : seed_(seed) {}

    void add(const float* x, std::size_t count, const simd::Affine& scale) noexcept {
        const std::size_t used = (count + 63) / 64;
        if (block_ + used <= known_blocks) {
            simd::add_blocks(x, count, scale, first_blocks(seed_) + block_, sums_);
            block_ += used;
            return;
        }
        simd::SketchBlock blocks[blocks_at_once];
        for (std::size_t i = 0; i < used; ++i) blocks[i] = sketch_block(block_++, seed_);
        simd::add_blocks(x, count, scale, blocks, sums_);
    }
    void finish(float* out) const noexcept {
        for (std::size_t i = 0; i < linear_size; ++i) out[i] = sums_[i] + sums_[i + linear_size];
    }

  private:
    std::uint64_t seed_;
    std::uint64_t block_ = 0;
    alignas(64) float sums_[2 * linear_size] = {};
};

// False when a value is not finite.
bool digest_floats(const float* x, std::size_t count, std::uint64_t seed, base::Digest128& out) noexcept {
    static_assert(std::endian::native == std::endian::little,
                  "the canonical bytes of floats are little-endian");
    const simd::FloatCheck check = simd::check_floats(x, count);
    if (!check.finite) return false;
    if (!check.negative_zero) {
        out = wide_digest(x, count * sizeof(float), seed);
        return true;
    }
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset_withSeed(&state, seed);
    float folded[256];
    for (std::size_t at = 0; at < count; at += std::size(folded)) {
        const std::size_t some = std::min(std::size(folded), count - at);
        for (std::size_t i = 0; i < some; ++i) folded[i] = x[at + i] + 0.0f;  // -0 + 0 is +0
        XXH3_128bits_update(&state, folded, some * sizeof(float));
    }
    const XXH128_hash_t h = XXH3_128bits_digest(&state);
    out = {h.low64, h.high64};
    return true;
}

// The mean over the area of one pooled cell along one axis: whole input positions and two partial ones.
struct Span {
    std::size_t first, last;      // inclusive
    float first_part, last_part;  // weights; inside 1
    Span(std::size_t cell, std::size_t cells, std::size_t size) {
        const double step = static_cast<double>(size) / static_cast<double>(cells);
        const double low = static_cast<double>(cell) * step, high = static_cast<double>(cell + 1) * step;
        first = static_cast<std::size_t>(low);
        last = std::min(size - 1, static_cast<std::size_t>(std::ceil(high)) - 1);
        first_part = static_cast<float>(std::min(high, static_cast<double>(first + 1)) - low);
        last_part = static_cast<float>(high - static_cast<double>(last));
    }
    float weight(std::size_t at) const noexcept {
        return at == first ? first_part : at == last ? last_part : 1.0f;
    }
};

struct Shape {
    std::size_t height, width, channels;
};

float pooled_feature(const float* x, const Shape& shape, const Scale& scale, const Span& rows,
                     const Span& columns, std::size_t channel) noexcept {
    float sum = 0, area = 0;
    for (std::size_t r = rows.first; r <= rows.last; ++r) {
        for (std::size_t c = columns.first; c <= columns.last; ++c) {
            const std::size_t at = (r * shape.width + c) * shape.channels + channel;
            const float center = scale.centers ? scale.centers[at] : scale.center;
            const float inverse = scale.inverses ? scale.inverses[at] : scale.inverse;
            const float weight = rows.weight(r) * columns.weight(c);
            sum += weight * ((x[at] - center) * inverse);
            area += weight;
        }
    }
    return sum / area;
}

void sketch_pooled(const float* x, const Shape& shape, const Scale& scale, std::uint64_t seed,
                   Sketch& out) noexcept {
    constexpr simd::Affine identity{nullptr, nullptr, 0.0f, 1.0f};
    LinearSketch sketch(seed);
    const std::size_t height = std::min(shape.height, pooled_side),
                      width = std::min(shape.width, pooled_side);
    float features[features_at_once];
    std::size_t filled = 0;
    for (std::size_t r = 0; r < height; ++r) {
        const Span rows(r, height, shape.height);
        for (std::size_t c = 0; c < width; ++c) {
            const Span columns(c, width, shape.width);
            for (std::size_t channel = 0; channel < shape.channels; ++channel) {
                features[filled++] = pooled_feature(x, shape, scale, rows, columns, channel);
                if (filled < features_at_once) continue;
                sketch.add(features, filled, identity);
                filled = 0;
            }
        }
    }
    if (out.width <= linear_size) {
        std::copy_n(features, filled, out.linear);
        return;
    }
    sketch.add(features, filled, identity);
    sketch.finish(out.linear);
}

void clear(Sketch& out, SketchKind kind) noexcept {
    out.kind = kind;
    out.width = out.epoch = out.shingles = 0;
    std::fill(std::begin(out.linear), std::end(out.linear), 0.0f);
    std::fill(std::begin(out.minhash), std::end(out.minhash), std::uint8_t{0});
}

}  // namespace

std::uint16_t Sketch::space() const noexcept {
    constexpr std::uint16_t text_space = 0x1000;
    if (!comparable()) return 0;
    if (kind == SketchKind::text) return text_space;
    // Epochs that follow each other never share a space.
    const std::uint64_t mixed = ((base::mix64(width, epoch >> 3) >> 32) * 511 >> 32) + 1;
    return static_cast<std::uint16_t>(mixed << 3 | (epoch & 7));
}

bool all_finite(const float* x, std::size_t count) noexcept {
    return simd::check_floats(x, count).finite;
}

bool sketch_dense(const float* x, std::size_t width, const Scale& scale, std::uint64_t seed,
                  Sketch& out) noexcept {
    clear(out, SketchKind::dense);
    out.width = static_cast<std::uint32_t>(width);
    out.epoch = scale.epoch;
    if (!digest_floats(x, width, seed, out.digest)) return false;
    if (width <= linear_size) {
        simd::scale_values(x, width, affine(scale, 0), out.linear);
        return true;
    }
    LinearSketch sketch(seed);
    for (std::size_t at = 0; at < width; at += features_at_once) {
        sketch.add(x + at, std::min(features_at_once, width - at), affine(scale, at));
    }
    sketch.finish(out.linear);
    return true;
}

bool sketch_image(const float* x, std::size_t height, std::size_t width, std::size_t channels,
                  const Scale& scale, std::uint64_t seed, Sketch& out) noexcept {
    const std::size_t count = height * width * channels;
    if (height <= pooled_side && width <= pooled_side) return sketch_dense(x, count, scale, seed, out);
    clear(out, SketchKind::dense);
    out.width =
        static_cast<std::uint32_t>(std::min(height, pooled_side) * std::min(width, pooled_side) * channels);
    out.epoch = scale.epoch;
    if (!digest_floats(x, count, seed, out.digest)) return false;
    sketch_pooled(x, {height, width, channels}, scale, seed, out);
    return true;
}

void sketch_text(std::string_view text, std::uint64_t seed, TextScratch& scratch, Sketch& out) noexcept {
    TextSignature signature;
    text_signature(text, seed, scratch, signature);
    clear(out, SketchKind::text);
    out.digest = signature.digest;
    out.shingles = static_cast<std::uint32_t>(std::min<std::uint64_t>(signature.shingles, 0xFFFFFFFFu));
    double square = 0;
    for (const std::int32_t term : signature.terms) square += static_cast<double>(term) * term;
    const double inverse = square > 0 ? 1.0 / std::sqrt(square) : 0.0;
    for (std::size_t i = 0; i < linear_size; ++i) {
        out.linear[i] = static_cast<float>(signature.terms[i] * inverse);
    }
    for (std::size_t i = 0; i < minhash_size; ++i)
        out.minhash[i] = static_cast<std::uint8_t>(signature.ranks[i]);
}

void sketch_digest(const base::Digest128& digest, Sketch& out) noexcept {
    clear(out, SketchKind::digest);
    out.digest = digest;
}

}  // namespace atlascore::track
