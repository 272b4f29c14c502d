// The shapes that a track's inputs make one after the other: found out before the decision, and only as far
// as some rule reads them.
#include <limits>

#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

track::ShapeStep Engine::shape_of(const Pass& pass, const track::Shapes& shapes, const track::Sketch& sketch,
                                  const track::Observation& seen,
                                  const track::Wanted& wanted) const noexcept {
    track::ShapeStep step;
    if (!seen.comparable || seen.duplicate) return step;
    step.turn = seen.turn;
    step.grouped = wanted.groups;
    if (step.grouped) {
        const auto reach = static_cast<float>(pass.binding.references->median());
        step.held = shapes.groups.holds(shapes.run_first, sketch, reach, seen.owner);
    }
    if (!wanted.cells) return step;
    const track::CoverageReference& ordinary = pass.binding.references->coverage;
    alignas(64) float center[track::linear_size];
    step.cell.reference = ordinary.center(sketch.space(), center);
    if (step.cell.reference == 0) return step;
    step.cell.bit = coverage_planes_.bit_of(sketch.linear, center);
    step.level = track::CoverageReference::level_of(shapes.coverage.inputs(step.cell));
    if (step.level < 0) return step;
    step.cells = shapes.coverage.cells(step.cell);
    const auto rank = ordinary.rank(step.level, step.cells);
    step.wide_known = rank.known;
    step.wide = rank.wide;
    return step;
}

double Engine::shape_signal(signal::Signal signal, const track::Shapes& shapes,
                            const track::ShapeStep& pending) noexcept {
    switch (signal) {
        case signal::Signal::delta_concentration:
            return shapes.directions.concentration(pending.turn);
        case signal::Signal::group_regularity:
            return shapes.groups.regularity(pending.ends_run());
        case signal::Signal::coverage:
            return shapes.coverage.share(pending.cell);
        default:
            return std::numeric_limits<double>::quiet_NaN();
    }
}

}  // namespace atlascore::engine
