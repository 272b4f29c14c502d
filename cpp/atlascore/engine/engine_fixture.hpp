// Small policies made by hand, for the engine's tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "atlascore/engine/engine.hpp"

namespace atlascore::engine::testing {

inline rule::Condition above(const std::string& signal, double bound) {
    rule::Condition condition;
    condition.leaf.subject = signal;
    condition.leaf.op = rule::Operator::gt;
    condition.leaf.operand = rule::Number::of(bound);
    return condition;
}

inline rule::Rule rule_on(const std::string& id, std::vector<rule::Condition> all) {
    rule::Rule rule;
    rule.info.id = id;
    rule.info.title = id;
    rule.info.techniques = {"AML.T0024.002"};
    rule.condition.kind = rule::Condition::Kind::all;
    rule.condition.children = std::move(all);
    return rule;
}

// Constrain above 50 similar queries in 5 minutes, block above 100.
inline policy::Spec extraction_policy(policy::Mode mode = policy::Mode::enforce) {
    policy::Spec spec;
    spec.name = "test";
    spec.mode = mode;
    spec.program = rule::compile({
        rule_on("similar", {above("api.request_count", 50), above("api.input_similarity_score", 0.85)}),
        rule_on("many", {above("api.request_count", 100), above("api.input_similarity_score", 0.85)}),
    });
    spec.rules.resize(2);
    policy::Response constrain{"constrain", {0}, {}, policy::Action::constrain, 1, 0, {}};
    policy::Response block{
        "block", {1}, {}, policy::Action::block, 0, 0, policy::Duration{600, 2, 3600, 7200}};
    spec.responses = {constrain, block};
    spec.constraints = {{"scores", "{\"label_only\":true}"}};
    return spec;
}

inline Config small(const std::string& state = "") {
    Config config;
    config.capacity = 1'000;
    config.models = 4;
    config.state = state;
    config.seed = 7;
    return config;
}

struct Harness {
    Engine engine;
    Route route;
    explicit Harness(policy::Spec spec, const Config& config = small())
        : engine(policy::Policy::make(std::move(spec)), log::Policy{}, config),
          route(engine, "m", "predict", "/v1/models/m:predict") {}

    Decision decide(std::string_view principal, double now, const event::Input& input = {}) {
        Decision decision;
        Query query;
        query.principal = principal;
        query.now = now;
        query.input = input;
        std::vector<event::Value> fields(route.current()->route.program->fields().size());
        query.fields = fields.data();
        fault = engine.decide(*route.current(), query, decision);
        return decision;
    }
    Fault fault = Fault::none;
};

inline event::Input vector_input(const std::vector<float>& values, std::size_t width) {
    event::Input input;
    input.kind = event::InputKind::vector;
    input.values = values.data();
    input.width = width;
    input.rows = values.size() / width;
    return input;
}

}  // namespace atlascore::engine::testing
