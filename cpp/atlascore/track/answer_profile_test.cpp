#include "atlascore/track/answer_profile.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/track/answer_references.hpp"

using namespace atlascore::track;

namespace {

std::uint16_t label(unsigned i) {
    return static_cast<std::uint16_t>(1 + i * 40'503u % 65'535u);
}

// References that `principals` have taught, each with `answers` answers of `labels` labels in turn.
void teach_labels(AnswerReferences& references, int principals, unsigned answers, unsigned labels) {
    for (int p = 0; p < principals; ++p) {
        AnswerProfile profile{};
        for (unsigned i = 0; i < answers; ++i) {
            const auto [n, before] = profile.add_label(label(i % labels));
            if (n > AnswerReferences::first_answers && std::has_single_bit(n))
                references.add_labels(n / 2, before);
        }
    }
}

AnswerProfile answered(unsigned answers, unsigned labels) {
    AnswerProfile profile{};
    for (unsigned i = 0; i < answers; ++i) profile.add_label(label(i % labels));
    return profile;
}

}  // namespace

TEST_CASE("bins of margins are fine where models are sure") {
    CHECK(margin_bin(-1) == 0);
    CHECK(margin_bin(0) == 0);
    CHECK(margin_bin(std::nan("")) == 0);
    CHECK(margin_bin(0.0624) == 0);
    CHECK(margin_bin(0.0625) == 1);
    CHECK(margin_bin(0.7499) == 11);
    CHECK(margin_bin(0.75) == 12);
    CHECK(margin_bin(0.8749) == 12);
    CHECK(margin_bin(0.875) == 13);
    CHECK(margin_bin(0.9374) == 13);
    CHECK(margin_bin(1 - 0.25 / 1024) == 22);
    CHECK(margin_bin(1 - 0.25 / 2048) == 23);
    CHECK(margin_bin(1) == 23);
}

TEST_CASE("a profile counts labels and margins until a counter is full") {
    AnswerProfile profile{};
    CHECK(profile.answers() == 0);
    CHECK(profile.labels_set() == 0);
    for (unsigned i = 0; i < 30; ++i) CHECK(profile.add_label(label(i % 3)).answers == i + 1);
    CHECK(profile.labels_set() == 3);
    for (int i = 0; i < 65'535; ++i) CHECK(profile.add_margin(1));
    CHECK_FALSE(profile.add_margin(1));
    CHECK_FALSE(profile.add_margin(0));
    CHECK(profile.margin_count() == 65'535);
    profile.reset();
    CHECK(profile.margin_count() == 0);
    CHECK(profile.answers() == 0);
}

TEST_CASE("answers of several threads are all counted") {
    AnswerProfile profile{};
    auto references = std::make_unique<AnswerReferences>();
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (unsigned i = 0; i < 2000; ++i) {
                profile.add_label(label(t));
                profile.add_margin(t / 4.0);
                references->add_margin(t / 4.0);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(profile.answers() == 8000);
    CHECK(profile.margin_count() == 8000);
    CHECK(std::accumulate(std::begin(references->margins), std::end(references->margins), 0u) == 8000);
}

TEST_CASE("labels are compared with the 99th percentile at as many answers") {
    auto references = std::make_unique<AnswerReferences>();
    teach_labels(*references, 31, 128, 4);
    CHECK(std::isnan(references->label_discovery(answered(16, 4))));
    teach_labels(*references, 69, 128, 4);
    CHECK(std::isnan(references->label_discovery(answered(15, 15))));
    CHECK(references->label_discovery(answered(16, 4)) == 1);
    CHECK(references->label_discovery(answered(40, 4)) == doctest::Approx(1));
    CHECK(references->label_discovery(answered(64, 4)) == 1);
    CHECK(references->label_discovery(answered(64, 2)) == doctest::Approx(0.5).epsilon(0.02));
    CHECK(references->label_discovery(answered(30, 20)) == doctest::Approx(5).epsilon(0.2));
    CHECK(std::isnan(references->label_discovery(answered(65, 4))));  // no principal has come so far
    // One in a hundred is not 99 %.
    teach_labels(*references, 1, 128, 30);
    CHECK(references->label_discovery(answered(64, 4)) == 1);
    teach_labels(*references, 5, 128, 30);
    CHECK(references->label_discovery(answered(64, 4)) < 0.2);
}

TEST_CASE("margins are compared with the model's") {
    auto references = std::make_unique<AnswerReferences>();
    std::mt19937 random(1);
    std::uniform_real_distribution<double> uniform(0, 1);
    AnswerProfile same{}, surer{};
    for (int i = 0; i < 199; ++i) {
        same.add_margin(uniform(random));
        surer.add_margin(std::sqrt(uniform(random)));
    }
    for (int i = 0; i < 999; ++i) references->add_margin(uniform(random));
    same.add_margin(0.5);
    CHECK(std::isnan(references->confidence_shift(same)));
    references->add_margin(0.5);
    CHECK(std::isnan(references->confidence_shift(surer)));  // 199
    surer.add_margin(0.9);
    CHECK(references->confidence_shift(same) < 1.5);
    CHECK(references->confidence_shift(surer) > 5);
    AnswerProfile other{};
    for (int i = 0; i < 5000; ++i) other.add_margin(0.01);
    CHECK(references->confidence_shift(other) == 30);
}

TEST_CASE("old samples fade") {
    auto references = std::make_unique<AnswerReferences>();
    for (int i = 0; i < 65'536; ++i) references->add_margin(0);
    for (int i = 0; i < 100'000; ++i) references->add_margin(1);
    const auto sum = std::accumulate(std::begin(references->margins), std::end(references->margins), 0u);
    CHECK(sum <= 65'537);
    CHECK(references->margins[0] <= sum / 4);
    teach_labels(*references, 10'000, 32, 2);
    CHECK(std::accumulate(std::begin(references->labels[0]), std::end(references->labels[0]), 0u) <= 4'097);
}
