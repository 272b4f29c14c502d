#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>

#include "atlascore/base/error.hpp"
#include "atlascore/engine/engine_fixture.hpp"

using namespace atlascore;
using namespace atlascore::engine;
using namespace atlascore::engine::testing;
using policy::Action;

// Every allocation of this program is counted, so that a test can assert there is none. Sanitizers bring
// their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ATLASCORE_COUNTS_ALLOCATIONS
namespace {
std::atomic<std::size_t> allocations{0};
}
[[gnu::noinline]] void* operator new(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    const auto unit = static_cast<std::size_t>(alignment);
    if (void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
#endif

namespace {

constexpr std::size_t width = 64;

struct Inputs {
    std::mt19937 random{5};
    std::normal_distribution<float> normal;
    std::vector<float> base = natural();

    std::vector<float> natural() {
        std::vector<float> x(width);
        for (float& value : x) value = normal(random);
        return x;
    }
    std::vector<float> near_base() {
        std::vector<float> x = base;
        for (float& value : x) value += 0.001f * normal(random);
        return x;
    }
};

}  // namespace

TEST_CASE("an extraction is constrained and then blocked; ordinary queries are not") {
    Harness harness(extraction_policy());
    Inputs inputs;
    Action seen[300];
    for (int i = 0; i < 300; ++i) {
        const auto x = inputs.near_base();
        seen[i] = harness.decide("thief", 1e9 + i * 0.1, vector_input(x, width)).action;
        const auto y = inputs.natural();
        CHECK(harness.decide("user", 1e9 + i * 2, vector_input(y, width)).action == Action::allow);
    }
    CHECK(seen[49] == Action::allow);
    CHECK(seen[50] == Action::constrain);
    CHECK(seen[99] == Action::constrain);
    CHECK(seen[100] == Action::block);
    CHECK(seen[299] == Action::block);
}

TEST_CASE("what is blocked is not volume, and a standing decision is not prolonged by it") {
    Harness harness(extraction_policy());
    Inputs inputs;
    for (int i = 0; i < 1101; ++i) {
        const auto x = inputs.near_base();
        harness.decide("thief", 1e9 + i * 0.1, vector_input(x, width));
    }
    const auto x = inputs.near_base();
    CHECK(harness.engine.signals("thief", "m", 1e9 + 110)->at(0) == doctest::Approx(100));
    CHECK(harness.decide("thief", 1e9 + 609, vector_input(x, width)).action == Action::block);
    // Ten minutes after the first BLOCK (at 10 s) it ends: the window is empty by then.
    CHECK(harness.decide("thief", 1e9 + 611.5, vector_input(x, width)).action == Action::allow);
}

TEST_CASE("shadow decides the same and does nothing") {
    Harness harness(extraction_policy(policy::Mode::shadow));
    Inputs inputs;
    Decision decision;
    for (int i = 0; i < 150; ++i) {
        const auto x = inputs.near_base();
        decision = harness.decide("thief", 1e9 + i * 0.1, vector_input(x, width));
        CHECK(decision.action == Action::allow);
        CHECK(decision.constraints == 0);
    }
    CHECK(decision.would == Action::block);
    CHECK(decision.rule_count == 2);
}

TEST_CASE("a batch of N rows is N queries, and its rows see each other") {
    Harness harness(extraction_policy());
    Inputs inputs;
    const auto batch_of_60 = [&] {
        std::vector<float> batch;
        for (int i = 0; i < 60; ++i) {
            const auto x = inputs.near_base();
            batch.insert(batch.end(), x.begin(), x.end());
        }
        return batch;
    };
    const auto first = batch_of_60(), second = batch_of_60();
    const Decision decision = harness.decide("thief", 1e9, vector_input(first, width));
    CHECK(decision.rows == 60);
    CHECK(decision.signals[0] == 60);
    CHECK(decision.action == Action::constrain);
    CHECK(harness.decide("thief", 1e9 + 1, vector_input(second, width)).action == Action::block);
    CHECK(harness.engine.signals("thief", "m", 1e9 + 1)->at(0) == 60);  // the blocked one left no trace
}

TEST_CASE("bad input is a fault, and leaves nothing behind") {
    Harness harness(extraction_policy());
    for (const double now : {-1.0, 5e9, std::nan(""), std::numeric_limits<double>::infinity()}) {
        harness.decide("p", now);
        CHECK(harness.fault == Fault::time);
    }
    std::vector<float> bad(width, 1.0f);
    bad[3] = std::numeric_limits<float>::quiet_NaN();
    harness.decide("p", 1e9, vector_input(bad, width));
    CHECK(harness.fault == Fault::values);
    CHECK(harness.decide("p", 1e9).signals[0] == 1);
}

TEST_CASE(
    "limits: never more than the maximum, a refusal says when to come back, other models are not touched") {
    policy::Spec spec = extraction_policy();
    policy::Limit limit;
    limit.name = "minute";
    limit.per_principal = limit.per_model = true;
    limit.max = 5;
    limit.window = 60;
    spec.limits = {limit};
    Harness harness(std::move(spec));
    int admitted = 0;
    Decision decision;
    for (int i = 0; i < 20; ++i) {
        decision = harness.decide("p", 1e9 + i);
        admitted += decision.action == Action::allow;
    }
    CHECK(admitted == 5);
    CHECK(decision.step == log::Step::limit);
    CHECK(decision.retry_after > 30);
    CHECK(harness.decide("q", 1e9 + 20).action == Action::allow);
    CHECK(harness.decide("p", 1e9 + 70).action == Action::allow);
}

TEST_CASE("an allow entry lowers its rules to LOG until it expires") {
    policy::Spec spec = extraction_policy();
    spec.allow = {{"nightly", {"batch-*"}, {}, true, {0, 1}, 1e9 + 60}};
    Harness harness(std::move(spec));
    Inputs inputs;
    Decision decision;
    for (int i = 0; i < 150; ++i) {
        const auto x = inputs.near_base();
        decision = harness.decide("batch-7", 1e9 + i * 0.1, vector_input(x, width));
    }
    CHECK(decision.action == Action::log);
    CHECK(decision.allowed_by == 0);
    const auto x = inputs.near_base();
    CHECK(harness.decide("batch-7", 1e9 + 61, vector_input(x, width)).action == Action::block);
}

TEST_CASE("a rate constraint refuses what exceeds it") {
    policy::Spec spec = extraction_policy();
    spec.responses = {{"slow", {0, 1}, {}, policy::Action::constrain, 1, 2.0, {}}};
    Harness harness(std::move(spec));
    Inputs inputs;
    int admitted = 0;
    for (int i = 0; i < 150; ++i) {
        const auto x = inputs.near_base();
        admitted += harness.decide("thief", 1e9 + i * 0.1, vector_input(x, width)).action != Action::block;
    }
    CHECK(admitted >= 50 + 18);  // ten seconds at 2/s, and the burst
    CHECK(admitted <= 50 + 24);
}

TEST_CASE("reload keeps the state; windows that the state lacks are refused") {
    Harness harness(extraction_policy());
    for (int i = 0; i < 10; ++i) harness.decide("p", 1e9 + i);
    policy::Spec off = extraction_policy(policy::Mode::off);
    harness.engine.reload(policy::Policy::make(off), log::Policy{});
    const Decision decision = harness.decide("p", 1e9 + 11);
    CHECK(decision.rule_count == 0);
    CHECK(decision.signals[0] == 11);
    policy::Spec hour = extraction_policy();
    rule::Rule rule = rule_on("hour", {above("api.request_count", 5)});
    rule.info.window = 3600;
    hour.program = rule::compile({rule});
    hour.rules.resize(1);
    hour.responses.clear();
    CHECK_THROWS_AS(harness.engine.reload(policy::Policy::make(hour), log::Policy{}), base::Error);
}

#ifdef ATLASCORE_COUNTS_ALLOCATIONS
TEST_CASE("the hot path does not allocate") {
    policy::Spec spec = extraction_policy();
    policy::Limit limit;
    limit.name = "day";
    limit.per_principal = true;
    limit.max = 1'000'000;
    limit.window = 86'400;
    spec.limits = {limit};
    Harness harness(std::move(spec));
    Inputs inputs;
    std::vector<std::vector<float>> xs;
    for (int i = 0; i < 512; ++i) xs.push_back(i % 2 == 0 ? inputs.natural() : inputs.near_base());
    std::vector<float> wide(784 * 4, 0.5f);
    std::vector<std::string> principals;
    for (int i = 0; i < 3'000; ++i)
        principals.push_back("principal-" + std::to_string(i));  // more than there is room for
    std::vector<event::Value> fields(harness.route.current()->route.program->fields().size());
    event::Input text;
    text.kind = event::InputKind::text;
    const std::string prompt(3'000, 'x');
    text.text = prompt;
    const auto run = [&](std::size_t calls) {
        for (std::size_t i = 0; i < calls; ++i) {
            Query query;
            query.principal = principals[i * 7 % principals.size()];
            query.session = "s";
            query.now = 1e9 + static_cast<double>(i) * 0.01;
            query.fields = fields.data();
            if (i % 4 == 1) query.input = vector_input(xs[i % xs.size()], width);
            if (i % 4 == 2) query.input = text;
            if (i % 64 == 3) query.input = vector_input(wide, 784);
            Decision decision, answer;
            harness.engine.decide(*harness.route.current(), query, decision);
            Answer told;
            told.now = query.now;
            harness.engine.record(*harness.route.current(), decision, told, answer);
        }
    };
    run(64);  // a thread's first calls make its scratch
    const std::size_t before = allocations.load();
    run(20'000);
    CHECK(allocations.load() == before);
}
#endif

TEST_CASE("a log record carries what was decided") {
    Config config = small();
    char directory[] = "/tmp/atlascore-engine-XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    config.log_directory = directory;
    policy::Spec spec = extraction_policy();
    log::Policy names;
    names.mode = "enforce";
    names.atlas_release = "2026.09";
    for (const rule::RuleInfo& info : spec.program->rules())
        names.rules.push_back({info.id, info.techniques});
    for (const rule::SignalRef& ref : spec.program->signals(rule::Phase::request)) {
        names.signals.emplace_back(signal::info(ref.signal).name);
    }
    names.constraints = {{"scores", "{\"label_only\":true}"}};
    std::string text;
    {
        Engine engine(policy::Policy::make(spec), names, config);
        Route route(engine, "m", "predict", "/m");
        Inputs inputs;
        std::vector<event::Value> fields(route.current()->route.program->fields().size());
        for (int i = 0; i < 51; ++i) {
            const auto x = inputs.near_base();
            Query query;
            query.principal = "thief";
            query.now = 1e9 + i;
            query.input = vector_input(x, width);
            query.fields = fields.data();
            Decision decision;
            engine.decide(*route.current(), query, decision);
        }
        CHECK(engine.close());
    }
    std::FILE* file = std::fopen((std::string(directory) + "/decisions.jsonl").c_str(), "r");
    REQUIRE(file != nullptr);
    for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
    std::fclose(file);
    CHECK(text.find("\"action\":\"CONSTRAIN\"") != std::string::npos);
    CHECK(text.find("\"constraints\":{\"scores\":{\"label_only\":true}}") != std::string::npos);
    CHECK(text.find("\"step\":\"response\",\"step_name\":\"constrain\"") != std::string::npos);
    CHECK(text.find("\"api.request_count\":\"51\"") != std::string::npos);
    CHECK(text.find("thief") == std::string::npos);  // only its commitment
    std::system(("rm -r " + std::string(directory)).c_str());
}
