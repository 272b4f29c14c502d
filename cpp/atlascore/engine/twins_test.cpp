#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "atlascore/engine/engine_fixture.hpp"

using namespace atlascore;
using namespace atlascore::engine;
using namespace atlascore::engine::testing;

namespace {

constexpr std::size_t width = 6;

// BLOCK from 20 records with a twin on, and from half of a budget of 200.
policy::Spec twin_policy() {
    policy::Spec spec;
    spec.mode = policy::Mode::enforce;
    spec.program = rule::compile({rule_on("twins", {above("api.twin_records", 19.5)}),
                                  rule_on("budget", {above("api.extraction_budget_used", 0.5)})});
    spec.rules.resize(2);
    spec.responses = {policy::Response{"block", {0, 1}, {}, policy::Action::block, 0, 0, {}}};
    policy::Model model;
    model.pattern = "m";
    model.modality = policy::Modality::row;
    model.extraction_budget = 200;
    spec.models = {model};
    return spec;
}

struct Gateway : Harness {
    double now = 1.9e9;
    std::mt19937 random{5};
    explicit Gateway(policy::Spec spec = twin_policy()) : Harness(std::move(spec)) {}

    std::vector<float> rows(std::size_t n) {
        std::vector<float> values(n * width);
        for (float& value : values) value = static_cast<float>(random()) * 0x1p-32f;
        return values;
    }
    Decision ask(const std::vector<float>& values) {
        event::Input input = vector_input(values, width);
        input.kind = event::InputKind::row;
        now += 1;
        return decide("p", now, input);
    }
    double value(signal::Signal s) {
        return engine.signals("p", "m", now).value()[static_cast<std::size_t>(s)];
    }
    std::uint64_t tag() {
        const std::uint64_t principal = engine.expect(*route.current(), "p");
        return track::KeyTable::tag_of(base::mix64(principal, route.current()->model_tag));
    }
    void others(int n) {
        for (int i = 0; i < n; ++i) {
            const std::vector<float> row = rows(1);
            event::Input input = vector_input(row, width);
            input.kind = event::InputKind::row;
            decide("other-" + std::to_string(i), now, input);
        }
    }
    double twins() { return value(signal::Signal::twin_records); }
    double budget() { return value(signal::Signal::extraction_budget_used); }
};

std::vector<float> with(std::vector<float> row, std::size_t column, float value) {
    for (std::size_t i = column; i < row.size(); i += width) row[i] = value;
    return row;
}

}  // namespace

TEST_CASE("the twentieth record with a twin is blocked, and what is blocked leaves no trace") {
    Gateway gateway;
    std::vector<std::vector<float>> records;
    for (int i = 0; i < 30; ++i) records.push_back(gateway.rows(1));
    for (const auto& record : records) CHECK(gateway.ask(with(record, 2, 0)).action == Action::allow);
    CHECK(std::isnan(gateway.twins()));
    for (int i = 0; i < 19; ++i) CHECK(gateway.ask(with(records[i], 2, 1)).action == Action::allow);
    CHECK(gateway.twins() == 19);
    for (int i = 19; i < 30; ++i) CHECK(gateway.ask(with(records[i], 2, 1)).action == Action::block);
    CHECK(gateway.ask(with(records[19], 2, 1)).action == Action::block);
    CHECK(gateway.twins() == 19);
    CHECK(gateway.budget() == doctest::Approx(49 / 200.0).epsilon(1e-4));
    CHECK(gateway.ask(with(records[3], 2, 5)).action == Action::allow);  // the third value of a record
}

TEST_CASE("the rows of a batch are twins of each other before they are committed") {
    Gateway gateway;
    const std::vector<float> records = gateway.rows(30);
    std::vector<float> both = with(records, 1, 0);
    const std::vector<float> second = with(records, 1, 1);
    both.insert(both.end(), second.begin(), second.end());
    CHECK(gateway.ask(both).action == Action::block);
    CHECK(gateway.budget() == 0);
    CHECK(gateway.ask(with(records, 1, 0)).action == Action::allow);
    CHECK(gateway.ask(with(records, 1, 1)).action == Action::block);
    CHECK(std::isnan(gateway.twins()));
}

TEST_CASE("a what-if user has one record; an edited form has no majority") {
    Gateway gateway;
    const std::vector<float> record = gateway.rows(1);
    for (int i = 0; i < 50; ++i) gateway.ask(with(record, 3, static_cast<float>(i)));
    CHECK(std::isnan(gateway.twins()));
    for (int i = 0; i < 40; ++i) {
        std::vector<float> form = gateway.rows(1);
        gateway.ask(form);
        gateway.ask(form = with(form, static_cast<std::size_t>(i) % width, 0));
    }
    CHECK(gateway.twins() == 0);
}

TEST_CASE("a sweep over two columns is no enumeration") {
    Gateway gateway;
    const std::vector<float> record = gateway.rows(1);
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 20; ++j) {
            const auto row = with(with(record, 1, static_cast<float>(i)), 2, static_cast<float>(j));
            gateway.ask(row);
            const double found = gateway.twins();
            CHECK((std::isnan(found) || found <= 2));
        }
    }
}

TEST_CASE("copies do not count against the budget, queries without an input do") {
    Gateway gateway;
    const std::vector<float> records = gateway.rows(20);
    gateway.ask(records);
    CHECK(gateway.budget() == doctest::Approx(0.1));
    gateway.ask(records);
    CHECK(gateway.budget() == doctest::Approx(0.1).epsilon(1e-4));
    gateway.now += 1;
    gateway.decide("p", gateway.now);
    CHECK(gateway.budget() == doctest::Approx(21 / 200.0).epsilon(1e-4));
    CHECK(gateway.ask(gateway.rows(90)).action == Action::block);
    CHECK(gateway.ask(gateway.rows(79)).action == Action::allow);
    CHECK(gateway.budget() == doctest::Approx(0.5).epsilon(1e-4));
}

TEST_CASE("the budget outlives the hot slab") {
    Gateway gateway;
    gateway.ask(gateway.rows(12));
    const track::HotRef before = gateway.engine.tracks().look(gateway.tag(), gateway.now)->hot;
    REQUIRE(before);
    gateway.others(200);
    REQUIRE(gateway.engine.tracks().hot(before) == nullptr);
    CHECK(gateway.budget() == doctest::Approx(12 / 200.0).epsilon(1e-4));
}

TEST_CASE("from a tenth on the budget outlives a flood of busy callers") {
    Gateway gateway;
    // So slowly, and without an input, that nothing else keeps the track.
    for (int i = 0; i < 30; ++i) gateway.decide("p", gateway.now += 10'000);
    for (int i = 0; i < 40'000; ++i) gateway.decide("other-" + std::to_string(i / 5), gateway.now);
    CHECK(gateway.budget() == doctest::Approx(30 / 200.0).epsilon(0.1));
}

TEST_CASE("without a declared budget there is no signal") {
    policy::Spec spec = twin_policy();
    spec.models[0].extraction_budget = 0;
    Gateway gateway(std::move(spec));
    for (int i = 0; i < 300; ++i) CHECK(gateway.ask(gateway.rows(1)).action == Action::allow);
    CHECK(std::isnan(gateway.budget()));
}
