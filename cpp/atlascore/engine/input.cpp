#include "atlascore/engine/input.hpp"

#include <algorithm>
#include <ranges>
#include <span>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/thread_state.hpp"
#include "atlascore/simd/kernels.hpp"

namespace atlascore::engine {
namespace {

constexpr float clip = 4.0f;  // numeric columns, in scaled units

// Two different categories of one column are one unit apart: each stands as +-1/sqrt(2) in one bucket.
void add_category(const event::Category& category, std::uint64_t seed, track::Sketch& sketch) noexcept {
    const std::uint64_t h = base::mix64(category.value ^ seed, category.column);
    const float sign = (h >> 6 & 1) != 0 ? 1.0f : -1.0f;
    sketch.linear[h % track::linear_size] += sign * 0.70710678f;
}

std::span<const event::Category> categories_of(const event::Input& input, std::size_t row) noexcept {
    const auto [first, last] = std::ranges::equal_range(input.categories, row, {}, &event::Category::row);
    return {first, last};
}

void sketch_row(const event::Input& input, std::size_t row, const track::Scale& scale, std::uint64_t seed,
                std::vector<float>& scaled, track::Sketch& out) noexcept {
    const float* values = input.values + row * input.width;
    const std::size_t width = std::min(input.width, scaled.size());
    for (std::size_t i = 0; i < width; ++i) {
        const float center = scale.centers != nullptr ? scale.centers[i] : scale.center;
        const float inverse = scale.inverses != nullptr ? scale.inverses[i] : scale.inverse;
        scaled[i] = std::clamp((values[i] - center) * inverse, -clip, clip);
    }
    const auto categories = categories_of(input, row);
    for (const event::Category& category : categories) {
        if (category.column < width) scaled[category.column] = 0;
    }
    track::Scale identity;
    identity.epoch = scale.epoch;
    track::sketch_dense(scaled.data(), width, identity, seed, out);
    // The digest is that of the values as they came, not of what clipping left of them.
    out.digest = base::digest128(values, width * sizeof(float), seed);
    for (const event::Category& category : categories) {
        add_category(category, seed, out);
        out.digest.low = base::mix64(out.digest.low, base::mix64(category.value, category.column));
        out.digest.high = base::mix64(out.digest.high, out.digest.low);
    }
}

}  // namespace

std::size_t size_of(const event::Input& input) noexcept {
    if (input.kind == event::InputKind::text) return input.text.size();
    return input.values == nullptr ? 0 : input.rows * input.width;
}

track::Scale scale_of(const policy::Model* model, const track::ModelReferences* references,
                      std::size_t width) noexcept {
    if (model != nullptr && model->scale_epoch != 0) {
        const bool fits = (model->centers.size() == 1 || model->centers.size() == width) &&
                          (model->inverses.size() == 1 || model->inverses.size() == width);
        if (fits) {
            track::Scale scale;
            scale.epoch = model->scale_epoch;
            if (model->centers.size() > 1) scale.centers = model->centers.data();
            if (model->inverses.size() > 1) scale.inverses = model->inverses.data();
            scale.center = model->centers[0];
            scale.inverse = model->inverses[0];
            return scale;
        }
    }
    return references != nullptr ? references->learned_scale(width) : track::Scale{};
}

float off_grid_share(const event::Input& input, std::size_t row, const policy::Model* model) noexcept {
    if (model == nullptr || model->grid_inverses.empty() || input.values == nullptr || input.width == 0)
        return track::no_grid;
    const std::size_t given = model->grid_inverses.size();
    if (given != 1 && given != input.width) return track::no_grid;
    const auto each = [&](const std::vector<float>& values) { return given > 1 ? values.data() : nullptr; };
    const simd::Grid grid{each(model->grid_origins), each(model->grid_steps), each(model->grid_inverses),
                          model->grid_origins[0],    model->grid_steps[0],    model->grid_inverses[0]};
    const std::size_t off = simd::count_off_grid(input.values + row * input.width, input.width, grid);
    return static_cast<float>(off) / static_cast<float>(input.width);
}

bool sketch_input(const event::Input& input, std::size_t index, const policy::Model* model,
                  const track::ModelReferences* references, std::uint64_t seed, ThreadState& state,
                  track::Sketch& out) noexcept {
    const float* values = input.values + index * input.width;
    switch (input.kind) {
        case event::InputKind::none:
            out.kind = track::SketchKind::none;
            return true;
        case event::InputKind::text:
            track::sketch_text(input.texts.empty() ? input.text : input.texts[index], seed, state.text, out);
            return true;
        case event::InputKind::digest:
            track::sketch_digest(input.digest, out);
            return true;
        case event::InputKind::vector:
            return track::sketch_dense(values, input.width, scale_of(model, references, input.width), seed,
                                       out);
        case event::InputKind::image:
            return track::sketch_image(values, input.height, input.columns, input.channels,
                                       scale_of(model, references, input.width), seed, out);
        case event::InputKind::row:
            if (!track::all_finite(values, input.width)) return false;
            sketch_row(input, index, scale_of(model, references, input.width), seed, state.row, out);
            return true;
    }
    return true;
}

}  // namespace atlascore::engine
