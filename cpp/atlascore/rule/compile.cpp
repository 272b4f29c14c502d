// From rules to a program. Conditions become one hash-consed graph per phase: constants are folded, nested
// ANDs and ORs are merged, duplicates removed and children sorted by cost. Only what a rule can still reach
// is emitted, so a program never asks for a field or signal that cannot matter.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include <re2/re2.h>

#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/rule/program.hpp"

namespace atlascore::rule {
namespace {

// Products that name the same thing: an AI gateway (sigma.md 3.4).
constexpr std::string_view gateway_products[] = {"llm_gateway", "machine_learning_platform", "ai_agent"};

bool same_product(std::string_view a, std::string_view b) {
    return a == b || (std::ranges::count(gateway_products, a) && std::ranges::count(gateway_products, b));
}

const std::string* find_constant(const Constants& constants, std::string_view name) {
    const auto found = std::ranges::find(constants, name, &Constants::value_type::first);
    return found == constants.end() ? nullptr : &found->second;
}

bool is_candidate(const Logsource& stated, const Constants& constants) {
    const auto agrees = [&](const std::string& wanted, std::string_view name, auto same) {
        const std::string* actual = find_constant(constants, name);
        return wanted.empty() || actual == nullptr || same(wanted, *actual);
    };
    return agrees(stated.product, "logsource.product", same_product) &&
           agrees(stated.service, "logsource.service", std::equal_to<>()) &&
           agrees(stated.category, "logsource.category", std::equal_to<>());
}

template <class T>
void append_bytes(std::string& key, const T& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Two leaves with equal keys test the same thing.
std::string key_of(const PredicateTable& table, const Predicate& predicate) {
    std::string key;
    append_bytes(key, predicate.slot);
    append_bytes(key, predicate.test);
    key += static_cast<char>(predicate.on_signal << 2 | predicate.cased << 1 | int{predicate.expected});
    if (predicate.test == Test::text_regex) return key + table.regexes[predicate.pattern]->pattern();
    if (predicate.test > Test::gte) {
        for (const char32_t c : table.globs[predicate.pattern]) append_bytes(key, c);
    } else {
        append_bytes(key, predicate.number.kind);
        append_bytes(key, predicate.number.uint64);
    }
    return key;
}

// One phase's graph while it is built: leaves and nodes by key, with dead ones among them.
class Draft {
  public:
    explicit Draft(const Constants& constants) : constants_(constants) {}

    Ref condition(const Condition& condition, const RuleInfo& info) {
        if (condition.kind == Condition::Kind::leaf) return leaf(condition.leaf, info);
        if (condition.kind == Condition::Kind::negation) return !this->condition(condition.children[0], info);
        std::vector<Ref> children;
        children.reserve(condition.children.size());
        for (const Condition& child : condition.children) children.push_back(this->condition(child, info));
        return combine(condition.kind == Condition::Kind::all, children);
    }

    struct DraftNode {
        bool all;
        std::uint32_t cost;
        std::vector<Ref> children;
    };
    struct DraftLeaf {
        const Leaf* leaf;
        std::uint16_t subject;
    };

    const DraftNode& node(Ref ref) const { return nodes_[ref.index()]; }
    const DraftLeaf& leaf(Ref ref) const { return leaves_[ref.index()]; }
    const SignalRef* signal(const DraftLeaf& leaf) const {
        const auto& [name, ref] = subjects_[leaf.subject];
        return ref ? &*ref : nullptr;
    }

  private:
    Ref leaf(const Leaf& leaf, const RuleInfo& info) {
        const std::uint16_t subject = intern_subject(leaf.subject, info);
        const bool on_signal = subjects_[subject].second.has_value();
        const std::uint32_t index = table_.add(leaf, subject, on_signal);
        const Predicate predicate = table_.predicates[index];
        if (const std::string* text = on_signal ? nullptr : find_constant(constants_, leaf.subject)) {
            table_.predicates.pop_back();
            return Ref::constant(holds_of(predicate, *text));
        }
        const auto [found, is_new] = by_key_.try_emplace(key_of(table_, predicate), index);
        if (is_new) {
            leaves_.push_back({&leaf, subject});
        } else {
            table_.predicates.pop_back();
        }
        return Ref::leaf(found->second);
    }

    bool holds_of(Predicate predicate, const std::string& text) {
        predicate.slot = 0;
        constant_cache_.begin_event();
        return holds(table_, predicate, event::Value::of_text(text), constant_cache_);
    }

    std::uint16_t intern_subject(const std::string& name, const RuleInfo& info) {
        std::optional<SignalRef> ref;
        if (const auto signal = signal::find(name)) {
            ref = SignalRef{*signal, signal::info(*signal).windowed ? info.window : 0, info.scope};
        }
        const auto found = std::ranges::find(subjects_, std::pair(name, ref));
        if (found != subjects_.end()) return static_cast<std::uint16_t>(found - subjects_.begin());
        if (subjects_.size() == std::numeric_limits<std::uint16_t>::max()) {
            throw base::Error("the rules read more than 65534 different fields; load fewer rules");
        }
        subjects_.emplace_back(name, ref);
        return static_cast<std::uint16_t>(subjects_.size() - 1);
    }

    Ref combine(bool all, const std::vector<Ref>& given) {
        std::vector<Ref> children;
        for (const Ref child : given) {
            if (child == Ref::constant(!all)) return child;
            if (child.is_constant()) continue;
            if (child.is_node() && !child.negated() && node(child).all == all) {
                const std::vector<Ref>& inner = node(child).children;
                children.insert(children.end(), inner.begin(), inner.end());
            } else {
                children.push_back(child);
            }
        }
        std::ranges::sort(children);
        children.erase(std::ranges::unique(children).begin(), children.end());
        const auto is_complement = [](Ref a, Ref b) { return a == !b; };
        if (std::ranges::adjacent_find(children, is_complement) != children.end()) return Ref::constant(!all);
        if (children.empty()) return Ref::constant(all);
        if (children.size() == 1) return children[0];
        return intern_node(all, std::move(children));
    }

    Ref intern_node(bool all, std::vector<Ref> children) {
        std::string key(1, all ? '&' : '|');
        for (const Ref child : children) append_bytes(key, child);
        const auto [found, is_new] = by_key_.try_emplace(key, static_cast<std::uint32_t>(nodes_.size()));
        if (is_new) {
            std::ranges::stable_sort(children, {}, [this](Ref child) { return cost_of(child); });
            std::uint32_t total = 0;
            for (const Ref child : children) total += cost_of(child);
            nodes_.push_back({all, total, std::move(children)});
        }
        return Ref::node(found->second);
    }

    std::uint32_t cost_of(Ref ref) const {
        return ref.is_node() ? node(ref).cost : cost(table_.predicates[ref.index()]);
    }

    const Constants& constants_;
    PredicateTable table_;
    ValueCache constant_cache_{1};
    std::vector<std::pair<std::string, std::optional<SignalRef>>> subjects_;
    std::vector<DraftLeaf> leaves_;
    std::vector<DraftNode> nodes_;
    std::unordered_map<std::string, std::uint32_t> by_key_;
};

}  // namespace

class Compiler {
  public:
    static std::shared_ptr<const Program> run(std::shared_ptr<const std::vector<Rule>> source,
                                              std::shared_ptr<const std::vector<RuleInfo>> infos,
                                              Constants constants) {
        std::shared_ptr<Program> program(new Program);
        program->source_ = std::move(source);
        program->infos_ = std::move(infos);
        program->constants_ = std::move(constants);
        for (const Phase phase : {Phase::request, Phase::response}) Compiler(*program, phase).compile();
        add_fields_of_signals(*program);
        index_fields(*program);
        return program;
    }

  private:
    Compiler(Program& program, Phase phase)
        : program_(program),
          graph_(program.graphs_[static_cast<std::size_t>(phase)]),
          phase_(phase),
          draft_(program.constants_) {}

    void compile() {
        const std::vector<Rule>& rules = *program_.source_;
        for (std::size_t i = 0; i < rules.size(); ++i) {
            const Rule& rule = rules[i];
            if (rule.info.phase != phase_ || !is_candidate(rule.logsource, program_.constants_)) continue;
            const Ref condition = draft_.condition(rule.condition, rule.info);
            if (condition == Ref::constant(false)) continue;
            graph_.roots.push_back({static_cast<std::uint16_t>(i), emit(condition)});
        }
        graph_.code = branch_code(graph_);
    }

    Ref emit(Ref ref) {
        if (ref.is_constant()) return ref;
        const Ref plain = ref.is_node() ? emit_node(ref) : emit_leaf(ref);
        return ref.negated() ? !plain : plain;
    }

    Ref emit_node(Ref ref) {
        const auto found = emitted_nodes_.find(ref.index());
        if (found != emitted_nodes_.end()) {
            graph_.nodes[found->second].shared = true;
            return Ref::node(found->second);
        }
        const Draft::DraftNode& draft = draft_.node(ref);
        std::vector<Ref> children;
        std::uint32_t leaves = 0;
        for (const Ref child : draft.children) {
            children.push_back(emit(child));
            leaves += child.is_node() ? graph_.nodes[children.back().index()].leaves : 1;
        }
        const auto index = static_cast<std::uint32_t>(graph_.nodes.size());
        const auto first = static_cast<std::uint32_t>(graph_.children.size());
        graph_.children.insert(graph_.children.end(), children.begin(), children.end());
        const auto count = static_cast<std::uint32_t>(children.size());
        graph_.nodes.push_back({draft.all, false, first, count, leaves});
        emitted_nodes_.emplace(ref.index(), index);
        return Ref::node(index);
    }

    Ref emit_leaf(Ref ref) {
        const auto found = emitted_leaves_.find(ref.index());
        if (found != emitted_leaves_.end()) return Ref::leaf(found->second);
        const Draft::DraftLeaf& draft = draft_.leaf(ref);
        const SignalRef* signal = draft_.signal(draft);
        const std::size_t slot =
            signal ? slot_of(graph_.signals, *signal) : slot_of(program_.fields_, draft.leaf->subject);
        const std::uint32_t index =
            graph_.table.add(*draft.leaf, static_cast<std::uint16_t>(slot), signal != nullptr);
        graph_.leaves.push_back(draft.leaf);
        emitted_leaves_.emplace(ref.index(), index);
        return Ref::leaf(index);
    }

    template <class T>
    static std::size_t slot_of(std::vector<T>& list, const T& item) {
        const auto found = std::ranges::find(list, item);
        if (found != list.end()) return static_cast<std::size_t>(found - list.begin());
        list.push_back(item);
        return list.size() - 1;
    }

    // What signals are computed from has slots like what rules read.
    static void add_fields_of_signals(Program& program) {
        for (const Graph& graph : program.graphs_) {
            for (const SignalRef& ref : graph.signals) {
                for (const std::string_view field : signal::info(ref.signal).fields) {
                    slot_of(program.fields_, std::string(field));
                }
            }
        }
    }

    static void index_fields(Program& program) {
        std::size_t capacity = 4;
        while (capacity < 2 * program.fields_.size()) capacity *= 2;
        program.field_table_.assign(capacity, 0);
        for (std::size_t slot = 0; slot < program.fields_.size(); ++slot) {
            std::size_t at = base::hash64(program.fields_[slot], 0) & (capacity - 1);
            while (program.field_table_[at] != 0) at = (at + 1) & (capacity - 1);
            program.field_table_[at] = static_cast<std::uint16_t>(slot + 1);
        }
    }

    Program& program_;
    Graph& graph_;
    Phase phase_;
    Draft draft_;
    std::unordered_map<std::uint32_t, std::uint32_t> emitted_nodes_;
    std::unordered_map<std::uint32_t, std::uint32_t> emitted_leaves_;
};

std::shared_ptr<const Program> compile(std::vector<Rule> rules) {
    if (rules.size() > std::numeric_limits<std::uint16_t>::max()) {
        throw base::Error("more than 65535 rules; load fewer");
    }
    auto infos = std::make_shared<std::vector<RuleInfo>>();
    for (const Rule& rule : rules) infos->push_back(rule.info);
    return Compiler::run(std::make_shared<const std::vector<Rule>>(std::move(rules)), std::move(infos), {});
}

std::shared_ptr<const Program> Program::bind(
    std::span<const std::pair<std::string, std::string>> constants) const {
    Constants merged(constants.begin(), constants.end());
    merged.insert(merged.end(), constants_.begin(), constants_.end());
    return Compiler::run(source_, infos_, std::move(merged));
}

}  // namespace atlascore::rule
