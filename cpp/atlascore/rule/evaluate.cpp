// Evaluation: lazy, memoised, short-circuiting.
#include <algorithm>
#include <cassert>

#include "atlascore/rule/program.hpp"

namespace atlascore::rule {

// One event against one phase of a program. Memo entries carry the generation they were made in, so that
// nothing needs clearing between events.
class Evaluation {
  public:
    Evaluation(const Graph& graph, const event::Value* fields, const double* signals,
               Scratch& scratch) noexcept
        : graph_(graph), fields_(fields), signals_(signals), scratch_(scratch) {
        assert(scratch.leaves_.size() >= graph.leaves.size() && scratch.nodes_.size() >= graph.nodes.size());
        if (++scratch.generation_ == std::uint32_t{1} << 31) {
            std::ranges::fill(scratch.leaves_, 0);
            std::ranges::fill(scratch.nodes_, 0);
            scratch.generation_ = 1;
        }
        stamp_ = scratch.generation_ << 1;
        scratch.cache_.begin_event();
    }

    std::size_t run(std::span<std::uint16_t> out) noexcept {
        out_ = out;
        run_from(graph_.code.ungated);
        for (const Gate& gate : graph_.code.gates) {
            if (signals_[gate.slot] > gate.threshold) run_from(gate.first);
        }
        return matched_;
    }

    Explanation explain(Ref ref, bool is_evaluated) {
        if (ref.negated()) return explain_negation(ref, is_evaluated);
        if (!ref.is_node()) return explain_leaf(ref.index(), is_evaluated);
        const Node& node = graph_.nodes[ref.index()];
        Explanation out;
        out.kind = node.all ? Condition::Kind::all : Condition::Kind::any;
        bool is_open = is_evaluated;
        for (std::uint32_t i = 0; i < node.count; ++i) {
            out.children.push_back(explain(graph_.children[node.first + i], is_open));
            is_open = is_open && out.children.back().result == result_of(node.all);
        }
        if (is_evaluated) out.result = result_of(is_open == node.all);
        return out;
    }

  private:
    void run_from(std::uint32_t first) noexcept {
        const Step* const steps = graph_.code.steps.data();
        for (const Step* step = steps + first;;) {
            bool holds = true;
            switch (step->kind) {
                case Step::Kind::above:
                    holds = signals_[step->slot] > step->threshold;
                    break;
                case Step::Kind::below:
                    holds = signals_[step->slot] < step->threshold;
                    break;
                case Step::Kind::leaf:
                    holds = leaf_holds(step->index);
                    break;
                case Step::Kind::recall: {
                    const std::uint32_t memo = scratch_.nodes_[step->index];
                    if (!is_current(memo)) {
                        ++step;
                        continue;
                    }
                    holds = memo & 1;
                    break;
                }
                case Step::Kind::remember:
                    scratch_.nodes_[step->index] = stamp_ | step->slot;
                    break;
                case Step::Kind::match:
                    add_match(step->slot);
                    break;
                case Step::Kind::halt:
                    return;
            }
            step = steps + (holds ? step->on_true : step->on_false);
        }
    }

    // Ascending; where there is no room the highest go.
    void add_match(std::uint16_t rule) noexcept {
        std::size_t at = matched_;
        if (matched_ < out_.size()) {
            ++matched_;
        } else if (at == 0 || out_[--at] < rule) {
            return;
        }
        for (; at > 0 && out_[at - 1] > rule; --at) out_[at] = out_[at - 1];
        out_[at] = rule;
    }

    static Explanation::Result result_of(bool holds) noexcept {
        return holds ? Explanation::Result::yes : Explanation::Result::no;
    }

    bool is_current(std::uint32_t memo) const noexcept { return (memo ^ stamp_) <= 1; }

    bool leaf_holds(std::uint32_t index) noexcept {
        std::uint32_t& memo = scratch_.leaves_[index];
        if (!is_current(memo)) memo = stamp_ | (compute_leaf(graph_.table.predicates[index]) ? 1 : 0);
        return memo & 1;
    }

    bool compute_leaf(const Predicate& predicate) noexcept {
        if (predicate.on_signal) return holds(predicate, signals_[predicate.slot]);
        return holds(graph_.table, predicate, fields_[predicate.slot], scratch_.cache_);
    }

    Explanation explain_negation(Ref ref, bool is_evaluated) {
        Explanation out;
        out.kind = Condition::Kind::negation;
        out.children.push_back(explain(!ref, is_evaluated));
        if (is_evaluated) out.result = result_of(out.children[0].result == Explanation::Result::no);
        return out;
    }

    Explanation explain_leaf(std::uint32_t index, bool is_evaluated) noexcept {
        const Predicate& predicate = graph_.table.predicates[index];
        Explanation out;
        if (is_evaluated) out.result = result_of(leaf_holds(index));
        out.leaf = graph_.leaves[index];
        out.on_signal = predicate.on_signal;
        if (predicate.on_signal) {
            out.signal = signals_[predicate.slot];
        } else {
            out.value = fields_[predicate.slot];
        }
        return out;
    }

    const Graph& graph_;
    const event::Value* fields_;
    const double* signals_;
    Scratch& scratch_;
    std::uint32_t stamp_ = 0;
    std::span<std::uint16_t> out_;
    std::size_t matched_ = 0;
};

std::size_t Program::evaluate(Phase phase, const event::Value* fields, const double* signals,
                              Scratch& scratch, std::span<std::uint16_t> out) const noexcept {
    return Evaluation(at(phase), fields, signals, scratch).run(out);
}

Explanation Program::explain(std::size_t rule, const event::Value* fields, const double* signals,
                             Scratch& scratch) const {
    const Graph& graph = at(infos_->at(rule).phase);
    const auto root = std::ranges::find(graph.roots, rule, &Root::rule);
    Explanation out;
    if (root == graph.roots.end()) {
        out.result = Explanation::Result::no;
    } else if (root->condition.is_constant()) {
        out.result = Explanation::Result::yes;
    } else {
        out = Evaluation(graph, fields, signals, scratch).explain(root->condition, true);
    }
    return out;
}

}  // namespace atlascore::rule
