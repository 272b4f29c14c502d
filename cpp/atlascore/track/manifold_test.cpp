#include "atlascore/track/manifold.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "atlascore/track/references.hpp"

using namespace atlascore;
using track::linear_size;
using track::Manifold;

namespace {

constexpr std::uint16_t space = 9;

std::vector<float> normal_inputs(std::size_t count, unsigned seed, float scale = 1) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.5f, scale);
    std::vector<float> values(count * linear_size);
    for (float& value : values) value = normal(generator);
    return values;
}

Manifold made_of(const std::vector<float>& inputs, float off_grid = -1) {
    Manifold manifold{};
    const std::vector<float> shares(inputs.size() / linear_size, off_grid);
    track::make_manifold(inputs, shares, space, manifold);
    return manifold;
}

track::Sketch sketch_of(const float* values) {
    track::Sketch sketch;
    track::sketch_dense(values, linear_size, {}, 7, sketch);
    return sketch;
}

}  // namespace

TEST_CASE("a reference needs 32 inputs, and says nothing of another space") {
    CHECK_FALSE(made_of(normal_inputs(31, 1)).locate(normal_inputs(1, 2).data(), space).known);
    const Manifold manifold = made_of(normal_inputs(32, 1));
    CHECK(manifold.locate(normal_inputs(1, 2).data(), space).known);
    CHECK_FALSE(manifold.locate(normal_inputs(1, 2).data(), space + 1).known);
    CHECK_FALSE(manifold.locate(normal_inputs(1, 2).data(), 0).known);
    CHECK_FALSE(Manifold{}.locate(normal_inputs(1, 2).data(), 0).known);
}

TEST_CASE("ordinary inputs spread over the ranks, foreign ones are far") {
    const Manifold manifold = made_of(normal_inputs(256, 1));
    const auto ordinary = normal_inputs(500, 2), foreign = normal_inputs(20, 3, 4.0f);
    double sum = 0;
    for (std::size_t i = 0; i < 500; ++i) {
        const track::Location location = manifold.locate(ordinary.data() + i * linear_size, space);
        sum += location.rank;
        CHECK_FALSE(location.far);
    }
    CHECK(sum / 500 == doctest::Approx(0.5).epsilon(0.1));
    for (std::size_t i = 0; i < 20; ++i) {
        const track::Location location = manifold.locate(foreign.data() + i * linear_size, space);
        CHECK(location.far);
        CHECK(location.rank == 1.0f);
    }
}

TEST_CASE("a tenth of foreign entries does not move it") {
    auto inputs = normal_inputs(256, 1);
    const auto foreign = normal_inputs(25, 3, 4.0f);
    std::copy(foreign.begin(), foreign.end(), inputs.end() - static_cast<std::ptrdiff_t>(foreign.size()));
    const Manifold manifold = made_of(inputs);
    const auto more = normal_inputs(20, 4, 4.0f);
    for (std::size_t i = 0; i < 20; ++i) CHECK(manifold.locate(more.data() + i * linear_size, space).far);

    std::vector<float> shares(256, 0.0f);
    std::fill(shares.end() - 25, shares.end(), 1.0f);
    Manifold with_shares{};
    track::make_manifold(inputs, shares, space, with_shares);
    CHECK(with_shares.off_grid == 0.0f);
}

TEST_CASE("a feature that never changed is no infinite distance") {
    auto inputs = normal_inputs(256, 1);
    for (std::size_t i = 0; i < 256; ++i) inputs[i * linear_size] = 0.0f;
    const Manifold manifold = made_of(inputs);
    auto input = normal_inputs(1, 2);
    input[0] = 0.2f;
    CHECK_FALSE(manifold.locate(input.data(), space).far);
}

TEST_CASE("the off-grid share is known when it is declared") {
    CHECK(made_of(normal_inputs(256, 1)).locate(normal_inputs(1, 2).data(), space).off_grid == 1.0f);
    CHECK(made_of(normal_inputs(256, 1), 0.25f).locate(normal_inputs(1, 2).data(), space).off_grid == 0.25f);
}

TEST_CASE("a model learns where its inputs lie, from many principals") {
    auto references = std::make_unique<track::ModelReferences>();
    const auto inputs = normal_inputs(400, 5), foreign = normal_inputs(1, 6, 4.0f);
    CHECK_FALSE(references->locate(sketch_of(foreign.data())).known);
    for (std::size_t i = 0; i < 400; ++i) {
        references->update(sketch_of(inputs.data() + i * linear_size), 1000 + i % 100,
                           1e6 + static_cast<double>(i), 0.0f);
    }
    const track::Location location = references->locate(sketch_of(foreign.data()));
    CHECK(location.known);
    CHECK(location.far);
    CHECK(location.off_grid == 0.0f);

    auto alone = std::make_unique<track::ModelReferences>();
    for (std::size_t i = 0; i < 400; ++i) {
        alone->update(sketch_of(inputs.data() + i * linear_size), 7, 1e6 + 8000 * static_cast<double>(i),
                      0.0f);
    }
    CHECK_FALSE(alone->locate(sketch_of(foreign.data())).known);
}
