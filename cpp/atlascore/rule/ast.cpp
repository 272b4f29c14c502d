#include "atlascore/rule/ast.hpp"

#include <re2/re2.h>

#include <array>
#include <utility>

#include "atlascore/base/error.hpp"

namespace atlascore::rule {
namespace {

constexpr std::array<std::pair<Operator, std::string_view>, 11> operators{{
    {Operator::exists, "exists"},
    {Operator::null, "null"},
    {Operator::equal, "equal"},
    {Operator::contains, "contains"},
    {Operator::startswith, "startswith"},
    {Operator::endswith, "endswith"},
    {Operator::regex, "regex"},
    {Operator::lt, "lt"},
    {Operator::lte, "lte"},
    {Operator::gt, "gt"},
    {Operator::gte, "gte"},
}};

// The worst text costs up to 8 us per instruction and KB, because RE2 gives its automaton up and simulates
// the program. The largest regular expression of SigmaHQ needs 8,005, which no smaller limit would let pass.
constexpr int instruction_limit = 10'000;

std::string explain_rejection(const RE2& regex) {
    const std::string& part = regex.error_arg();
    if (part.starts_with("(?=") || part.starts_with("(?!")) return "look-ahead " + part + " is not supported";
    if (part.starts_with("(?<")) return "look-behind or named group " + part + " is not supported";
    if (regex.error_code() == RE2::ErrorBadEscape && part.size() == 2 && part[1] >= '1' && part[1] <= '9') {
        return "back-reference " + part + " is not supported";
    }
    return regex.error();
}

}  // namespace

std::string_view operator_name(Operator op) noexcept {
    return operators[static_cast<std::size_t>(op)].second;
}

std::optional<Operator> find_operator(std::string_view name) noexcept {
    for (const auto& [op, text] : operators) {
        if (text == name) return op;
    }
    return std::nullopt;
}

std::shared_ptr<const re2::RE2> compile_regex(std::string_view pattern, std::string_view flags) {
    RE2::Options options;
    options.set_log_errors(false);
    std::string text(pattern);
    if (!flags.empty()) text.insert(0, "(?" + std::string(flags) + ")");
    auto regex = std::make_shared<const RE2>(text, options);
    if (!regex->ok()) throw base::Error("bad regular expression: " + explain_rejection(*regex));
    if (const int size = regex->ProgramSize(); size > instruction_limit) {
        throw base::Error("the regular expression needs " + std::to_string(size) +
                          " instructions, more than " + std::to_string(instruction_limit) +
                          ": repeat less, for texts that make it slow");
    }
    return regex;
}

}  // namespace atlascore::rule
