#include "atlascore/track/sketch.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "atlascore/track/sketch_slot.hpp"

using namespace atlascore;
using track::Sketch;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

Sketch dense(const std::vector<float>& x, const track::Scale& scale = {}) {
    Sketch sketch;
    track::sketch_dense(x.data(), x.size(), scale, 7, sketch);
    return sketch;
}

}  // namespace

TEST_CASE("up to 64 features the sketch is the scaled input") {
    track::Scale scale;
    scale.center = 1;
    scale.inverse = 2;
    const Sketch sketch = dense({1.0f, 2.0f, 0.5f}, scale);
    CHECK(sketch.linear[0] == 0.0f);
    CHECK(sketch.linear[1] == 2.0f);
    CHECK(sketch.linear[2] == -1.0f);
    CHECK(sketch.linear[3] == 0.0f);
    CHECK(sketch.width == 3);
}

TEST_CASE("above 64 features the sketch is linear") {
    const auto x = random_floats(784, 1), y = random_floats(784, 2);
    std::vector<float> sum(784);
    for (std::size_t i = 0; i < 784; ++i) sum[i] = x[i] + 0.5f * y[i];
    const Sketch a = dense(x), b = dense(y), c = dense(sum);
    for (std::size_t i = 0; i < 64; ++i)
        CHECK(c.linear[i] == doctest::Approx(a.linear[i] + 0.5f * b.linear[i]).epsilon(1e-4));
}

TEST_CASE("the digest folds -0 and nothing else") {
    auto x = random_floats(300, 3);
    x[17] = 0.0f;
    auto y = x;
    y[17] = -0.0f;
    CHECK(dense(x).digest == dense(y).digest);
    y[17] = 1e-45f;
    CHECK_FALSE(dense(x).digest == dense(y).digest);
}

TEST_CASE("spaces keep apart what cannot be compared") {
    track::Scale other;
    other.epoch = 17;
    const auto x = random_floats(100, 4);
    CHECK(dense(x).space() == dense(random_floats(100, 5)).space());
    CHECK(dense(x).space() != dense(random_floats(101, 4)).space());
    CHECK(dense(x).space() != dense(x, other).space());
    track::TextScratch scratch;
    Sketch text, brief, digest;
    track::sketch_text("a text of at least sixteen shingles", 7, scratch, text);
    track::sketch_text("brief", 7, scratch, brief);
    track::sketch_digest({1, 2}, digest);
    CHECK(text.space() != 0);
    CHECK(text.space() != dense(x).space());
    CHECK(brief.space() == 0);
    CHECK(digest.space() == 0);
}

TEST_CASE("images above 32 x 32 are averaged by area") {
    // 64 x 64, every 2 x 2 cell constant: the pooled image is the 32 x 32 of the constants.
    const auto small = random_floats(32 * 32 * 3, 6);
    std::vector<float> large(64 * 64 * 3);
    for (std::size_t r = 0; r < 64; ++r) {
        for (std::size_t c = 0; c < 64; ++c) {
            for (std::size_t k = 0; k < 3; ++k)
                large[(r * 64 + c) * 3 + k] = small[(r / 2 * 32 + c / 2) * 3 + k];
        }
    }
    Sketch a, b;
    track::sketch_image(small.data(), 32, 32, 3, {}, 7, a);
    track::sketch_image(large.data(), 64, 64, 3, {}, 7, b);
    CHECK(b.width == 32 * 32 * 3);
    for (std::size_t i = 0; i < 64; ++i) CHECK(b.linear[i] == doctest::Approx(a.linear[i]).epsilon(1e-4));
}

TEST_CASE("distances: RMS per feature, and one less the Jaccard estimate") {
    std::vector<float> x(10, 1.0f), y(10, 1.5f);
    const auto row = track::pack(dense(y));
    float raw;
    track::raw_distances(dense(x), &row, 1, &raw);
    CHECK(track::distance_of(dense(x), raw) == doctest::Approx(0.5f));

    track::TextScratch scratch;
    Sketch text, far;
    track::sketch_text("a text of at least sixteen shingles", 7, scratch, text);
    track::sketch_text("0123, 4567; xyz uvw qrs nothing alike", 7, scratch, far);
    const auto stored = track::pack(text);
    track::raw_distances(text, &stored, 1, &raw);
    CHECK(track::distance_of(text, raw) == doctest::Approx(0.0f));
    track::raw_distances(far, &stored, 1, &raw);
    CHECK(track::distance_of(far, raw) > 0.9f);
}

TEST_CASE("a slot that is torn, dead or another's is not read") {
    track::SlotMeta meta{};
    track::SlotRow row{}, out;
    const auto content = track::pack(dense(random_floats(64, 8)));
    CHECK(track::published(meta, 5) == 0);
    REQUIRE(track::write_slot(meta, row, content, {42, 5}, 99));
    const std::uint32_t sequence = track::published(meta, 5);
    REQUIRE(sequence != 0);
    CHECK(track::published(meta, 6) == 0);
    CHECK(track::read_slot(meta, row, sequence, 99, out));
    CHECK_FALSE(track::read_slot(meta, row, sequence, 98, out));  // another owner

    SUBCASE("a writer died inside: the slot is out until it is reused") {
        meta.sequence += 1;
        CHECK(track::published(meta, 5) == 0);
        REQUIRE(track::write_slot(meta, row, content, {43, 5}, 99));
        CHECK(track::read_slot(meta, row, track::published(meta, 5), 99, out));
    }
    SUBCASE("a writer slept through a reuse and wrote on: the check tells") {
        row.words[3] ^= 1;
        CHECK(track::published(meta, 5) == sequence);
        CHECK_FALSE(track::read_slot(meta, row, sequence, 99, out));
    }
    SUBCASE("a sequence word that has gone round its range") {
        meta.sequence = 0xFFFFFFFEu;
        REQUIRE(track::write_slot(meta, row, content, {43, 5}, 99));
        CHECK(track::published(meta, 5) == 2);
    }
}
