// What counts as evidence: components, each a yes-or-no observation with two hit probabilities, and the
// families they belong to.
//
//   p0   bounds the hit probability of honest, hard traffic at every point of its history. The false-alarm
//        promise (process.hpp) is conditional on it; one family alone never blocks for that reason.
//   p1   the hit probability of an attack that is worth finding; any value above p0 keeps the promise.
//
// Strict families describe how inputs and answers relate, and enter evidence.total. Context families describe
// what a client sends, spends or shares; honest clients saturate them, so they have rules of their own and
// enter nothing else.
//
// This table is the single source: the module's evidence_components() shows it, and the reference twin, whose
// table was written from the specification, is tested against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace atlascore::evidence {

enum class Component : std::uint8_t {
    flip,
    fine_flip,
    halving,
    collinear_flip,
    new_coordinate,
    climb_descent,
    climb_ascent,
    radial,
    far,
    off_grid,
    coverage,
    unusual_block,
    cost,
    shared_input,
    shared_template,
    error,
    new_place,
    probe,
    bias_set,
    count_,
};
inline constexpr std::size_t component_count = static_cast<std::size_t>(Component::count_);
// Words kept for components in shared memory and in cold records; more than there are today.
inline constexpr std::size_t component_room = 20;
static_assert(component_count <= component_room);

enum class Family : std::uint8_t {
    boundary,
    line_search,
    coordinate,
    synthetic,
    coverage,
    cost,
    collusion,
    recon,
    count_
};
inline constexpr std::size_t family_count = static_cast<std::size_t>(Family::count_);

struct ComponentInfo {
    Component id;
    Family family;
    std::string_view name;
    double p0;
    double p1;
    double weight;  // of its R in the family's; a family's weights add up to 1
    std::string_view observation;
    std::string_view hit;
};

struct FamilyInfo {
    Family id;
    std::string_view name;
    bool strict;
};

std::span<const ComponentInfo> components() noexcept;
std::span<const FamilyInfo> families() noexcept;

}  // namespace atlascore::evidence
