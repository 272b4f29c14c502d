// Blocks of the prompts that all principals send to a model: are they of another kind than usual?
#include <algorithm>
#include <limits>

#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

// Whether one of the prompts under way is of the kind that the block has too many of.
bool Engine::is_alike(const Pass& pass, const track::PromptWindows::Blocks& blocks) const noexcept {
    track::FourierFeatures& features = pass.thread.features;
    const auto alike = [&](const track::Sketch& sketch) {
        fourier_.apply(sketch.linear, features);
        return track::PromptWindows::alike(blocks, features);
    };
    if (pass.sketch != nullptr) return alike(*pass.sketch);
    const std::size_t rows = pass.query.input.rows;
    for (std::size_t i = 0; i < std::min(rows, sequence_rows); ++i) {
        make_sketch(pass, sequence_row(i, rows), pass.thread.sketches[0]);
        if (alike(pass.thread.sketches[0])) return true;
    }
    return false;
}

double Engine::block_signal(const Pass& pass) const noexcept {
    const bool text = pass.query.input.kind == event::InputKind::text;
    if (!pass.binding.reads_blocks || pass.binding.references == nullptr || !text)
        return std::numeric_limits<double>::quiet_NaN();
    const auto found = pass.binding.references->prompts.newest(pass.query.now);
    if (found.of == nullptr) return std::numeric_limits<double>::quiet_NaN();
    return found.times < 1 || is_alike(pass, *found.of) ? found.times : 0;
}

// A prompt that was not sent before. `ordinary`: it may teach the model's first reference.
evidence::Observations Engine::count_for_block(const Pass& pass, const track::Sketch& sketch,
                                               bool ordinary) noexcept {
    evidence::Observations seen;
    const std::uint32_t of_the_day = tracks_.count_prompt(pass.track, pass.query.now);
    if (of_the_day == 0 || !fourier_.counts(sketch.digest.low, of_the_day)) return seen;
    track::PromptWindows& blocks = pass.binding.references->prompts;
    track::FourierFeatures& features = pass.thread.features;
    fourier_.apply(sketch.linear, features);
    if (const auto found = blocks.newest(pass.query.now); found.of != nullptr) {
        seen.add(evidence::Component::unusual_block,
                 found.times >= 1 && track::PromptWindows::alike(*found.of, features));
    }
    blocks.add(features, pass.principal_tag, pass.query.now, ordinary);
    return seen;
}

}  // namespace atlascore::engine
