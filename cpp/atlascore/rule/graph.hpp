// The compiled conditions of one phase, twice: as a graph, which is what people are shown, and as branch
// code, which is what runs.
//
// In the graph equal predicates and equal sub-conditions exist once, and children come before parents.
//
// Branch code is a flat list of steps, each a test with the step to go to when it holds and when it does not.
// AND, OR and NOT are only ways to wire the targets, so evaluating a rule is a loop without recursion, and
// short circuit is a jump; a rule that holds passes through its `match` step. Rules that cannot match unless
// one signal is above some threshold stand behind a gate, one for as many rules as share a signal: for most
// events all gates are shut, and to see that is one comparison each. Behind a gate, rules are in the order of
// their indexes, and blocks of them begin with the tests that every rule in them needs, for example the
// lowest of their thresholds. A jump to a test whose outcome the jumping step implies is wired past it.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "atlascore/rule/predicate.hpp"
#include "atlascore/signal/catalogue.hpp"

namespace atlascore::rule {

// One number that a phase reads. The engine computes exactly these, in this order, before it evaluates; NaN
// means missing.
struct SignalRef {
    signal::Signal signal;
    std::uint32_t window;  // seconds; 0 when the signal does not depend on a window
    signal::Scope scope;
    friend bool operator==(const SignalRef&, const SignalRef&) = default;
};

// A reference to a predicate or node, possibly negated, or a constant.
class Ref {
  public:
    static Ref leaf(std::uint32_t index) noexcept { return Ref(index << 2); }
    static Ref node(std::uint32_t index) noexcept { return Ref(index << 2 | 2); }
    static Ref constant(bool value) noexcept { return Ref(value ? ~std::uint32_t{1} : ~std::uint32_t{0}); }

    Ref operator!() const noexcept { return Ref(bits_ ^ 1); }
    bool negated() const noexcept { return bits_ & 1; }
    bool is_node() const noexcept { return bits_ & 2; }
    bool is_constant() const noexcept { return bits_ >= ~std::uint32_t{1}; }
    std::uint32_t index() const noexcept { return bits_ >> 2; }
    friend auto operator<=>(const Ref&, const Ref&) = default;

  private:
    explicit Ref(std::uint32_t bits) noexcept : bits_(bits) {}
    std::uint32_t bits_;
};

struct Node {
    bool all;             // AND, else OR
    bool shared;          // more than one parent or rule refers to it
    std::uint32_t first;  // children: a range of Graph::children, cheapest first
    std::uint32_t count;
    std::uint32_t leaves;  // below it
};

struct Root {
    std::uint16_t rule;
    Ref condition;
};

struct Step {
    enum class Kind : std::uint8_t {
        above,     // signal `slot` > `threshold`; never for NaN
        below,     // signal `slot` < `threshold`
        leaf,      // predicate `index`
        recall,    // node `index`, where it is remembered; else on to the next step
        remember,  // that node `index` is `slot` (0 or 1)
        match,     // rule `slot` matches
        halt,
    };

    Kind kind = Kind::halt;
    std::uint16_t slot = 0;
    std::uint32_t index = 0;
    std::uint32_t on_true = 0;
    std::uint32_t on_false = 0;
    double threshold = 0;
};

// Code that is run only if signal `slot` is above `threshold`.
struct Gate {
    double threshold = 0;
    std::uint32_t first = 0;  // step
    std::uint16_t slot = 0;
};

struct BranchCode {
    std::vector<Gate> gates;
    std::uint32_t ungated = 0;  // the first step of the code that is always run
    std::vector<Step> steps;
};

struct Graph {
    PredicateTable table;
    std::vector<const Leaf*> leaves;  // what each predicate was compiled from
    std::vector<Node> nodes;
    std::vector<Ref> children;
    std::vector<Root> roots;  // by rule index
    std::vector<SignalRef> signals;
    BranchCode code;
};

// The branch code of the graph's roots.
BranchCode branch_code(const Graph& graph);

}  // namespace atlascore::rule
