// Many threads, and processes killed at any instruction, on one slab and one model.
#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/track/recent.hpp"
#include "atlascore/track/references.hpp"

using namespace atlascore;
using track::HotSlab;
using track::ModelReferences;
using track::Sketch;

namespace {

using Clock = std::chrono::steady_clock;

// All 64 features have one whole value, so the distance of two whole sketches is a whole number; that of a
// mixture of several is none, but for a few chances in a hundred.
Sketch constant(unsigned value) {
    float x[64];
    std::fill(std::begin(x), std::end(x), static_cast<float>(value));
    Sketch sketch;
    track::sketch_dense(x, 64, {}, 7, sketch);
    return sketch;
}

bool is_whole(float distance) {
    return std::abs(distance - std::round(distance)) < 1e-3f;
}

struct Shared {
    HotSlab slab;
    ModelReferences references;
    std::atomic<std::uint64_t> torn;
    std::atomic<std::uint64_t> compared;
    std::atomic<std::uint64_t> broken_summaries;
    std::atomic<std::uint64_t> false_flips;
};

// The same for everybody, so whatever seems to differ was torn.
constexpr std::uint16_t common_label = 77;

void query(Shared& shared, std::mt19937& generator, double now) {
    const Sketch sketch = constant(generator() % 1800);
    track::Head next;
    const track::Wanted wanted{.lines = true, .sparse = true};
    const track::Observation o = shared.slab.observe(sketch, shared.references, now, wanted, &next);
    if (o.compared) {
        shared.compared.fetch_add(1, std::memory_order_relaxed);
        if (!is_whole(o.distance)) shared.torn.fetch_add(1, std::memory_order_relaxed);
    }
    const track::WindowSummary s = shared.slab.summary(now, 60, &o);
    if (!(std::isnan(s.near_ratio) || (s.near_ratio >= 0 && s.near_ratio <= 1)) ||
        !(std::isnan(s.similarity_score) || (s.similarity_score >= 0 && s.similarity_score <= 1))) {
        shared.broken_summaries.fetch_add(1, std::memory_order_relaxed);
    }
    const std::uint32_t ticket = shared.slab.take_tickets(1);
    shared.slab.commit(sketch, o, now, ticket, &next);
    const double score = static_cast<double>(generator() % 100) / 100;
    const double scores[] = {score, 1 - score};
    const track::AnswerTests tests =
        shared.slab.answer(ticket, {.label = common_label, .has_margin = true, .scores = scores});
    const auto flips = static_cast<std::uint64_t>(
        std::count_if(tests.pairs.begin(), tests.pairs.begin() + tests.pair_count,
                      [](const track::AnswerTests::Pair& pair) { return pair.flip; }));
    shared.false_flips.fetch_add(flips + o.between, std::memory_order_relaxed);
    shared.references.update(sketch, 1 + generator() % 40, now);
}

}  // namespace

TEST_CASE("threads: no torn sketch is ever the nearest") {
    auto shared = std::make_unique<Shared>();
    shared->slab.reset(1);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (unsigned id = 0; id < 4; ++id) {
        threads.emplace_back([&, id] {
            std::mt19937 generator(id);
            for (double now = 1000; !stop.load(std::memory_order_relaxed); now += 0.01)
                query(*shared, generator, now);
        });
    }
    threads.emplace_back([&] {
        for (std::uint64_t owner = 2; !stop.load(std::memory_order_relaxed); ++owner) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            shared->slab.reset(owner);
        }
    });
    std::this_thread::sleep_for(std::chrono::seconds(2));
    stop = true;
    for (std::thread& thread : threads) thread.join();
    CHECK(shared->compared > 1000);
    // Whole by chance although mixed, or mixed although whole: none seen; the check word leaves 1 in 2^32.
    CHECK(shared->torn == 0);
    CHECK(shared->broken_summaries == 0);
    CHECK(shared->false_flips == 0);
    CHECK(shared->references.samples() > 200);
}

TEST_CASE("processes killed at any instruction leave slab and model usable") {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    auto* shared = new (memory) Shared{};
    shared->slab.reset(1);
    std::mt19937 generator(99);
    for (unsigned round = 0; round < 60; ++round) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            std::mt19937 own(round);
            for (double now = 1000 + round;; now += 0.001) query(*shared, own, now);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(2000 + generator() % 3000));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        for (int i = 0; i < 30; ++i) query(*shared, generator, 1010.0 + round);
    }
    CHECK(shared->compared > 100);
    CHECK(shared->torn == 0);
    CHECK(shared->broken_summaries == 0);
    // Whatever claim a child took with it is free again a second later.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    for (int i = 0; i < 3000; ++i) query(*shared, generator, 2000.0 + i);
    CHECK(shared->references.samples() >= track::calibration_samples);
    CHECK(shared->torn == 0);
    munmap(memory, sizeof(Shared));
}
