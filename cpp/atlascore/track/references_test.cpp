#include "atlascore/track/references.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "atlascore/base/clock.hpp"

using namespace atlascore;
using track::ModelReferences;
using track::Sketch;

namespace {

struct Model {
    std::unique_ptr<ModelReferences> references = std::make_unique<ModelReferences>();
    std::mt19937 generator{1};
    double now = 1e6;

    Sketch draw(float scale = 1.0f, float shift = 0.0f) {
        std::normal_distribution<float> normal;
        float x[16];
        for (float& value : x) value = normal(generator) * scale + shift;
        Sketch sketch;
        track::sketch_dense(x, 16, {}, 7, sketch);
        return sketch;
    }
    void traffic(int queries, int principals, double step = 1) {
        for (int i = 0; i < queries; ++i) {
            references->update(draw(), 1000 + generator() % static_cast<unsigned>(principals), now += step);
        }
    }
};

}  // namespace

TEST_CASE("empty references give the cold-start formula") {
    Model m;
    const auto reading = m.references->read(m.draw(), 0.2f, 5);
    CHECK(reading.survival == doctest::Approx(std::exp(-2.0)));
    CHECK_FALSE(reading.near);
    CHECK_FALSE(reading.calibrated);
    CHECK(m.references->read(m.draw(), 0.049f, 5).near);
    CHECK(std::isnan(m.references->q01()));
    Sketch text;
    track::TextScratch scratch;
    track::sketch_text("sixteen shingles and a few more", 7, scratch, text);
    CHECK(m.references->read(text, 0.3f, 5).survival == doctest::Approx(std::exp(-1.0)));
}

TEST_CASE("twenty principals calibrate, and near is below the first percentile") {
    Model m;
    m.traffic(3000, 20);
    CHECK(m.references->calibrated());
    CHECK(m.references->q01() < m.references->median());
    const auto q01 = static_cast<float>(m.references->q01());
    const auto reading = m.references->read(m.draw(), q01 * 0.99f, 64);
    CHECK(reading.near);
    CHECK(reading.calibrated);
    CHECK(reading.survival > 0.985f);
    CHECK_FALSE(m.references->read(m.draw(), q01 * 1.01f, 64).near);
    const auto middle = m.references->read(m.draw(), static_cast<float>(m.references->median()), 64);
    CHECK(middle.survival == doctest::Approx(0.5).epsilon(0.05));
    // Fewer comparisons make the same distance less surprising.
    CHECK(m.references->read(m.draw(), static_cast<float>(m.references->median()), 8).survival > 0.9f);
}

TEST_CASE("few principals never calibrate; no principal gives more than an eighth") {
    Model few;
    few.traffic(20000, 4);
    CHECK_FALSE(few.references->calibrated());
    Model seven;
    seven.traffic(20000, 7, 0.01);
    CHECK(seven.references->samples() <= 7 * 125 + 7 * 200 / 60 + 7);
}

TEST_CASE("one principal has at most four entries beside others") {
    Model m;
    m.traffic(500, 50);
    for (int i = 0; i < 5000; ++i) m.references->update(m.draw(), 42, m.now += 70);
    int entries = 0;
    for (std::size_t i = 0; i < track::reservoir_count; ++i)
        entries += m.references->entries[i].principal == 42;
    CHECK(entries <= 4);
}

TEST_CASE("a flood of one caller does not move F_ref") {
    Model m;
    m.traffic(3000, 50);
    const double before = m.references->median();
    for (int i = 0; i < 50000; ++i) m.references->update(m.draw(0.01f, 5.0f), 42, m.now += 0.01);
    CHECK(m.references->median() == doctest::Approx(before).epsilon(0.02));
}

TEST_CASE("one principal alone uses its own pairs and stays uncalibrated") {
    Model m;
    for (int i = 0; i < 3000; ++i) m.references->update(m.draw(), 42, m.now += 120);
    CHECK(m.references->samples() > 200);
    CHECK_FALSE(m.references->calibrated());
    m.traffic(4000, 30);
    CHECK(m.references->calibrated());
}

TEST_CASE("another scale epoch starts anew, an outdated one is ignored") {
    Model m;
    m.traffic(2000, 20);
    track::Scale scale;
    scale.epoch = 2;
    const float x[16] = {1};
    Sketch newer, older = m.draw();
    track::sketch_dense(x, 16, scale, 7, newer);
    CHECK_FALSE(m.references->read(newer, 0.1f, 64).calibrated);
    for (int i = 0; i < 400; ++i) {
        float y[16];
        for (float& value : y) value = static_cast<float>(m.generator() % 1000);
        track::sketch_dense(y, 16, scale, 7, newer);
        m.references->update(newer, 1000 + m.generator() % 40, m.now += 61);
    }
    CHECK(m.references->samples() < 1000);
    const std::uint32_t samples = m.references->samples();
    m.references->update(older, 5, m.now += 100);
    CHECK(m.references->samples() == samples);
}

TEST_CASE("old samples fade with a half-life of a day") {
    Model m;
    m.traffic(3000, 100);
    const double before = m.references->median();
    m.now += 20 * 86400;
    for (int i = 0; i < 40000; ++i)
        m.references->update(m.draw(4.0f), 2000 + m.generator() % 100, m.now += 30);
    CHECK(m.references->median() > 2 * before);
}

TEST_CASE("a killed updater is replaced after a second and its half copy is not read") {
    Model m;
    m.traffic(600, 30);
    const std::uint32_t samples = m.references->samples();
    const double median = m.references->median();
    auto& spare = m.references->distributions[(m.references->active & 1) ^ 1];
    m.references->claim = static_cast<std::uint64_t>(base::monotonic_nanoseconds()) | 1;
    spare.sequence |= 1;
    std::memset(spare.bins, 0x55, sizeof spare.bins);
    CHECK(m.references->median() == median);
    m.traffic(100, 30);
    CHECK(m.references->samples() == samples);  // the claim is young: updates are dropped
    m.references->claim -= 2'000'000'000;
    m.traffic(100, 30);
    CHECK(m.references->samples() > samples);
    CHECK(m.references->median() == doctest::Approx(median).epsilon(0.2));
}

TEST_CASE("the same updates give the same bytes") {
    Model a, b;
    a.traffic(2500, 25);
    b.traffic(2500, 25);
    CHECK(std::memcmp(a.references.get(), b.references.get(), sizeof(ModelReferences)) == 0);
}

TEST_CASE("inputs of another width do not disturb the scale that is learned") {
    Model m;
    auto sample = std::make_unique<track::ScaleSample>();
    const std::vector<float> x(8, 2.0f), wide(100, 1e9f);
    m.references->learn_scale(x.data(), 8, 1, 7, *sample);
    m.references->learn_scale(wide.data(), 100, 2, 7, *sample);
    CHECK(m.references->learned_scale(8).epoch == 1);
    CHECK(m.references->learned_scale(8).inverse == doctest::Approx(0.5f));
    CHECK(sample->queries == 1);
}
