#include "atlascore/track/prompt_windows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace atlascore::track;

namespace {

// Texts of some kinds, as their term frequencies.
class Traffic {
  public:
    explicit Traffic(std::uint32_t seed) : random_(seed) {
        for (auto& kind : kinds_) {
            for (float& value : kind) value = normal_(random_);
        }
    }

    FourierFeatures of_kind(std::size_t kind, float own = 1.0f) {
        float linear[linear_size];
        float square = 0;
        for (std::size_t i = 0; i < linear_size; ++i) {
            linear[i] = kinds_[kind][i] + own * normal_(random_);
            square += linear[i] * linear[i];
        }
        for (float& value : linear) value /= std::sqrt(square);
        FourierFeatures features;
        map.apply(linear, features);
        return features;
    }
    std::uint64_t kinds = 4;  // of ordinary texts
    FourierFeatures ordinary() { return of_kind(random_() % kinds); }
    FourierFeatures campaign() { return of_kind(4, 0.5f); }
    std::uint64_t draw() { return random_(); }

    const FourierMap map{5};

  private:
    std::mt19937_64 random_;
    std::normal_distribution<float> normal_;
    std::array<std::array<float, linear_size>, 5> kinds_;
};

struct Model {
    std::unique_ptr<PromptWindows> windows = std::make_unique<PromptWindows>();
    Traffic traffic{1};
    double now = 1000;

    // From an account that counts.
    void add(const FourierFeatures& features, bool ordinary = true) {
        const auto counted = [&] {
            return windows->learned + windows->in_block + windows->in_large * PromptWindows::block_prompts;
        };
        const std::uint32_t before = counted();
        while (counted() == before) windows->add(features, traffic.draw(), now, ordinary);
    }
    void learn(std::uint32_t blocks = PromptWindows::fewest_blocks) {
        for (std::uint32_t i = 0; i < PromptWindows::reference_prompts; ++i) add(traffic.ordinary());
        for (std::uint32_t i = 0; i < blocks; ++i) block(0);
    }
    // A block with so many prompts of a campaign among the others; what is found then.
    PromptWindows::Finding block(std::uint32_t campaign) {
        now += 100;
        for (std::uint32_t i = 0; i < PromptWindows::block_prompts; ++i)
            add(i < campaign ? traffic.campaign() : traffic.ordinary());
        return windows->newest(now);
    }
};

double product(const FourierFeatures& a, const FourierFeatures& b) {
    double sum = 0;
    for (std::size_t i = 0; i < fourier_size; ++i)
        sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
}

}  // namespace

TEST_CASE("features have norm 1, and their products are those of the kernel") {
    const FourierMap map(9), same(9), other(10);
    std::mt19937 random(2);
    std::normal_distribution<float> normal(0, 0.125f);
    for (int round = 0; round < 20; ++round) {
        float a[linear_size], b[linear_size];
        double square = 0;
        for (std::size_t i = 0; i < linear_size; ++i) {
            a[i] = normal(random);
            b[i] = normal(random);
            square += static_cast<double>((a[i] - b[i]) * (a[i] - b[i]));
        }
        double kernel = 0;
        for (const double width : {0.7, 1.4, 2.8, 5.6}) kernel += std::exp(-square / (2 * width * width)) / 4;
        FourierFeatures fa, fb, fs, fo;
        map.apply(a, fa);
        map.apply(b, fb);
        same.apply(a, fs);
        other.apply(a, fo);
        CHECK(product(fa, fa) == doctest::Approx(1).epsilon(1e-4));
        CHECK(product(fa, fb) == doctest::Approx(kernel).scale(1).epsilon(0.15));
        CHECK(fa == fs);
        CHECK(fa != fo);
    }
}

TEST_CASE("of an account's prompts of a day the n-th counts once in n times") {
    const FourierMap map(3);
    for (const std::uint32_t n : {1u, 2u, 7u, 100u}) {
        int counted = 0;
        for (std::uint64_t digest = 0; digest < 20'000; ++digest) counted += map.counts(digest * 77, n);
        const double expected = 20'000.0 / n;
        CHECK(std::abs(counted - expected) <= 5 * std::sqrt(expected));
    }
}

TEST_CASE("ordinary blocks are near, a campaign's are beyond the limit, and its prompts on their side") {
    Model model;
    CHECK(model.windows->newest(model.now).of == nullptr);
    model.learn(PromptWindows::fewest_blocks);
    CHECK(model.windows->newest(model.now).of == nullptr);  // the first blocks had no limit
    int beyond = 0;
    for (int i = 0; i < 50; ++i) {
        const auto found = model.block(0);
        REQUIRE(found.of != nullptr);
        beyond += found.times >= 1;
    }
    CHECK(beyond <= 1);
    for (const std::uint32_t share : {100u, 50u, 25u}) {
        const auto found = model.block(share);
        CHECK(found.times > 1);
        int campaign = 0, others = 0;
        for (int i = 0; i < 200; ++i) {
            campaign += PromptWindows::alike(*found.of, model.traffic.campaign());
            others += PromptWindows::alike(*found.of, model.traffic.ordinary());
        }
        CHECK(campaign > 190);
        CHECK(others < 40);
    }
    CHECK(model.block(0).times < 1);
}

TEST_CASE("the first reference takes ordinary prompts alone") {
    Model model;
    for (int i = 0; i < 5000; ++i)
        model.windows->add(model.traffic.campaign(), model.traffic.draw(), model.now, false);
    CHECK(model.windows->learned == 0);
    model.learn();
    CHECK(model.block(100).times > 1);
}

TEST_CASE("one prompt of an account counts in a block") {
    Model model;
    model.learn();
    const std::uint32_t before = model.windows->in_block;
    for (int i = 0; i < 5'000; ++i) model.windows->add(model.traffic.campaign(), 77, model.now, true);
    CHECK(model.windows->in_block <= before + 1);
    CHECK(model.block(0).times < 1);
}

TEST_CASE("a block counts for a day") {
    Model model;
    model.learn();
    REQUIRE(model.block(100).of != nullptr);
    CHECK(model.windows->newest(model.now + 86'399).of != nullptr);
    CHECK(model.windows->newest(model.now + 86'401).of == nullptr);
}

TEST_CASE("a campaign does not become ordinary within weeks, nor raise the limit; what stays does") {
    Model model;
    model.learn(100);
    for (int day = 0; day < 10; ++day) {
        model.now += 86'400;
        CHECK(model.block(100).times > 1);
    }
    CHECK(model.block(0).times < 1);
    for (int day = 0; day < 1'000; ++day) {
        model.now += 86'400;
        model.block(50);
    }
    CHECK(model.block(50).times < 1);
}

TEST_CASE("few blocks are beyond the limit, whatever the number of kinds") {
    for (const std::uint64_t kinds : {2u, 4u}) {
        Model model;
        model.traffic.kinds = kinds;
        model.learn(200);
        int beyond = 0;
        for (int i = 0; i < 500; ++i)
            beyond += model.block(0).of == &model.windows->small && model.windows->small.times >= 1;
        CHECK(beyond <= 4);
        CHECK(model.block(60).times > 1);
    }
}

TEST_CASE("a twelfth of the prompts is found in blocks of 1,500") {
    Model model;
    model.learn(30 * PromptWindows::large_blocks);
    double largest = 0;
    int small = 0;
    for (std::uint32_t i = 0; i < 2 * PromptWindows::large_blocks; ++i) {
        const auto found = model.block(8);
        small += found.of == &model.windows->small && found.times >= 1;
        if (found.of == &model.windows->large) largest = std::max(largest, found.times);
    }
    CHECK(largest > 1);
    CHECK(small <= 2);
}

TEST_CASE("an update that finds another at work is not counted; readers see whole blocks") {
    Model model;
    model.learn(100);
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            Traffic traffic(1);
            for (int i = 0; i < t; ++i) traffic.draw();  // other accounts
            for (int i = 0; i < 1'000; ++i)
                model.windows->add(traffic.campaign(), traffic.draw(), model.now, true);
        });
    }
    std::thread reader([&] {
        Traffic traffic(1);
        while (!stop) {
            const auto found = model.windows->newest(model.now);
            if (found.of != nullptr) {
                CHECK(found.times > 0);
                PromptWindows::alike(*found.of, traffic.campaign());
            }
        }
    });
    for (std::thread& thread : threads) thread.join();
    stop = true;
    reader.join();
    CHECK(model.windows->claim == 0);
    CHECK(model.windows->newest(model.now).of != nullptr);
}
