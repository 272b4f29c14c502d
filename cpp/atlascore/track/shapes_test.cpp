#include "atlascore/track/shapes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

using namespace atlascore;
using track::Directions;
using track::Groups;
using track::Sketch;

namespace {

constexpr std::uint64_t owner = 9;

Sketch point(float value) {
    Sketch sketch;
    track::sketch_dense(&value, 1, {}, 7, sketch);
    return sketch;
}

// Runs of `lengths` inputs, far from each other and near within.
void send(track::Shapes& shapes, const std::vector<int>& lengths) {
    float centre = 0;
    for (const int length : lengths) {
        centre += 100;
        for (int i = 0; i < length; ++i) {
            const Sketch sketch = point(centre + 0.5f * static_cast<float>(i % 2));
            const bool held = shapes.groups.holds(shapes.run_first, sketch, 1.0f, owner);
            shapes.add(sketch, {.grouped = true, .held = held}, owner);
        }
    }
}

}  // namespace

TEST_CASE("two directions hold everything, forty hold a twentieth") {
    Directions two{}, all{};
    for (int i = 0; i < 63; ++i) two.add(i % 2 == 0 ? -1.0f : 0.5f);
    CHECK(std::isnan(two.concentration(track::no_turn)));
    CHECK(two.concentration(0.5f) == 1.0);
    for (int i = 0; i < 200; ++i) all.add(-0.975f + 0.05f * static_cast<float>(i % 40));
    CHECK(all.concentration(track::no_turn) == doctest::Approx(0.05));
}

TEST_CASE("the ends of the scale are in the outer bins, and what rounding puts beyond them") {
    Directions d{};
    for (int i = 0; i < 32; ++i) {
        d.add(1.0f);
        d.add(1.0000002f);
        d.add(-1.0000002f);
    }
    CHECK(d.bins[39] == 64);
    CHECK(d.bins[0] == 32);
}

TEST_CASE("older steps lose their weight, and there are always enough") {
    Directions d{};
    for (int i = 0; i < 383; ++i) d.add(-0.5f);
    CHECK(d.concentration(track::no_turn) == 1.0);
    for (int i = 0; i < 400; ++i) d.add(-0.975f + 0.05f * static_cast<float>(i % 40));
    CHECK(d.concentration(track::no_turn) < 0.35);
    CHECK(d.concentration(track::no_turn) > 0.05);
    d.clear();
    CHECK(std::isnan(d.concentration(track::no_turn)));
}

TEST_CASE("equal runs are regular, the one under way does not count") {
    auto shapes = std::make_unique<track::Shapes>();
    const Groups& groups = shapes->groups;
    send(*shapes, std::vector<int>(10, 6));
    CHECK(std::isnan(groups.regularity(false)));  // nine have ended
    CHECK(groups.regularity(true) == 1.0);
    send(*shapes, {2, 2});
    CHECK(groups.regularity(false) < 0.9);
}

TEST_CASE("only the last sixteen runs count") {
    auto shapes = std::make_unique<track::Shapes>();
    const Groups& groups = shapes->groups;
    send(*shapes, {40, 3, 9});
    send(*shapes, std::vector<int>(17, 5));
    CHECK(groups.regularity(false) == 1.0);
}

TEST_CASE("single inputs and pairs are no groups") {
    auto shapes = std::make_unique<track::Shapes>();
    const Groups& groups = shapes->groups;
    send(*shapes, std::vector<int>(30, 2));
    CHECK(std::isnan(groups.regularity(true)));
}

TEST_CASE("half of the runs may be shorter, when the others are longer by as much") {
    for (const auto& [longer, known] : {std::pair{4, true}, std::pair{3, false}}) {
        auto shapes = std::make_unique<track::Shapes>();
        std::vector<int> lengths(5, 2);
        lengths.insert(lengths.end(), 6, longer);  // the last of them goes on
        send(*shapes, lengths);
        CHECK(std::isnan(shapes->groups.regularity(false)) != known);
    }
}

TEST_CASE("without a reach, and for another owner or another width, a run ends") {
    auto shapes = std::make_unique<track::Shapes>();
    const Groups& groups = shapes->groups;
    const Sketch sketch = point(1);
    shapes->add(sketch, {.grouped = true}, owner);
    CHECK(groups.holds(shapes->run_first, sketch, 1.0f, owner));
    CHECK_FALSE(groups.holds(shapes->run_first, sketch, std::nanf(""), owner));
    CHECK_FALSE(groups.holds(shapes->run_first, sketch, 1.0f, owner + 1));
    const float wide[2] = {1, 0};
    Sketch other;
    track::sketch_dense(wide, 2, {}, 7, other);
    CHECK_FALSE(groups.holds(shapes->run_first, other, 1.0f, owner));
    shapes->reset();
    CHECK_FALSE(groups.holds(shapes->run_first, sketch, 1.0f, owner));
}

TEST_CASE("two writers and a change of owner leave nothing that is out of range") {
    auto shapes = std::make_unique<track::Shapes>();
    std::atomic<int> writing = 2;
    const auto write = [&](float sign) {
        for (int i = 0; i < 20'000; ++i) {
            const Sketch sketch = point(sign * static_cast<float>(i / 4 * 10));
            track::ShapeStep step{.turn = sign * 0.5f, .grouped = true};
            step.held = shapes->groups.holds(shapes->run_first, sketch, 1.0f, owner);
            step.cell = {static_cast<std::uint16_t>(i % track::Coverage::bit_count), 1};
            shapes->add(sketch, step, owner);
            if (i % 5'000 == 0) shapes->reset();
        }
        --writing;
    };
    std::thread first(write, 1.0f), second(write, -1.0f);
    while (writing != 0) {
        const double direction = shapes->directions.concentration(track::no_turn);
        const double regularity = shapes->groups.regularity(true);
        const double coverage = shapes->coverage.share({});
        CHECK((std::isnan(direction) || (direction > 0.99 && direction <= 1)));
        CHECK((std::isnan(regularity) || (regularity >= 0 && regularity <= 1)));
        CHECK((std::isnan(coverage) || (coverage >= 0 && coverage <= 1)));  // 0 while it is emptied
    }
    first.join();
    second.join();
    shapes->reset();
    CHECK(std::isnan(shapes->directions.concentration(0.5f)));
    CHECK(shapes->coverage.inputs({}) == 0);
}
