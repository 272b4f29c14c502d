#include "atlascore/engine/parameters.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "atlascore/engine/engine_fixture.hpp"

using namespace atlascore;
using namespace atlascore::engine;
using namespace atlascore::engine::testing;
using event::Value;
using policy::Action;

namespace {

policy::Spec harvest_policy() {
    policy::Spec spec;
    spec.name = "test";
    spec.mode = policy::Mode::enforce;
    spec.program = rule::compile({rule_on("harvest", {above("api.logprob_harvest", 49)}),
                                  rule_on("much", {above("api.logprob_harvest", 99)})});
    spec.rules.resize(2);
    spec.responses = {{"constrain", {0}, {}, policy::Action::constrain, 1, 0, {}},
                      {"block", {1}, {}, policy::Action::block, 0, 0, {}}};
    spec.constraints = {{"drop_logprobs", "true"}};
    return spec;
}

struct Caller : Harness {
    explicit Caller(const Config& config = small()) : Harness(harvest_policy(), config) {}

    Decision call(std::string_view prompt, std::vector<Value> ids, Value logprobs = {}, Value top = {}) {
        Value biased;
        if (!ids.empty()) {
            biased.kind = event::ValueKind::array;
            biased.items = ids.data();
            biased.size = static_cast<std::uint32_t>(ids.size());
        }
        return send(prompt, biased, logprobs, top);
    }
    Decision send(std::string_view prompt, const Value& biased, Value logprobs = {}, Value top = {}) {
        const rule::Program& program = *route.current()->route.program;
        std::vector<Value> fields(program.fields().size());
        fields[static_cast<std::size_t>(program.field("logprobs"))] = logprobs;
        fields[static_cast<std::size_t>(program.field("top_logprobs"))] = top;
        fields[static_cast<std::size_t>(program.field("logit_bias_ids"))] = biased;
        Query query;
        query.principal = principal;
        query.now = now += 1;
        query.fields = fields.data();
        if (!prompt.empty()) {
            query.input.kind = event::InputKind::text;
            query.input.text = prompt;
        }
        Decision decision;
        CHECK(engine.decide(*route.current(), query, decision) == Fault::none);
        return decision;
    }
    double harvest() const {
        const auto all = engine.signals(principal, "m", now);
        return all ? (*all)[static_cast<std::size_t>(signal::Signal::logprob_harvest)] : NAN;
    }
    std::string principal = "p";
    double now = 1.9e9;
};

Value id(std::int64_t i) {
    return Value::of_int(i);
}

}  // namespace

TEST_CASE("the program carries the parameters when a rule reads the signal, and only then") {
    Caller with;
    CHECK(with.route.current()->reads_parameters);
    CHECK(with.route.current()->field_logit_bias >= 0);
    CHECK_FALSE(with.route.current()->reads_input);
    Harness without(extraction_policy());
    CHECK_FALSE(without.route.current()->reads_parameters);
    CHECK(without.route.current()->route.program->fields().empty());
}

TEST_CASE("the query under way counts, and one that is blocked leaves no trace") {
    Caller caller;
    for (int i = 1; i <= 99; ++i) {
        const Decision decision = caller.call("prompt", {id(0), id(i)});
        CHECK(decision.signals[0] == i);
        CHECK(decision.action == (i < 50 ? Action::allow : Action::constrain));
    }
    for (int i = 100; i < 120; ++i) {
        const Decision decision = caller.call("prompt", {id(0), id(i)});
        CHECK(decision.signals[0] == 100);
        CHECK(decision.action == Action::block);
    }
    CHECK(caller.harvest() == 99);
}

TEST_CASE("a set is a set, and an id has many spellings") {
    Caller caller;
    caller.call("prompt", {id(5), id(7)});
    caller.call("prompt", {id(7), id(5), id(5)});
    caller.call("prompt", {Value::of_text("7"), Value::of_real(5.0)});
    CHECK(caller.harvest() == 1);
    caller.send("prompt", id(5));
    CHECK(caller.harvest() == 2);
    caller.send("prompt", Value::of_text("5"));
    CHECK(caller.harvest() == 2);
    caller.send("prompt", {}, Value::of_bool(true));
    CHECK(caller.harvest() == 3);
}

TEST_CASE("who asks for nothing of the kind is not counted") {
    Caller caller;
    CHECK(std::isnan(caller.call("prompt", {}).signals[0]));
    caller.call("prompt", {}, Value::of_bool(false), id(0));
    caller.call("prompt", {}, Value::of_text("true"), Value::of_null());
    caller.call("prompt", {id(-1), Value::of_bool(true), Value::of_real(0.5), Value::of_text("")});
    caller.send("prompt", Value::of_real(std::numeric_limits<double>::quiet_NaN()));
    CHECK(std::isnan(caller.harvest()));
    CHECK(caller.call("prompt", {}, {}, id(5)).signals[0] == 1);
    caller.call("prompt", {}, id(5));
    CHECK(caller.harvest() == 1);
}

TEST_CASE("without a prompt the tokens count alone") {
    Caller caller;
    for (int i = 0; i < 60; ++i) caller.call("", {id(2 * i), id(2 * i + 1)});
    CHECK(caller.harvest() == doctest::Approx(120 / 20.0).epsilon(0.3));
}

TEST_CASE("each prompt of a batch is a call") {
    Caller caller;
    const std::vector<std::string_view> texts{"a", "b", "a"};
    const rule::Program& program = *caller.route.current()->route.program;
    for (int i = 0; i < 10; ++i) {
        std::vector<Value> fields(program.fields().size());
        fields[static_cast<std::size_t>(program.field("logit_bias_ids"))] = id(i);
        Query query;
        query.principal = "p";
        query.now = caller.now += 1;
        query.fields = fields.data();
        query.input.kind = event::InputKind::text;
        query.input.text = "a\nb\na";
        query.input.texts = texts;
        query.input.rows = texts.size();
        Decision decision;
        CHECK(caller.engine.decide(*caller.route.current(), query, decision) == Fault::none);
    }
    CHECK(caller.harvest() == 10);
}

TEST_CASE("a track that harvests keeps its slab when others want it") {
    Config config = small();
    config.hot = 16;
    Caller caller(config);
    for (int i = 0; i < 20; ++i) {
        caller.call("prompt", {id(i)});
        caller.now += 1000;  // never 16 queries within the windows of the rules
    }
    for (int other = 0; other < 200; ++other) {
        caller.principal = "other-" + std::to_string(other);
        caller.call("prompt", {id(1)});
    }
    caller.principal = "p";
    CHECK(caller.harvest() == 20);
}
