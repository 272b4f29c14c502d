// A rule set compiled to one flat, immutable program (sigma.md section 3). Threads share it; evaluation
// neither allocates nor throws nor locks (RE2 apart, which builds its automata on demand). A predicate is
// worked out at most once per event, when first asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atlascore/event/event.hpp"
#include "atlascore/rule/graph.hpp"
#include "atlascore/rule/rule_info.hpp"
#include "atlascore/signal/catalogue.hpp"

namespace atlascore::rule {

using Constants = std::vector<std::pair<std::string, std::string>>;

// The memory of evaluations, for one thread at a time. It serves the program it was made for and everything
// bound from it.
class Scratch;

// A condition as evaluated on one event, for people.
struct Explanation;

class Program {
  public:
    std::size_t rule_count() const noexcept { return infos_->size(); }
    const RuleInfo& rule(std::size_t index) const noexcept { return (*infos_)[index]; }
    std::span<const RuleInfo> rules() const noexcept { return *infos_; }

    // What the engine must compute before it evaluates a phase, in order.
    std::span<const SignalRef> signals(Phase phase) const noexcept { return at(phase).signals; }

    // The event fields that some rule reads, itself or by a signal; the index is the field's slot. field() is
    // -1 for any other.
    std::span<const std::string> fields() const noexcept { return fields_; }
    int field(std::string_view name) const noexcept;

    bool reads(Phase phase) const noexcept { return !at(phase).roots.empty(); }
    // Which of signals(phase) the rule reads: bit i for the i-th, of the first 64.
    std::uint64_t signals_of(std::size_t rule, Phase phase) const;

    // The program for events on which these text fields are known: their tests are decided now, rules that
    // can no longer match are dropped, and with them the fields and signals that only they read. Rule indexes
    // stay those of this program. The names logsource.product, .service and .category drop the rules written
    // for other sources; while they are not bound, every rule is a candidate.
    std::shared_ptr<const Program> bind(std::span<const std::pair<std::string, std::string>> constants) const;

    // Writes the indexes of the phase's matching rules to `out`, ascending, as many as fit; returns how many.
    // `fields` has fields().size() values, `signals` is in the order of signals(phase).
    std::size_t evaluate(Phase phase, const event::Value* fields, const double* signals, Scratch& scratch,
                         std::span<std::uint16_t> out) const noexcept;

    // One rule's condition with what each leaf saw; leaves that short circuit left out are marked so.
    Explanation explain(std::size_t rule, const event::Value* fields, const double* signals,
                        Scratch& scratch) const;

    // The compiled rules as text, for people and golden tests.
    std::string dump() const;

  private:
    friend class Compiler;
    friend class Scratch;
    Program() = default;
    const Graph& at(Phase phase) const noexcept { return graphs_[static_cast<std::size_t>(phase)]; }

    std::shared_ptr<const std::vector<Rule>> source_;
    std::shared_ptr<const std::vector<RuleInfo>> infos_;
    Constants constants_;
    std::vector<std::string> fields_;
    std::vector<std::uint16_t> field_table_;  // open addressing: slot + 1, 0 is empty
    Graph graphs_[phase_count];
};

// The program of a rule set, nothing bound. Throws base::Error for a leaf that makes no sense.
std::shared_ptr<const Program> compile(std::vector<Rule> rules);

class Scratch {
  public:
    explicit Scratch(const Program& program);

  private:
    friend class Evaluation;
    ValueCache cache_;
    std::vector<std::uint32_t> leaves_;  // generation << 1 | result
    std::vector<std::uint32_t> nodes_;
    std::uint32_t generation_ = 0;
};

struct Explanation {
    enum class Result : std::uint8_t { no, yes, not_evaluated };

    Result result = Result::not_evaluated;
    Condition::Kind kind = Condition::Kind::leaf;
    std::vector<Explanation> children;
    const Leaf* leaf = nullptr;  // and what it saw:
    bool on_signal = false;
    double signal = 0;
    event::Value value;
};

}  // namespace atlascore::rule
