#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
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

// Emits from the last step to the first: a target exists before the steps that jump to it. Positions count
// from the end until finish() turns the list around.
class Emitter {
  public:
    explicit Emitter(const Graph& graph) : graph_(graph) {}

    std::vector<Step> run() {
        std::uint32_t next = push(Step{});
        for (auto root = graph_.roots.rbegin(); root != graph_.roots.rend(); ++root) {
            const std::uint32_t match = push({Step::Kind::match, root->rule, 0, next, next, 0});
            next = emit(root->condition, match, next);
        }
        return finish();
    }

  private:
    std::uint32_t push(const Step& step) {
        steps_.push_back(step);
        return static_cast<std::uint32_t>(steps_.size() - 1);
    }

    // The position of code that goes to `on_true` if the condition holds, else to `on_false`. It is the last
    // one emitted, so what is pushed next falls through to it.
    std::uint32_t emit(Ref ref, std::uint32_t on_true, std::uint32_t on_false) {
        if (ref.negated()) std::swap(on_true, on_false);
        if (ref.is_constant()) return on_true;
        return ref.is_node() ? emit_node(ref.index(), on_true, on_false)
                             : emit_leaf(ref.index(), on_true, on_false);
    }

    std::uint32_t emit_node(std::uint32_t index, std::uint32_t on_true, std::uint32_t on_false) {
        const Node& node = graph_.nodes[index];
        if (!node.shared || node.leaves <= remembered_leaves) return emit_children(node, on_true, on_false);
        const std::uint32_t if_true = push({Step::Kind::remember, 1, index, on_true, on_true, 0});
        const std::uint32_t if_false = push({Step::Kind::remember, 0, index, on_false, on_false, 0});
        emit_children(node, if_true, if_false);
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

    std::uint32_t emit_leaf(std::uint32_t index, std::uint32_t on_true, std::uint32_t on_false) {
        Step step = step_of(index);
        step.on_true = skip_known(step, true, on_true);
        step.on_false = skip_known(step, false, on_false);
        return push(step);
    }

    Step step_of(std::uint32_t index) const {
        Step step;
        if (make_strict(graph_.table.predicates[index], step)) return step;
        step.kind = Step::Kind::leaf;
        step.index = index;
        return step;
    }

    std::uint32_t skip_known(const Step& known, bool outcome, std::uint32_t target) const {
        while (const std::optional<bool> next = implied(known, outcome, steps_[target])) {
            target = *next ? steps_[target].on_true : steps_[target].on_false;
        }
        return target;
    }

    std::vector<Step> finish() {
        const auto last = static_cast<std::uint32_t>(steps_.size() - 1);
        for (Step& step : steps_) {
            step.on_true = last - step.on_true;
            step.on_false = last - step.on_false;
        }
        std::ranges::reverse(steps_);
        return std::move(steps_);
    }

    const Graph& graph_;
    std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> branch_code(const Graph& graph) {
    return Emitter(graph).run();
}

}  // namespace atlascore::rule
