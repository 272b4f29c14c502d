// What the inputs of a track look like one after the other: how they turn, whether they come in
// groups, and how much of the space they have been through.
#pragma once

#include <cstdint>
#include <type_traits>

#include "atlascore/track/coverage.hpp"
#include "atlascore/track/directions.hpp"
#include "atlascore/track/groups.hpp"

namespace atlascore::track {

// What one input is to them; made before the decision, kept by add() after it.
struct ShapeStep {
    float turn = no_turn;
    bool grouped = false;  // runs are looked at
    bool held = false;     // by the run that goes on
    Coverage::Step cell{};
    int level = -1;           // CoverageReference::level_of
    double cells = 0;         // at a level: those that the track has been in
    bool wide_known = false;  // at a level: whether that is more than is ordinary
    bool wide = false;

    bool ends_run() const noexcept { return grouped && !held; }
};

struct alignas(64) Shapes {
    SlotRow run_first;  // of the groups
    Groups groups;
    Directions directions;
    Coverage coverage;

    void add(const Sketch& sketch, const ShapeStep& step, std::uint64_t owner) noexcept {
        if (step.turn == step.turn) directions.add(step.turn);
        if (step.grouped) groups.add(run_first, sketch, step.held, owner);
        coverage.add(step.cell);
    }
    void reset() noexcept {
        groups.reset();
        directions.clear();
        coverage.clear();
    }
};
static_assert(sizeof(Shapes) == 384);
static_assert(std::is_trivially_copyable_v<Shapes> && std::is_standard_layout_v<Shapes>);

}  // namespace atlascore::track
