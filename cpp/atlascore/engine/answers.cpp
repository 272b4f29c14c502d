#include "atlascore/engine/answers.hpp"

#include <bit>
#include <limits>

#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using signal::Signal;
using signal::Source;

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double answer_signal(Signal signal, const track::HotTrack& slab, const track::ModelReferences* references,
                     const track::TrackTable::Track& track) noexcept {
    if (signal == Signal::distinct_inputs)
        return slab.inputs.empty() ? missing : slab.inputs.estimate(track.tag, track.newest);
    if (references == nullptr) return missing;
    if (signal == Signal::label_discovery) return references->answers.label_discovery(slab.answers);
    if (signal == Signal::confidence_shift) return references->answers.confidence_shift(slab.answers);
    return missing;
}

// `pending`: the query under way counts among the inputs.
void Engine::read_answer_signals(Pass& pass, bool pending) const noexcept {
    const track::HotTrack* slab = tracks_.hot(pass.track.hot);
    if (slab == nullptr) return;
    const Binding& binding = pass.binding;
    const auto phase = pending ? rule::Phase::request : rule::Phase::response;
    const Binding::Plans& plans = binding.plans[static_cast<std::size_t>(phase)];
    const auto read = [&](const Binding::Plan& plan) {
        return answer_signal(plan.signal, *slab, binding.references, pass.track);
    };
    for (const Binding::Plan& plan : plans.of[static_cast<std::size_t>(Source::answers)])
        pass.decision.signals[plan.place] = read(plan);
    const bool sent = pending && pass.history != nullptr;
    for (const Binding::Plan& plan : plans.of[static_cast<std::size_t>(Source::inputs)]) {
        if (sent && !pass.batch) {
            pass.inputs = slab->inputs.copy();
            count_input(pass, *pass.sketch, pass.inputs);
        }
        pass.decision.signals[plan.place] =
            sent ? pass.inputs.estimate(pass.track.tag, pass.track.newest) : read(plan);
    }
}

void Engine::count_input(const Pass& pass, const track::Sketch& sketch,
                         track::DailyDistinct& inputs) noexcept {
    inputs.add(sketch.digest.low, pass.track.tag, pass.query.now);
}

// One answer, the first to its query. `original`: to an input that had not been sent before.
void Engine::tell_profile(const Binding& binding, const Decision& decision, track::HotTrack& hot,
                          const track::Answered& answered, bool original) noexcept {
    track::AnswerReferences* usual = nullptr;
    if (binding.references != nullptr && decision.would < Action::constrain)
        usual = &binding.references->answers;
    if (binding.reads_labels && answered.label != 0) {
        const auto [answers, before] = hot.answers.add_label(answered.label);
        const bool doubled = answers > track::AnswerReferences::first_answers && std::has_single_bit(answers);
        if (doubled && usual != nullptr) usual->add_labels(answers / 2, before);
    }
    if (!binding.reads_margins || !original || !answered.has_margin) return;
    const bool counted = hot.answers.add_margin(answered.margin);
    if (counted && usual != nullptr && hot.answers.margin_count() <= track::AnswerReferences::track_margins)
        usual->add_margin(answered.margin);
}

}  // namespace atlascore::engine
