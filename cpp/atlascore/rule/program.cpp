#include "atlascore/rule/program.hpp"

#include <algorithm>

#include "atlascore/base/hash.hpp"

namespace atlascore::rule {
namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

std::string operand_text(const Operand& operand) {
    if (const auto* boolean = std::get_if<bool>(&operand)) return *boolean ? "true" : "false";
    if (const auto* text = std::get_if<std::string>(&operand)) return quoted(*text);
    if (const auto* number = std::get_if<Number>(&operand)) {
        char buffer[number_text_capacity];
        return std::string(number_text(*number, buffer));
    }
    return "";
}

std::string leaf_text(const Leaf& leaf) {
    std::string out = leaf.subject + ' ' + std::string(operator_name(leaf.op));
    if (leaf.cased) out += "|cased";
    const std::string operand = operand_text(leaf.operand);
    return operand.empty() ? out : out + ' ' + operand;
}

std::string window_text(std::uint32_t seconds) {
    constexpr std::pair<std::uint32_t, char> units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    for (const auto& [size, letter] : units) {
        if (seconds % size == 0) return std::to_string(seconds / size) + letter;
    }
    return {};
}

std::string_view scope_text(signal::Scope scope) {
    switch (scope) {
        case signal::Scope::track:
            return "principal,model";
        case signal::Scope::principal:
            return "principal";
        case signal::Scope::global:
            break;
    }
    return "global";
}

class Dump {
  public:
    std::string rule(const Graph& graph, const RuleInfo& info, Ref condition) {
        out_ = "rule " + info.id + " phase=" + (info.phase == Phase::request ? "request" : "response") +
               " window=" + window_text(info.window) + " scope=" + std::string(scope_text(info.scope)) + '\n';
        line(graph, condition, 1);
        return std::move(out_);
    }

  private:
    void line(const Graph& graph, Ref ref, std::size_t depth) {
        out_.append(2 * depth, ' ');
        if (ref.is_constant()) {
            out_ += ref.negated() ? "FALSE\n" : "TRUE\n";
            return;
        }
        if (ref.negated()) out_ += "NOT ";
        if (!ref.is_node()) {
            out_ += leaf_text(*graph.leaves[ref.index()]) + '\n';
            return;
        }
        const Node& node = graph.nodes[ref.index()];
        out_ += node.all ? "AND\n" : "OR\n";
        for (std::uint32_t i = 0; i < node.count; ++i) line(graph, graph.children[node.first + i], depth + 1);
    }

    std::string out_;
};

std::uint64_t signals_below(const Graph& graph, Ref ref) {
    if (ref.is_constant()) return 0;
    if (!ref.is_node()) {
        const Predicate& predicate = graph.table.predicates[ref.index()];
        return predicate.on_signal && predicate.slot < 64 ? std::uint64_t{1} << predicate.slot : 0;
    }
    const Node& node = graph.nodes[ref.index()];
    std::uint64_t mask = 0;
    for (std::uint32_t i = 0; i < node.count; ++i)
        mask |= signals_below(graph, graph.children[node.first + i]);
    return mask;
}

}  // namespace

std::uint64_t Program::signals_of(std::size_t rule, Phase phase) const {
    for (const Root& root : at(phase).roots) {
        if (root.rule == rule) return signals_below(at(phase), root.condition);
    }
    return 0;
}

int Program::field(std::string_view name) const noexcept {
    const std::size_t mask = field_table_.size() - 1;
    for (std::size_t at = base::hash64(name, 0) & mask; field_table_[at] != 0; at = (at + 1) & mask) {
        const int slot = field_table_[at] - 1;
        if (fields_[static_cast<std::size_t>(slot)] == name) return slot;
    }
    return -1;
}

std::string Program::dump() const {
    std::vector<std::pair<std::size_t, std::string>> rules;
    for (const Graph& graph : graphs_) {
        for (const Root& root : graph.roots) {
            rules.emplace_back(root.rule, Dump().rule(graph, rule(root.rule), root.condition));
        }
    }
    std::ranges::sort(rules);
    std::string out;
    for (const auto& [index, text] : rules) out += text;
    return out;
}

Scratch::Scratch(const Program& program) : cache_(program.fields_.size()) {
    std::size_t leaves = 0;
    std::size_t nodes = 0;
    for (const Graph& graph : program.graphs_) {
        leaves = std::max(leaves, graph.table.predicates.size());
        nodes = std::max(nodes, graph.nodes.size());
    }
    leaves_.resize(leaves);
    nodes_.resize(nodes);
}

}  // namespace atlascore::rule
