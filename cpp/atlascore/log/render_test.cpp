#include "atlascore/log/render.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "atlascore/base/error.hpp"

using namespace atlascore::log;

namespace {

constexpr std::uint64_t instance = 0x0011223344556677;
constexpr std::int64_t start = 5'000'000;

struct Fixture {
    Names names;
    Policies policies;
    Renderer renderer{instance, start, names, policies};

    std::string decision(const Record& record, std::uint64_t sequence = 1) const {
        std::string out;
        renderer.decision(out, sequence, record);
        return out;
    }
};

Policy boundary_policy() {
    Policy policy;
    policy.hash = {0x9f, 0x2c, 0x4e, 0x1a, 0x7b, 0x3d, 0x50, 0x68};
    policy.atlas_release = "2026.09";
    policy.rules = {{"ffffffff-0000-4000-8000-000000000000", {"AML.T0024.002", "AML.T0043.001"}},
                    {"2b1f6c1e-6a0f-4f59-9a3e-0d8c1e5b7a11", {"AML.T0043.001"}}};
    policy.signals = {"api.near_duplicate_ratio", "api.label_flip_rate", "api.label_flip_rate"};
    policy.constraints = {{"scores", "\"label_only\""}, {"max_tokens", "256"}, {"max_tokens", "512"}};
    return policy;
}

}  // namespace

TEST_CASE("a plain ALLOW has the members of every decision and no others") {
    Fixture fixture;
    Record record;
    record.t = 1'795'000'000'001'000;
    record.mono = start + 1'000'999;
    record.latency = 850;
    record.model = fixture.names.intern("churn-v3");
    record.route = fixture.names.intern("default");
    CHECK(fixture.decision(record, 7) ==
          R"({"action":"ALLOW","inst":"0011223344556677","kind":"decision","lat":850,"model":"churn-v3",)"
          R"("mono":1000,"phase":"request","prod":1,"pseq":7,"route":"default","simulated":false,)"
          R"("t":1795000000001000,"v":1})");
}

TEST_CASE("a decision with everything: members, rules and signals in canonical order") {
    Fixture fixture;
    Record record;
    record.t = 1'795'000'000'001'000;
    record.mono = start + 1'000'000;
    record.latency = 1'850;
    record.policy = fixture.policies.add(std::make_unique<const PolicyNames>(boundary_policy()));
    record.model = fixture.names.intern("churn-v3");
    record.route = fixture.names.intern("default");
    record.method = fixture.names.intern("predict");
    record.endpoint = fixture.names.intern("/v1/models/{model}:predict");
    record.step = Step::response;
    record.step_name = fixture.names.intern("boundary probing");
    record.action = Action::constrain;
    record.would = Action::block;
    record.simulated = true;
    record.rows = 3;
    record.constraints = 0b111;
    record.principal = {0xa8, 0xb7};
    record.session = {1};
    std::memcpy(record.request, "req-1", record.request_size = 5);
    record.rule_count = 2;
    record.rules[0] = {0, Action::constrain, Mode::shadow};
    record.rules[1] = {1, Action::constrain, Mode::enforce};
    record.signal_count = 3;
    record.signals[0] = {0.93, 0, 0b11};
    record.signals[1] = {0.41, 1, 0b10};
    record.signals[2] = {std::nan(""), 2, 0b01};
    CHECK(
        fixture.decision(record) ==
        R"({"action":"CONSTRAIN","atlas":["AML.T0024.002","AML.T0043.001"],"atlas_release":"2026.09",)"
        R"("constraints":{"max_tokens":256,"scores":"label_only"},"endpoint":"/v1/models/{model}:predict",)"
        R"("inst":"0011223344556677","kind":"decision","lat":1850,"method":"predict","model":"churn-v3",)"
        R"("mono":1000,"phase":"request","policy":"9f2c4e1a7b3d5068",)"
        R"("principal":"a8b70000000000000000000000000000","prod":1,"pseq":1,"req":"req-1","route":"default",)"
        R"("rows":3,"rules":[{"action":"CONSTRAIN","id":"2b1f6c1e-6a0f-4f59-9a3e-0d8c1e5b7a11",)"
        R"("mode":"enforce","signals":{"api.label_flip_rate":"0.41","api.near_duplicate_ratio":"0.93"}},)"
        R"({"action":"CONSTRAIN","id":"ffffffff-0000-4000-8000-000000000000","mode":"shadow",)"
        R"("signals":{"api.near_duplicate_ratio":"0.93"}}],"session":"01000000000000000000000000000000",)"
        R"("simulated":true,"step":"response","step_name":"boundary probing","t":1795000000001000,"v":1,)"
        R"("would":"BLOCK"})");
}

TEST_CASE("a guard error names stage, kind and what the failure section answered") {
    Fixture fixture;
    Record record;
    record.guard_error = record.closed = true;
    record.action = Action::block;
    record.stage = Stage::event;
    record.failure = Failure::parse;
    record.request_size = 1;
    record.request[0] = '\x01';  // not printable: left out
    const std::string entry = fixture.decision(record);
    CHECK(entry.find(R"("failure":"closed","guard":{"kind":"parse","stage":"event"},)") != std::string::npos);
    CHECK(entry.find(R"("outcome":"guard_error")") != std::string::npos);
    CHECK(entry.find("req") == entry.find("request"));
}

TEST_CASE("an entry over the limit drops members until it fits, and says so") {
    Fixture fixture;
    Policy policy;
    policy.atlas_release = "2026.09";
    for (int i = 0; i < 16; ++i) {
        policy.rules.push_back({"rule-" + std::to_string(i), {}});
        policy.signals.push_back(std::string(max_name, static_cast<char>('a' + i)));
    }
    Record record;
    record.policy = fixture.policies.add(std::make_unique<const PolicyNames>(policy));
    record.rule_count = record.signal_count = 16;
    for (std::uint16_t i = 0; i < 16; ++i) {
        record.rules[i] = {i, i < 2 ? Action::block : Action::log, Mode::enforce};
        record.signals[i] = {0.1, i, 0xFFFF};
    }
    const std::string entry = fixture.decision(record);
    CHECK(entry.size() <= max_decision);
    CHECK(entry.find(R"("trimmed":true)") != std::string::npos);
    CHECK(entry.find(R"("id":"rule-1","mode":"enforce","signals")") != std::string::npos);
    CHECK(entry.find(R"("id":"rule-15","mode":"enforce"})") != std::string::npos);

    const std::string worst(max_name, '\x01');
    record.model = record.route = record.method = record.endpoint = fixture.names.intern(worst);
    record.step = Step::limit;
    record.step_name = record.allowed_by = record.model;
    CHECK(fixture.decision(record).size() <= max_decision);
}

TEST_CASE("records that name unknown policies, rules or signals are rendered without them") {
    Fixture fixture;
    Record record;
    record.policy = 9;
    record.rule_count = record.signal_count = 1;
    record.rules[0] = {3, Action::log, Mode::enforce};
    record.signals[0] = {1.0, 3, 1};
    CHECK(fixture.decision(record).find("rules") == std::string::npos);
}

TEST_CASE("names: invalid UTF-8 is replaced, long names are cut between code points, the table is bounded") {
    Names names;
    CHECK(names.intern("") == 0);
    CHECK(names.intern("a") == names.intern("a"));
    CHECK(names.json(names.intern("a\"\\\n\x1f\x7f")) == "\"a\\\"\\\\\\n\\u001f\x7f\"");
    CHECK(names.json(names.intern("\xff\xed\xa0\x80!")) ==
          "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!\"");
    CHECK(clean_utf8("\xf0\x9f\x98", 100) == "\xEF\xBF\xBD");
    const std::string long_name = std::string(127, 'x') + "\xC3\xA9";
    CHECK(names.json(names.intern(long_name)) == '"' + std::string(127, 'x') + '"');
    for (std::uint32_t i = 0; i < Names::capacity; ++i) {
        names.intern(std::to_string(i));
    }
    CHECK(names.intern("one more") == 0);
    CHECK(names.intern("a") == 1);
}

TEST_CASE("a policy whose constraints would not fit an entry is refused") {
    Policy policy;
    policy.constraints = {{"redact", '"' + std::string(max_constraints, 'x') + '"'}};
    CHECK_THROWS_AS(PolicyNames{policy}, atlascore::base::Error);
    policy.constraints.assign(65, {"n", "1"});
    CHECK_THROWS_AS(PolicyNames{policy}, atlascore::base::Error);
}

TEST_CASE("reals are the shortest decimals that read back") {
    const auto real = [](double value) {
        std::string out;
        append_real(out, value);
        return out;
    };
    CHECK(real(0.41) == "0.41");
    CHECK(real(3.2) == "3.2");
    CHECK(real(1.0) == "1");
    CHECK(real(-1e300) == "-1e+300");
    CHECK(real(std::numeric_limits<double>::denorm_min()) == "5e-324");
}
