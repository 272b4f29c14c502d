// A rule as the compiler receives it: lists, modifiers and search identifiers are resolved, what is left is a
// condition tree over leaves that each compare one event field or signal with one operand.
//
// In Python a rule is the tuple
//     (info, logsource, condition)
//     info       dict with the members of RuleInfo; level, scope and phase by name
//     logsource  (product, service, category), "" where the rule does not say
//     condition  ("and", [condition, ...]) | ("or", [condition, ...]) | ("not", condition)
//              | ("leaf", subject, operator, operand, option)
// where subject is a field or signal name, operator a name of enum Operator, operand None, bool, int, float
// or str, and option "" or "cased", for `regex` any of "ims". Text operands of equal, contains, startswith
// and endswith are in Sigma's notation, wildcards and escapes included.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "atlascore/rule/number.hpp"
#include "atlascore/rule/rule_info.hpp"

namespace re2 {
class RE2;
}

namespace atlascore::rule {

enum class Operator : std::uint8_t {
    exists,  // operand bool: the subject is present, or is not
    null,    // missing or null
    equal,
    contains,
    startswith,
    endswith,
    regex,
    lt,
    lte,
    gt,
    gte,
};

std::string_view operator_name(Operator op) noexcept;
std::optional<Operator> find_operator(std::string_view name) noexcept;

using Operand = std::variant<std::monostate, bool, Number, std::string>;

struct Leaf {
    std::string subject;
    Operator op = Operator::exists;
    Operand operand;
    bool cased = false;
    std::shared_ptr<const re2::RE2> regex;  // for Operator::regex
};

struct Condition {
    enum class Kind : std::uint8_t { all, any, negation, leaf };

    Kind kind = Kind::leaf;
    std::vector<Condition> children;  // one for a negation, none for a leaf
    Leaf leaf;
};

struct Logsource {
    std::string product;
    std::string service;
    std::string category;
};

struct Rule {
    RuleInfo info;
    Logsource logsource;
    Condition condition;
};

// A compiled regular expression in RE2's syntax with the given flags out of "ims". Throws base::Error that
// names the construct when RE2 has no such thing (look-around, back-references) or the pattern is malformed.
std::shared_ptr<const re2::RE2> compile_regex(std::string_view pattern, std::string_view flags);

}  // namespace atlascore::rule
