#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "atlascore/rule/graph.hpp"

namespace atlascore::rule {
namespace {

// Shared nodes with more leaves than this are remembered; walking fewer again costs less than the
// bookkeeping.
constexpr std::uint32_t remembered_leaves = 16;

// What the outcome of one test says about another; nothing if they are unrelated.
std::optional<bool> implied(const Step& known, bool outcome, const Step& test) noexcept {
    using enum Step::Kind;
    if (known.kind != test.kind || known.slot != test.slot) return std::nullopt;
    if (test.kind == leaf) return known.index == test.index ? std::optional(outcome) : std::nullopt;
    if (test.kind != above && test.kind != below) return std::nullopt;
    // Above a larger threshold implies above a smaller one; not above a smaller, not above a larger.
    const double looser =
        test.kind == above ? known.threshold - test.threshold : test.threshold - known.threshold;
    return (outcome ? looser >= 0 : looser <= 0) ? std::optional(outcome) : std::nullopt;
}

// What tests that hold say about another.
std::optional<bool> outcome_of(std::span<const Step> held, const Step& test) noexcept {
    for (const Step& known : held) {
        if (const auto outcome = implied(known, true, test)) return outcome;
    }
    return std::nullopt;
}

// A comparison with a signal as one strict comparison: x >= t is x > the double before t. Leaves that cannot
// be written so keep their predicate.
bool make_strict(const Predicate& predicate, Step& step) noexcept {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (!predicate.on_signal || predicate.number.kind != Number::Kind::real) return false;
    const double limit = predicate.number.real;
    const bool is_above = predicate.test == Test::gt || predicate.test == Test::gte;
    if (predicate.test == Test::gte) {
        step.threshold = std::nextafter(limit, -infinity);
    } else if (predicate.test == Test::lte) {
        step.threshold = std::nextafter(limit, infinity);
    } else if (predicate.test == Test::gt || predicate.test == Test::lt) {
        step.threshold = limit;
    } else {
        return false;
    }
    step.kind = is_above ? Step::Kind::above : Step::Kind::below;
    step.slot = predicate.slot;
    return true;
}

// The step that tests a leaf.
Step test_of_leaf(const Graph& graph, std::uint32_t index) noexcept {
    Step step;
    if (make_strict(graph.table.predicates[index], step)) return step;
    step.kind = Step::Kind::leaf;
    step.index = index;
    return step;
}

// Tests that must hold wherever a condition does, each about something else.
class Facts {
  public:
    static constexpr std::size_t limit = 8;

    const std::vector<Step>& tests() const noexcept { return tests_; }

    void add(const Step& test) {
        if (outcome_of(tests_, test)) return;
        std::erase_if(tests_, [&](const Step& known) { return implied(test, true, known) == true; });
        if (tests_.size() < limit) tests_.push_back(test);
    }

    // What holds wherever either condition does: of two tests of one thing the weaker.
    static Facts common(const Facts& a, const Facts& b) {
        Facts out;
        for (const Step& x : a.tests_) {
            for (const Step& y : b.tests_) {
                if (implied(x, true, y) == true) {
                    out.add(y);
                } else if (implied(y, true, x) == true) {
                    out.add(x);
                }
            }
        }
        return out;
    }

  private:
    std::vector<Step> tests_;
};

class Necessity {
  public:
    explicit Necessity(const Graph& graph) : graph_(graph) {}

    const Facts& of(Ref ref) {
        if (const auto known = facts_.find(ref); known != facts_.end()) return known->second;
        Facts facts;
        if (ref.is_constant()) return facts_[ref];
        if (ref.is_node()) {
            facts = of_node(graph_.nodes[ref.index()], ref.negated());
        } else if (!ref.negated() && cost(graph_.table.predicates[ref.index()]) <= dearest) {
            facts.add(test_of_leaf(graph_, ref.index()));
        }
        return facts_[ref] = std::move(facts);
    }

  private:
    // Dearer tests stay behind the cheap ones of their own rule.
    static constexpr std::uint32_t dearest = 12;

    Facts of_node(const Node& node, bool negated) {
        Facts out;
        for (std::uint32_t i = 0; i < node.count; ++i) {
            const Ref child = graph_.children[node.first + i];
            const Facts& facts = of(negated ? !child : child);
            if (i == 0) {
                out = facts;
            } else if (node.all != negated) {
                for (const Step& test : facts.tests()) out.add(test);
            } else {
                out = Facts::common(out, facts);
            }
        }
        return out;
    }

    const Graph& graph_;
    std::map<Ref, Facts> facts_;
};

// Emits from the last step to the first: a target exists before the steps that jump to it. Positions count
// from the end until finish() turns the list around.
class Emitter {
  public:
    explicit Emitter(const Graph& graph) : graph_(graph), necessity_(graph) {}

    BranchCode run() {
        BranchCode code;
        const std::uint32_t end = push(Step{});
        std::vector<Root> left = graph_.roots;
        while (const std::optional<std::uint16_t> slot = most_needed(left)) {
            std::vector<Root> behind;
            std::erase_if(left, [&](const Root& root) {
                const bool needs = need_of(root, *slot) != nullptr;
                if (needs) behind.push_back(root);
                return needs;
            });
            Step lowest = *need_of(behind[0], *slot);
            for (const Root& root : behind)
                lowest.threshold = std::min(lowest.threshold, need_of(root, *slot)->threshold);
            known_.push_back(lowest);
            code.gates.push_back({lowest.threshold, emit_rules(behind, end), *slot});
            known_.pop_back();
        }
        code.ungated = left.empty() ? end : emit_rules(left, end);
        return finish(std::move(code));
    }

  private:
    static constexpr std::size_t block_fanout = 8;

    std::uint32_t push(const Step& step) {
        steps_.push_back(step);
        return static_cast<std::uint32_t>(steps_.size() - 1);
    }

    // The test that the rule cannot match without, of the signal being above something; null if there is
    // none.
    const Step* need_of(const Root& root, std::uint16_t slot) {
        for (const Step& test : necessity_.of(root.condition).tests()) {
            if (test.kind == Step::Kind::above && test.slot == slot) return &test;
        }
        return nullptr;
    }

    // The signal that the most of these rules cannot match without: the fewest gates, found greedily.
    std::optional<std::uint16_t> most_needed(std::span<const Root> rules) {
        std::map<std::uint16_t, std::size_t> counts;
        for (const Root& root : rules) {
            for (const Step& test : necessity_.of(root.condition).tests()) {
                if (test.kind == Step::Kind::above) ++counts[test.slot];
            }
        }
        if (counts.empty()) return std::nullopt;
        return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
    }

    // The rules in their order, then `next`. What all of them need is tested first, so that most events pass
    // a block of rules in a step or two; inside it is known to hold.
    std::uint32_t emit_rules(std::span<const Root> rules, std::uint32_t next) {
        const std::vector<Step> guards = unknown_needs_of(rules);
        known_.insert(known_.end(), guards.begin(), guards.end());
        std::uint32_t entry = next;
        if (rules.size() == 1) {
            const std::uint32_t match = push({Step::Kind::match, rules[0].rule, 0, next, next, 0});
            entry = emit(rules[0].condition, match, next);
        } else {
            const std::size_t size = (rules.size() + block_fanout - 1) / block_fanout;
            for (std::size_t block = (rules.size() + size - 1) / size; block-- > 0;) {
                entry = emit_rules(rules.subspan(block * size, std::min(size, rules.size() - block * size)),
                                   entry);
            }
        }
        known_.resize(known_.size() - guards.size());
        for (auto guard = guards.rbegin(); guard != guards.rend(); ++guard) {
            entry = emit_test(*guard, entry, next);
        }
        return entry;
    }

    std::vector<Step> unknown_needs_of(std::span<const Root> rules) {
        Facts needs = necessity_.of(rules[0].condition);
        for (const Root& root : rules.subspan(1)) {
            needs = Facts::common(needs, necessity_.of(root.condition));
        }
        std::vector<Step> unknown;
        for (const Step& test : needs.tests()) {
            if (!outcome_of(known_, test)) unknown.push_back(test);
        }
        // Signals first: they are at hand.
        std::ranges::stable_partition(unknown,
                                      [](const Step& test) { return test.kind != Step::Kind::leaf; });
        return unknown;
    }

    // The position of code that goes to `on_true` if the condition holds, else to `on_false`.
    std::uint32_t emit(Ref ref, std::uint32_t on_true, std::uint32_t on_false) {
        if (ref.negated()) std::swap(on_true, on_false);
        if (ref.is_constant()) return on_true;
        if (ref.is_node()) return emit_node(ref.index(), on_true, on_false);
        const Step test = test_of_leaf(graph_, ref.index());
        if (const auto outcome = outcome_of(known_, test)) return *outcome ? on_true : on_false;
        return emit_test(test, on_true, on_false);
    }

    std::uint32_t emit_node(std::uint32_t index, std::uint32_t on_true, std::uint32_t on_false) {
        const Node& node = graph_.nodes[index];
        if (!node.shared || node.leaves <= remembered_leaves) return emit_children(node, on_true, on_false);
        const std::uint32_t if_true = push({Step::Kind::remember, 1, index, on_true, on_true, 0});
        const std::uint32_t if_false = push({Step::Kind::remember, 0, index, on_false, on_false, 0});
        const std::uint32_t entry = emit_children(node, if_true, if_false);
        // Where nothing is remembered, `recall` goes on to the step behind it.
        if (entry != steps_.size() - 1) return entry;
        return push({Step::Kind::recall, 0, index, on_true, on_false, 0});
    }

    std::uint32_t emit_children(const Node& node, std::uint32_t on_true, std::uint32_t on_false) {
        std::uint32_t entry = node.all ? on_true : on_false;
        for (std::uint32_t i = node.count; i-- > 0;) {
            const Ref child = graph_.children[node.first + i];
            entry = node.all ? emit(child, entry, on_false) : emit(child, on_true, entry);
        }
        return entry;
    }

    std::uint32_t emit_test(Step test, std::uint32_t on_true, std::uint32_t on_false) {
        test.on_true = skip_known(test, true, on_true);
        test.on_false = skip_known(test, false, on_false);
        return push(test);
    }

    std::uint32_t skip_known(const Step& known, bool outcome, std::uint32_t target) const {
        while (const std::optional<bool> next = implied(known, outcome, steps_[target])) {
            target = *next ? steps_[target].on_true : steps_[target].on_false;
        }
        return target;
    }

    BranchCode finish(BranchCode code) {
        const auto last = static_cast<std::uint32_t>(steps_.size() - 1);
        code.ungated = last - code.ungated;
        for (Gate& gate : code.gates) gate.first = last - gate.first;
        for (Step& step : steps_) {
            step.on_true = last - step.on_true;
            step.on_false = last - step.on_false;
        }
        std::ranges::reverse(steps_);
        code.steps = std::move(steps_);
        return code;
    }

    const Graph& graph_;
    Necessity necessity_;
    std::vector<Step> steps_;
    std::vector<Step> known_;  // holds where code is being emitted
};

}  // namespace

BranchCode branch_code(const Graph& graph) {
    return Emitter(graph).run();
}

}  // namespace atlascore::rule
