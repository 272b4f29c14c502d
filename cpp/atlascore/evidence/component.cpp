#include "atlascore/evidence/component.hpp"

#include <array>

namespace atlascore::evidence {
namespace {

constexpr std::array<ComponentInfo, component_count> component_table{{
    {Component::flip, Family::boundary, "flip", 0.10, 0.35, 0.5,
     "a near pair without text or categories, both labels known", "the labels differ"},
    {Component::fine_flip, Family::boundary, "fine_flip", 0.02, 0.15, 0.5,
     "the same, once the track has eight near pairs",
     "the labels differ at less than half the median distance of the last 32 near pairs"},
    {Component::halving, Family::line_search, "halving", 0.001, 0.10, 0.5,
     "an input that was not sent before and has two predecessors",
     "it lies halfway between two inputs with different labels, or halves the step before it"},
    {Component::collinear_flip, Family::line_search, "collinear_flip", 0.002, 0.10, 0.5, "the same",
     "it lies on the line between two inputs with different labels"},
    {Component::new_coordinate, Family::coordinate, "new_coordinate", 0.10, 0.50, 1.0 / 3,
     "a near pair (rows: of 32 columns or more)",
     "it differs in few coordinates, and in one that no sparse pair within a day has changed"},
    {Component::climb_descent, Family::coordinate, "climb_descent", 1.0 / 3, 0.85, 1.0 / 6,
     "of near inputs, one with a new lowest score of their label, and one without",
     "the caller went on from the first, and from the second back to the best"},
    {Component::climb_ascent, Family::coordinate, "climb_ascent", 1.0 / 3, 0.85, 1.0 / 6,
     "the same of highest scores", "the same"},
    {Component::radial, Family::coordinate, "radial", 0.10, 0.70, 1.0 / 3,
     "a near pair that differs in a quarter of the coordinates",
     "its nearest input is that of six near pairs before, and of half of those since the first of them"},
    {Component::far, Family::synthetic, "far", 0.20, 0.80, 0.5,
     "numbers that were not sent before, for a model whose ordinary inputs are known",
     "they lie farther from those than twice what 99 % of them do"},
    {Component::off_grid, Family::synthetic, "off_grid", 0.05, 0.60, 0.5,
     "the same, where a grid of values is declared and ordinary inputs keep to it",
     "more than a tenth of the values are off the grid"},
    {Component::coverage, Family::coverage, "coverage", 0.03, 0.50, 0.5,
     "a track's 64th input, its 128th, 256th, ... that was not sent before, where 100 principals have come "
     "as "
     "far",
     "it has been in more cells of the input space than 99 % of those had"},
    {Component::unusual_block, Family::coverage, "unusual_block", 0.02, 0.50, 0.5,
     "a prompt that counts for the model's blocks (1 in n for the n-th of the day), where their limit is "
     "known",
     "the newest block is beyond it, and the prompt is of the kind that there are too many of"},
    {Component::cost, Family::cost, "cost", 0.01, 0.40, 1.0, "a request whose cost is recorded",
     "it costs more than 99.9 % of the model's requests"},
    {Component::shared_input, Family::collusion, "shared", 0.03, 0.30, 0.5,
     "an input that was not sent before, by anybody", "it is near one of another principal"},
    {Component::shared_template, Family::collusion, "template", 0.05, 0.60, 0.5,
     "a prompt whose template is not allowed", "five or more young principals have sent its template"},
    {Component::error, Family::recon, "error", 0.20, 0.60, 0.25,
     "the answer to a principal that has used more than eight models and endpoints within the hour",
     "an error that the caller made (400, 401, 403, 404, 405, 413, 415, 422)"},
    {Component::new_place, Family::recon, "new_place", 0.05, 0.50, 0.25, "a request of such a principal",
     "its model or its endpoint is new"},
    {Component::probe, Family::recon, "probe", 0.001, 0.20, 0.25,
     "a prompt, where more than four known probes were sent within 24 h", "it is a new one of these"},
    {Component::bias_set, Family::recon, "bias_set", 0.005, 0.80, 0.25,
     "a call that biases tokens, where more than 16 have done so on one prompt, each unlike the one before",
     "it is one more of these"},
}};

constexpr std::array<FamilyInfo, family_count> family_table{{
    {Family::boundary, "boundary", true},
    {Family::line_search, "line_search", true},
    {Family::coordinate, "coordinate", true},
    {Family::synthetic, "synthetic", false},
    {Family::coverage, "coverage", false},
    {Family::cost, "cost", false},
    {Family::collusion, "collusion", false},
    {Family::recon, "recon", false},
}};

}  // namespace

std::span<const ComponentInfo> components() noexcept {
    return component_table;
}

std::span<const FamilyInfo> families() noexcept {
    return family_table;
}

}  // namespace atlascore::evidence
