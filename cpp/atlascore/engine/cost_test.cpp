#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "atlascore/engine/engine_fixture.hpp"

using namespace atlascore;
using namespace atlascore::engine;
using namespace atlascore::engine::testing;
using evidence::Component;
using policy::Action;

namespace {

// Constrain by either signal; each rule has a number, so that a test sees which has matched.
policy::Spec cost_policy() {
    policy::Spec spec;
    spec.mode = policy::Mode::enforce;
    spec.program = rule::compile({rule_on("rare", {above("evidence.cost", 2.999)}),
                                  rule_on("amplified", {above("api.cost_amplification", 9.999)})});
    spec.rules.resize(2);
    policy::Response constrain{"constrain", {0, 1}, {}, Action::constrain, 1, 0, {}};
    spec.responses = {constrain};
    spec.constraints = {{"max_tokens", "1024"}};
    return spec;
}

struct Gateway : Harness {
    double now = 1.8e9;
    std::mt19937_64 random{3};

    explicit Gateway(policy::Spec spec = cost_policy()) : Harness(std::move(spec)) {}

    Decision ask(std::string_view principal, const event::Input& input = {}, double declared = 0) {
        now += 1;
        Decision decision;
        Query query;
        query.principal = principal;
        query.now = now;
        query.input = input;
        query.cost = declared;
        std::vector<event::Value> fields(route.current()->route.program->fields().size());
        query.fields = fields.data();
        engine.decide(*route.current(), query, decision);
        return decision;
    }
    void tell(const Decision& decision, double cost, int status = 200) {
        Answer answer;
        answer.cost = cost;
        answer.now = now;
        answer.status = status;
        Decision response;
        engine.record(*route.current(), decision, answer, response);
    }
    // What 40 callers usually ask: 40 to 240 a request.
    void ordinary(int requests = 1'200, const event::Input& input = {}) {
        for (int i = 0; i < requests; ++i) {
            const std::string principal = "caller-" + std::to_string(random() % 40);
            tell(ask(principal, input), 40 + static_cast<double>(random() % 200));
        }
    }
    track::CostReferences& references() { return route.current()->references->costs; }
    // Null: the track has no slab.
    const track::HotTrack* hot(std::string_view principal) {
        const auto track = engine.tracks().look(track_tag(principal), now);
        return track ? engine.tracks().hot(track->hot) : nullptr;
    }
    std::uint64_t evidence_word(std::string_view principal) {
        const track::HotTrack* slab = hot(principal);
        return slab == nullptr ? 0 : slab->evidence[static_cast<std::size_t>(Component::cost)];
    }
    double evidence(std::string_view principal) {
        const auto i = static_cast<std::size_t>(signal::Signal::evidence_cost);
        return engine.signals(principal, "m", now).value()[i];
    }
    double amplification(std::string_view principal) {
        const track::HotTrack* slab = hot(principal);
        return slab == nullptr ? std::nan("") : slab->costs.fifth(now, 300);
    }

  private:
    std::uint64_t track_tag(std::string_view principal) {
        const std::uint64_t tag = engine.expect(*route.current(), principal);
        return track::KeyTable::tag_of(base::mix64(tag, route.current()->model_tag));
    }
};

bool is_zero(const void* from, std::size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(from);
    return std::all_of(at, at + bytes, [](unsigned char byte) { return byte == 0; });
}

event::Input text_of(const std::string& text) {
    event::Input input;
    input.kind = event::InputKind::text;
    input.text = text;
    return input;
}

}  // namespace

TEST_CASE("dear requests constrain their caller, whatever their input") {
    const std::string text(300, 'x');
    const std::vector<float> values(64, 0.5f);
    for (const event::Input& input : {event::Input{}, text_of(text), vector_input(values, 64)}) {
        Gateway gateway;
        gateway.ordinary(1'200, input);
        std::vector<Decision> seen;
        for (int i = 0; i < 8; ++i) {
            seen.push_back(gateway.ask("harvester", input));
            gateway.tell(seen.back(), 1'500);
        }
        CHECK(seen[1].action == Action::allow);
        CHECK(seen[2].action == Action::constrain);  // two requests in a row, of which 1 in 1,000 is so dear
        CHECK((seen[2].rule_count == 1 && seen[2].rules[0] == 0));
        CHECK(seen[4].rule_count == 1);
        CHECK((seen[5].rule_count == 2 && seen[5].rules[1] == 1));  // the fifth answer is known
        CHECK(gateway.amplification("harvester") == doctest::Approx(1'500 / 140.0).epsilon(0.05));
        CHECK(gateway.ask("caller-1", input).action == Action::allow);
    }
}

TEST_CASE("one dear request is nothing, and ordinary ones make up for it") {
    Gateway gateway;
    gateway.ordinary();
    gateway.tell(gateway.ask("p"), 100'000);
    const double after_one = gateway.evidence("p");
    CHECK((after_one > 1.5 && after_one < 3));
    for (int i = 0; i < 12; ++i) gateway.tell(gateway.ask("p"), 100);
    CHECK(gateway.evidence("p") < 0.5);
    CHECK(gateway.amplification("p") == doctest::Approx(100 / 140.0).epsilon(0.05));
}

TEST_CASE("nothing is kept while the model's costs are not known") {
    Gateway gateway;
    for (int i = 0; i < 20; ++i) gateway.tell(gateway.ask("p"), 100'000);
    CHECK(gateway.references().samples == 20);
    CHECK(std::isnan(gateway.amplification("p")));
    CHECK(gateway.evidence("p") == 0);
}

TEST_CASE("without a rule that reads it no cost is looked at") {
    Gateway gateway(extraction_policy());
    const std::vector<float> values(64, 0.5f);
    gateway.ordinary(1'200, vector_input(values, 64));
    for (int i = 0; i < 20; ++i) gateway.tell(gateway.ask("p", vector_input(values, 64)), 100'000);
    CHECK(is_zero(&gateway.references(), sizeof(track::CostReferences)));
    REQUIRE(gateway.hot("p") != nullptr);
    CHECK(is_zero(&gateway.hot("p")->costs, sizeof(track::LargestCosts)));
    CHECK(gateway.evidence_word("p") == 0);
}

TEST_CASE("costs alone need neither sketches nor labels; a track gets its slab with the first cost") {
    Gateway gateway;
    CHECK_FALSE(gateway.route.current()->reads_input);
    CHECK_FALSE(gateway.route.current()->reads_answers);
    gateway.ordinary();
    gateway.ask("p");
    CHECK(gateway.hot("p") == nullptr);
    gateway.tell(gateway.ask("p"), 100);
    CHECK(gateway.hot("p") != nullptr);
}

TEST_CASE("the cost of a request counts once, recorded or declared") {
    Gateway gateway;
    gateway.ordinary();
    const auto words_after = [&](auto&& act) {
        const std::uint64_t before = gateway.evidence_word("p");
        act();
        return gateway.evidence_word("p") != before;
    };
    gateway.tell(gateway.ask("p"), 100);
    const Decision missing = gateway.ask("p");
    CHECK_FALSE(words_after([&] { gateway.tell(missing, -1); }));  // none recorded, none declared
    CHECK(words_after([&] { gateway.tell(missing, 5'000); }));     // the first that is known
    CHECK_FALSE(words_after([&] { gateway.tell(missing, 5'000); }));
    const Decision declared = gateway.ask("p", {}, 5'000);
    CHECK_FALSE(words_after([&] { gateway.ask("p", {}, 5'000); }));  // no record at all
    CHECK(words_after([&] { gateway.tell(declared, -1); }));
    const Decision free = gateway.ask("p", {}, 5'000);
    CHECK_FALSE(words_after([&] { gateway.tell(free, 0); }));  // nothing was spent
    const Decision refused = gateway.ask("p", {}, 5'000);
    CHECK_FALSE(words_after([&] { gateway.tell(refused, -1, 429); }));
    CHECK(words_after([&] { gateway.tell(refused, 5'000, 504); }));  // a model that ran out of time did
    CHECK(std::isnan(gateway.amplification("p")));                   // four so far
    gateway.tell(gateway.ask("p"), 100);
    CHECK(gateway.amplification("p") == doctest::Approx(100 / 140.0).epsilon(0.05));
}

TEST_CASE("answers may come late and out of order; they count where they belong") {
    Gateway gateway;
    gateway.ordinary();
    std::vector<Decision> waiting;
    for (int i = 0; i < 200; ++i) waiting.push_back(gateway.ask("p"));
    std::shuffle(waiting.begin(), waiting.end(), gateway.random);
    for (const Decision& decision : waiting) gateway.tell(decision, 1'500);
    CHECK(gateway.evidence("p") > 11);
    CHECK(gateway.amplification("p") == doctest::Approx(1'500 / 140.0).epsilon(0.05));
    waiting.clear();
    for (int i = 0; i < 5; ++i) waiting.push_back(gateway.ask("slow"));
    gateway.now += 400;
    for (const Decision& decision : waiting) gateway.tell(decision, 15'000);
    CHECK(std::isnan(gateway.amplification("slow")));  // of requests longer ago than the window
    CHECK(gateway.evidence("slow") > 3);
}

TEST_CASE("what is blocked, or decided too late, has no cost") {
    policy::Spec spec = cost_policy();
    spec.rules[0].expires = spec.rules[1].expires = 0;
    policy::Limit limit;
    limit.name = "two";
    limit.per_principal = true;
    limit.max = 2;
    limit.window = 86'400;
    spec.limits = {limit};
    Gateway gateway(spec);
    for (int i = 0; i < 1'200; ++i) gateway.tell(gateway.ask("caller-" + std::to_string(i / 2)), 100);
    REQUIRE(gateway.references().samples >= 1'000);
    gateway.tell(gateway.ask("p"), 100);
    gateway.ask("p");
    const std::uint64_t before = gateway.evidence_word("p");
    const Decision blocked = gateway.ask("p");
    CHECK(blocked.action == Action::block);
    gateway.tell(blocked, 100'000);
    CHECK(gateway.evidence_word("p") == before);
    gateway.tell(gateway.ask("late"), 100);
    const std::uint64_t of_late = gateway.evidence_word("late");
    gateway.now -= 100'000;
    const Decision late = gateway.ask("late");
    gateway.now += 100'000;
    gateway.tell(late, 100'000);
    CHECK(gateway.evidence_word("late") == of_late);
}

TEST_CASE("under suspicion nobody teaches the model what is ordinary") {
    Gateway gateway;
    gateway.ordinary(900);
    REQUIRE(gateway.references().samples == 900);
    gateway.tell(gateway.ask("failing"), 100, 500);
    CHECK(gateway.references().samples == 900);
    gateway.ordinary(200);
    const std::uint32_t before = gateway.references().samples;
    const double rare = gateway.references().read(0).rare;
    gateway.tell(gateway.ask("harvester"), 5'000);
    const std::uint32_t first = gateway.references().samples;
    for (int i = 0; i < 20'000; ++i) {
        gateway.now += 60;
        gateway.tell(gateway.ask("harvester"), 5'000);
    }
    CHECK(first - before <= 1);
    CHECK(gateway.references().samples == first);
    CHECK(gateway.references().read(0).rare == rare);
}
