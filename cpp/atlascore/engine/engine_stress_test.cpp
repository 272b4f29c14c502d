// Threads that decide on one engine while another reloads it.
#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/engine/engine_fixture.hpp"

using namespace atlascore;
using namespace atlascore::engine;
using namespace atlascore::engine::testing;

TEST_CASE("threads share tracks; nothing is lost while the policy is reloaded") {
    constexpr int threads = 3, calls = 3'000, principals = 20;
    constexpr std::size_t width = 32;
    Engine engine(policy::Policy::make(extraction_policy(policy::Mode::shadow)), log::Policy{}, small());
    std::atomic<bool> stop{false};
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&engine, t] {
            Route route(engine, "m", "predict", "/m");
            std::mt19937 random(static_cast<unsigned>(t));
            std::normal_distribution<float> normal;
            std::vector<float> x(width * 3);
            std::vector<event::Value> fields(16);
            for (int i = 0; i < calls; ++i) {
                for (float& value : x) value = normal(random);
                const std::string principal = "p" + std::to_string(i % principals);
                Query query;
                query.principal = principal;
                query.now = 1e9 + i * 0.001;
                query.fields = fields.data();
                query.input = vector_input(x, width);
                query.input.rows = i % 10 == 0 ? 3 : 1;
                Decision decision, response;
                const auto binding = route.current();
                if (engine.decide(*binding, query, decision) != Fault::none) std::abort();
                Answer answer;
                answer.now = query.now;
                answer.fields = fields.data();
                engine.record(*binding, decision, answer, response);
            }
        });
    }
    std::thread reloads([&] {
        for (int i = 0; !stop.load() && i < 200; ++i) {
            const auto mode = i % 2 == 0 ? policy::Mode::off : policy::Mode::shadow;
            engine.reload(policy::Policy::make(extraction_policy(mode)), log::Policy{});
        }
    });
    for (std::thread& worker : workers) worker.join();
    stop = true;
    reloads.join();
    double total = 0;
    for (int p = 0; p < principals; ++p) {
        const auto signals = engine.signals("p" + std::to_string(p), "m", 1e9 + 4);
        REQUIRE(signals);
        total += (*signals)[static_cast<std::size_t>(signal::Signal::request_count)];
    }
    CHECK(total == threads * (calls + 2 * calls / 10));
}

TEST_CASE("threads whose callers show the same infrastructure keys end up in one cluster per key") {
    constexpr int threads = 3, rounds = 40, accounts = 24, keys = 4;
    constexpr std::size_t width = 8;
    policy::Spec spec;
    spec.program = rule::compile({rule_on("searched", {above("evidence.total", 3)})});
    spec.rules.resize(1);
    Engine engine(policy::Policy::make(std::move(spec)), log::Policy{}, small());
    const auto ask = [&](Route& route, int account, double now) {
        const auto binding = route.current();
        std::vector<event::Value> fields(binding->route.program->fields().size());
        const std::string principal = "p" + std::to_string(account),
                          key = "k" + std::to_string(account % keys);
        const std::vector<float> x(width, static_cast<float>(account));
        fields[static_cast<std::size_t>(binding->field_cluster_keys)] = event::Value::of_text(key);
        Query query;
        query.principal = principal;
        query.now = now;
        query.fields = fields.data();
        query.input = vector_input(x, width);
        Decision decision;
        if (engine.decide(*binding, query, decision) != Fault::none) std::abort();
        return decision;
    };
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&, t] {
            Route route(engine, "m", "predict", "/m");
            for (int i = 0; i < rounds * accounts; ++i) ask(route, (i * (t + 1) + t) % accounts, 1e9 + i);
        });
    }
    for (std::thread& worker : workers) worker.join();
    Route route(engine, "m", "predict", "/m");
    std::vector<std::uint64_t> clusters(keys);
    for (int account = 0; account < accounts; ++account) {
        const Decision decision = ask(route, account, 1e9 + rounds * accounts);
        CHECK(decision.by_key);
        CHECK(decision.history_tag != decision.track_tag);
        std::uint64_t& cluster = clusters[static_cast<std::size_t>(account % keys)];
        if (cluster == 0) cluster = decision.history_tag;
        CHECK(decision.history_tag == cluster);
    }
}

TEST_CASE("threads that begin the same hours leave one past to each track") {
    constexpr int threads = 3, hours = 400, principals = 6;
    constexpr std::size_t width = 8;
    policy::Spec spec;
    spec.program = rule::compile({rule_on("changed", {above("api.baseline_shift", 8)})});
    spec.rules.resize(1);
    Engine engine(policy::Policy::make(std::move(spec)), log::Policy{}, small());
    const double start = 1e9;
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&, t] {
            Route route(engine, "m", "predict", "/m");
            std::mt19937 random(static_cast<unsigned>(t));
            std::normal_distribution<float> normal;
            std::vector<float> x(width);
            std::vector<event::Value> fields(16);
            for (int i = 0; i < hours * principals * 4; ++i) {
                for (float& value : x) value = normal(random);
                const std::string principal = "p" + std::to_string(i % principals);
                Query query;
                query.principal = principal;
                query.now = start + i / (principals * 4) * 3600.0 + i % (principals * 4);
                query.fields = fields.data();
                query.input = vector_input(x, width);
                Decision decision, response;
                const auto binding = route.current();
                if (engine.decide(*binding, query, decision) != Fault::none) std::abort();
                Answer answer;
                answer.now = query.now;
                answer.cost = 100;
                answer.fields = fields.data();
                engine.record(*binding, decision, answer, response);
            }
        });
    }
    for (std::thread& worker : workers) worker.join();
    for (int p = 0; p < principals; ++p) {
        const auto signals = engine.signals("p" + std::to_string(p), "m", start + hours * 3600.0);
        REQUIRE(signals);
        const double shift = (*signals)[static_cast<std::size_t>(signal::Signal::baseline_shift)];
        CHECK(shift >= 0);
        CHECK(shift <= 8);
    }
}
