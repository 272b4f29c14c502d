#include "atlascore/rule/program.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <random>

#include "atlascore/base/error.hpp"

namespace atlascore::rule {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

Condition leaf(std::string subject, Operator op, Operand operand = {}, bool cased = false) {
    Condition out;
    out.leaf = {std::move(subject), op, std::move(operand), cased, nullptr};
    return out;
}

Condition text(std::string subject, Operator op, std::string operand) {
    return leaf(std::move(subject), op, Operand(std::move(operand)));
}

Condition above(std::string subject, std::int64_t limit) {
    return leaf(std::move(subject), Operator::gt, Number::of(limit));
}

Condition regex(std::string subject, std::string pattern) {
    Condition out = text(std::move(subject), Operator::regex, pattern);
    out.leaf.regex = compile_regex(pattern, "");
    return out;
}

Condition combine(Condition::Kind kind, std::vector<Condition> children) {
    Condition out;
    out.kind = kind;
    out.children = std::move(children);
    return out;
}

Condition all(std::vector<Condition> children) {
    return combine(Condition::Kind::all, std::move(children));
}
Condition any(std::vector<Condition> children) {
    return combine(Condition::Kind::any, std::move(children));
}
Condition negation(Condition child) {
    return combine(Condition::Kind::negation, {std::move(child)});
}

Rule make_rule(Condition condition, Phase phase = Phase::request, Logsource logsource = {}) {
    Rule rule;
    rule.info.phase = phase;
    rule.logsource = std::move(logsource);
    rule.condition = std::move(condition);
    return rule;
}

std::shared_ptr<const Program> program_of(std::vector<Condition> conditions) {
    std::vector<Rule> rules;
    for (Condition& condition : conditions) rules.push_back(make_rule(std::move(condition)));
    return compile(std::move(rules));
}

std::vector<std::uint16_t> matches(const Program& program, std::vector<event::Value> fields,
                                   std::vector<double> signals = {}) {
    REQUIRE(fields.size() == program.fields().size());
    REQUIRE(signals.size() == program.signals(Phase::request).size());
    Scratch scratch(program);
    std::vector<std::uint16_t> out(program.rule_count());
    out.resize(program.evaluate(Phase::request, fields.data(), signals.data(), scratch, out));
    return out;
}

using Matches = std::vector<std::uint16_t>;
const auto as_text = event::Value::of_text;

event::Value array(const std::vector<event::Value>& items) {
    event::Value out;
    out.kind = event::ValueKind::array;
    out.size = static_cast<std::uint32_t>(items.size());
    out.items = items.data();
    return out;
}

}  // namespace

TEST_CASE("equal predicates and conditions exist once") {
    const auto both = [] {
        return all({text("a", Operator::equal, "x"), text("b", Operator::contains, "Y")});
    };
    const auto program =
        program_of({both(), any({both(), above("c", 1)}),
                    all({text("b", Operator::equal, "*y*"), text("a", Operator::equal, "X")})});
    CHECK(program->fields().size() == 3);
    CHECK(program->dump().find("b contains") != std::string::npos);
    CHECK(matches(*program, {as_text("X"), as_text("xyz"), {}}) == Matches{0, 1, 2});
    CHECK(matches(*program, {as_text("X"), as_text("z"), event::Value::of_int(2)}) == Matches{1});
}

TEST_CASE("signals are interned by name, window and scope, and only where a rule reads them") {
    Rule minute = make_rule(above("api.request_count", 5));
    minute.info.window = 60;
    Rule hour = make_rule(all({above("api.request_count", 5), above("api.request_rate", 1)}));
    hour.info.window = 3600;
    const auto program = compile({minute, hour, minute});
    const auto signals = program->signals(Phase::request);
    REQUIRE(signals.size() == 3);
    CHECK(signals[0] == SignalRef{signal::Signal::request_count, 60, signal::Scope::track});
    CHECK(signals[2] == SignalRef{signal::Signal::request_rate, 0, signal::Scope::track});
    CHECK(program->fields().empty());
    CHECK(matches(*program, {}, {6, 9, 2}) == Matches{0, 1, 2});
    CHECK(matches(*program, {}, {missing, 9, 2}) == Matches{1});
}

TEST_CASE("a missing signal fails every comparison, so its negation holds") {
    const auto program = program_of({above("api.request_count", 5), negation(above("api.request_count", 5)),
                                     leaf("api.request_count", Operator::exists, false)});
    CHECK(matches(*program, {}, {missing}) == Matches{1, 2});
}

TEST_CASE("binding decides constant fields and drops what they decide") {
    const auto program = program_of({
        all({text("api.method", Operator::equal, "predict"), above("api.request_count", 5)}),
        all({negation(text("api.method", Operator::equal, "predict")), text("other", Operator::equal, "x")}),
        any({text("api.method", Operator::startswith, "PRE"), text("other", Operator::equal, "y")}),
    });
    CHECK(program->fields().size() == 2);
    const auto predict = program->bind(Constants{{"api.method", "Predict"}});
    CHECK(predict->fields().empty());
    CHECK(predict->rule_count() == 3);
    CHECK(matches(*predict, {}, {6}) == Matches{0, 2});
    const auto train = program->bind(Constants{{"api.method", "train"}});
    CHECK(train->signals(Phase::request).empty());
    CHECK(matches(*train, {as_text("x")}) == Matches{1});
    CHECK(train->bind(Constants{{"other", "y"}})->field("other") == -1);
    CHECK(matches(*train->bind(Constants{{"other", "y"}}), {}) == Matches{2});
}

TEST_CASE("binding the log source drops rules written for other sources") {
    const auto anything = [] { return text("a", Operator::equal, "*"); };
    const auto program = compile({
        make_rule(anything()),
        make_rule(anything(), Phase::request, {"windows", "", "process_creation"}),
        make_rule(anything(), Phase::request, {"machine_learning_platform", "", "api_activity"}),
        make_rule(anything(), Phase::request, {"", "", "proxy"}),
    });
    CHECK(matches(*program, {as_text("x")}) == Matches{0, 1, 2, 3});
    const auto bound = program->bind(
        Constants{{"logsource.product", "llm_gateway"}, {"logsource.category", "api_activity"}});
    CHECK(matches(*bound, {as_text("x")}) == Matches{0, 2});
}

TEST_CASE("phases are evaluated apart") {
    const auto program = compile({make_rule(text("a", Operator::equal, "x")),
                                  make_rule(text("response.b", Operator::null, ""), Phase::response)});
    CHECK(program->reads(Phase::response));
    CHECK(matches(*program, {as_text("x"), {}}) == Matches{0});
    Scratch scratch(*program);
    std::array<std::uint16_t, 2> out{};
    const std::array<event::Value, 2> fields{};
    CHECK(program->evaluate(Phase::response, fields.data(), nullptr, scratch, out) == 1);
    CHECK(out[0] == 1);
}

TEST_CASE("conditions that cannot be false or true are folded") {
    const auto a = [] { return text("a", Operator::equal, "x"); };
    const auto program = program_of({any({a(), negation(a())}), all({a(), negation(a())}), all({a(), a()})});
    CHECK(matches(*program, {as_text("y")}) == Matches{0});
    CHECK(matches(*program, {as_text("x")}) == Matches{0, 2});
}

TEST_CASE("a large condition shared by rules is remembered, true or false") {
    const auto large = [] {
        std::vector<Condition> children;
        for (int i = 0; i < 40; ++i)
            children.push_back(text("a", Operator::contains, "x" + std::to_string(i) + "."));
        return any(std::move(children));
    };
    const auto program = program_of({
        all({large(), text("b", Operator::equal, "1")}),
        all({negation(large()), text("b", Operator::equal, "1")}),
        any({large(), text("b", Operator::equal, "2")}),
        large(),
    });
    REQUIRE(program->field("b") == 0);  // the cheaper test comes first
    CHECK(matches(*program, {as_text("1"), as_text("x39.")}) == Matches{0, 2, 3});
    CHECK(matches(*program, {as_text("1"), as_text("x40.")}) == Matches{1});
    CHECK(matches(*program, {as_text("2"), as_text("x40.")}) == Matches{2});
    CHECK(matches(*program, {as_text("3"), as_text("x7.")}) == Matches{2, 3});
}

TEST_CASE("a value too long for the arena is compared all the same") {
    const auto program = program_of({
        text("a", Operator::contains, "needle"),
        text("a", Operator::endswith, "\u00DFz"),
        text("a", Operator::equal, "n*e?*Z"),
        text("a", Operator::startswith, "needle"),
        leaf("a", Operator::endswith, std::string("Z"), true),
        regex("a", "needlE.*Z$"),
        text("b", Operator::equal, "short"),
    });
    const std::string filler(3 << 20, 'x');
    const std::string value = "needlE" + filler + "\u1E9EZ";
    CHECK(matches(*program, {as_text(value), as_text("Short")}) == Matches{0, 1, 2, 3, 4, 5, 6});
    const std::vector<event::Value> items{as_text("Short"), as_text(value)};
    CHECK(matches(*program, {array(items), array(items)}) == Matches{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("many elements are compared even when their views do not fit") {
    const auto program = program_of({text("a", Operator::equal, "last"), above("a", 70)});
    std::vector<event::Value> items(100'000, as_text("x"));
    items.push_back(as_text("LAST"));
    items.push_back(as_text("71"));
    CHECK(matches(*program, {array(items)}) == Matches{0, 1});
}

TEST_CASE("a scratch serves many events and the bound programs") {
    const auto program =
        program_of({all({text("a", Operator::equal, "x"), text("b", Operator::contains, "y")})});
    const auto bound = program->bind(Constants{{"a", "x"}});
    Scratch scratch(*program);
    std::array<std::uint16_t, 1> out{};
    for (int i = 0; i < 100; ++i) {
        const bool hit = i % 3 == 0;
        const std::array<event::Value, 2> fields{as_text("X"), as_text(hit ? "XYZ" : "XZ")};
        CHECK(program->evaluate(Phase::request, fields.data(), nullptr, scratch, out) == (hit ? 1 : 0));
        CHECK(bound->evaluate(Phase::request, &fields[1], nullptr, scratch, out) == (hit ? 1 : 0));
    }
}

// What a condition says, read from the tree: signals by name, one text.
bool says(const Condition& condition, const std::map<std::string, double>& signals, std::string_view letter) {
    const auto child_says = [&](const Condition& child) { return says(child, signals, letter); };
    switch (condition.kind) {
        case Condition::Kind::all:
            return std::ranges::all_of(condition.children, child_says);
        case Condition::Kind::any:
            return std::ranges::any_of(condition.children, child_says);
        case Condition::Kind::negation:
            return !child_says(condition.children[0]);
        case Condition::Kind::leaf:
            break;
    }
    const Leaf& leaf = condition.leaf;
    if (const auto* wanted = std::get_if<std::string>(&leaf.operand)) return letter == *wanted;
    const double value = signals.at(leaf.subject), limit = std::get<Number>(leaf.operand).real;
    return leaf.op == Operator::gt    ? value > limit
           : leaf.op == Operator::gte ? value >= limit
           : leaf.op == Operator::lt  ? value < limit
                                      : value <= limit;
}

class RandomConditions {
  public:
    static constexpr std::array subjects = {"api.request_count", "api.request_rate",
                                            "api.near_duplicate_ratio"};
    static constexpr std::array operators = {Operator::gt, Operator::gte, Operator::lt, Operator::lte};

    std::size_t below(std::size_t n) { return random_() % n; }
    Condition make(int depth) {
        if (depth == 0 || below(4) == 0) {
            if (below(4) == 0)
                return text("a", Operator::equal, std::string(1, static_cast<char>('x' + below(3))));
            // Mostly `gt`, so that many rules need much of the same signal.
            const Operator op = operators[below(3) == 0 ? below(4) : 0];
            return leaf(subjects[below(3)], op, Number::of(static_cast<double>(below(6))));
        }
        if (below(5) == 0) return negation(make(depth - 1));
        std::vector<Condition> children;
        for (std::size_t i = below(3); i < 3; ++i) children.push_back(make(depth - 1));
        return combine(below(3) == 0 ? Condition::Kind::any : Condition::Kind::all, std::move(children));
    }

  private:
    std::mt19937 random_{11};
};

TEST_CASE("a set of rules says what each of them says") {
    RandomConditions random;
    for (const std::size_t count : {1u, 2u, 7u, 8u, 9u, 65u, 200u}) {
        std::vector<Condition> conditions;
        for (std::size_t i = 0; i < count; ++i) conditions.push_back(random.make(4));
        const auto program = program_of(conditions);
        Scratch scratch(*program);
        for (int event = 0; event < 400; ++event) {
            std::map<std::string, double> by_name;
            for (const char* subject : RandomConditions::subjects) {
                by_name[subject] =
                    random.below(7) == 0 ? missing : static_cast<double>(random.below(7)) - 0.5 * (event % 2);
            }
            std::vector<double> signals;
            for (const SignalRef& ref : program->signals(Phase::request)) {
                signals.push_back(by_name.at(std::string(signal::info(ref.signal).name)));
            }
            const std::string letter(1, static_cast<char>('x' + random.below(3)));
            const std::vector<event::Value> fields(program->fields().size(), as_text(letter));
            std::vector<std::uint16_t> expected, out(count);
            for (std::size_t i = 0; i < count; ++i) {
                if (says(conditions[i], by_name, letter)) expected.push_back(static_cast<std::uint16_t>(i));
            }
            out.resize(program->evaluate(Phase::request, fields.data(), signals.data(), scratch, out));
            REQUIRE(out == expected);
        }
    }
}

TEST_CASE("an explanation says what every leaf saw, and which were not asked") {
    const auto program =
        program_of({all({above("api.request_count", 5), text("a", Operator::contains, "x")})});
    Scratch scratch(*program);
    const event::Value field = as_text("axb");
    const double quiet = 1;
    const Explanation out = program->explain(0, &field, &quiet, scratch);
    CHECK(out.result == Explanation::Result::no);
    REQUIRE(out.children.size() == 2);
    CHECK(out.children[0].leaf->subject == "api.request_count");
    CHECK(out.children[0].signal == 1);
    CHECK(out.children[1].result == Explanation::Result::not_evaluated);
    const double busy = 6;
    CHECK(program->explain(0, &field, &busy, scratch).children[1].result == Explanation::Result::yes);
}

TEST_CASE("leaves that make no sense are refused with a reason") {
    CHECK_THROWS_AS(program_of({text("api.request_count", Operator::contains, "x")}), base::Error);
    CHECK_THROWS_AS(program_of({text("a", Operator::gt, "x")}), base::Error);
    CHECK_THROWS_AS(program_of({leaf("a", Operator::exists)}), base::Error);
    CHECK_THROWS_WITH_AS(compile_regex("a(?=b)", ""), doctest::Contains("look-ahead"), base::Error);
    CHECK_THROWS_WITH_AS(compile_regex("(?<!a)b", ""), doctest::Contains("look-behind"), base::Error);
    CHECK_THROWS_WITH_AS(compile_regex("(a)\\1", ""), doctest::Contains("back-reference"), base::Error);
}

}  // namespace atlascore::rule
