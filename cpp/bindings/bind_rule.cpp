// Sigma rules: building a program from the Python front's rules, and the slow ways to ask it for tests and
// people. The engine takes the Program itself; nothing here is on the hot path.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "atlascore/base/error.hpp"
#include "atlascore/evidence/component.hpp"
#include "atlascore/rule/program.hpp"
#include "bindings.hpp"
#include "convert.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

using rule::Condition;
using rule::Leaf;
using rule::Number;
using rule::Phase;
using rule::Program;

constexpr const char* level_names[] = {"informational", "low", "medium", "high", "critical"};
constexpr const char* scope_names[] = {"track", "principal", "global"};
constexpr const char* source_names[] = {"count",      "history",   "shapes", "evidence", "parameters",
                                        "prompts",    "blocks",    "cost",   "twins",    "budget",
                                        "neighbours", "principal", "inputs", "answers",  "baseline"};
static_assert(std::size(source_names) == signal::source_count);
constexpr const char* phase_names[] = {"request", "response"};

template <class Enum, std::size_t count>
Enum by_name(const char* const (&names)[count], const std::string& name, const char* what) {
    for (std::size_t i = 0; i < count; ++i) {
        if (name == names[i]) return static_cast<Enum>(i);
    }
    throw base::Error("unknown " + std::string(what) + " '" + name + "'");
}

Number integer_of(py::handle object) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    if (overflow == 0) return Number::of(std::int64_t{value});
    const unsigned long long wide = PyLong_AsUnsignedLongLong(object.ptr());
    if (PyErr_Occurred()) throw py::error_already_set();
    return Number::of(std::uint64_t{wide});
}

rule::Operand operand_of(py::handle object) {
    if (object.is_none()) return std::monostate();
    if (py::isinstance<py::bool_>(object)) return object.cast<bool>();
    if (py::isinstance<py::int_>(object)) return integer_of(object);
    if (py::isinstance<py::float_>(object)) return Number::of(object.cast<double>());
    return object.cast<std::string>();
}

Leaf leaf_of(const py::tuple& tuple) {
    Leaf leaf;
    leaf.subject = tuple[1].cast<std::string>();
    const auto name = tuple[2].cast<std::string>();
    const auto op = rule::find_operator(name);
    if (!op) throw base::Error("unknown operator '" + name + "'");
    leaf.op = *op;
    leaf.operand = operand_of(tuple[3]);
    const auto option = tuple[4].cast<std::string>();
    leaf.cased = option == "cased";
    if (leaf.op == rule::Operator::regex) {
        leaf.regex = rule::compile_regex(std::get<std::string>(leaf.operand), option);
    }
    return leaf;
}

Condition condition_of(const py::tuple& tuple) {
    const auto kind = tuple[0].cast<std::string>();
    Condition condition;
    if (kind == "leaf") {
        condition.leaf = leaf_of(tuple);
    } else if (kind == "not") {
        condition.kind = Condition::Kind::negation;
        condition.children.push_back(condition_of(tuple[1].cast<py::tuple>()));
    } else {
        condition.kind = kind == "and" ? Condition::Kind::all : Condition::Kind::any;
        for (const py::handle child : tuple[1]) {
            condition.children.push_back(condition_of(child.cast<py::tuple>()));
        }
    }
    return condition;
}

rule::Rule rule_of(const py::tuple& tuple) {
    const auto info = tuple[0].cast<py::dict>();
    const auto logsource = tuple[1].cast<std::array<std::string, 3>>();
    rule::Rule out;
    out.info.id = info["id"].cast<std::string>();
    out.info.aliases = info["aliases"].cast<std::vector<std::string>>();
    out.info.title = info["title"].cast<std::string>();
    out.info.level = by_name<rule::Level>(level_names, info["level"].cast<std::string>(), "level");
    out.info.tags = info["tags"].cast<std::vector<std::string>>();
    out.info.techniques = info["techniques"].cast<std::vector<std::string>>();
    out.info.window = info["window"].cast<std::uint32_t>();
    out.info.scope = by_name<signal::Scope>(scope_names, info["scope"].cast<std::string>(), "scope");
    out.info.phase = by_name<Phase>(phase_names, info["phase"].cast<std::string>(), "phase");
    out.info.file = info["file"].cast<std::string>();
    out.info.line = info["line"].cast<std::uint32_t>();
    out.logsource = {logsource[0], logsource[1], logsource[2]};
    out.condition = condition_of(tuple[2].cast<py::tuple>());
    return out;
}

py::dict dict_of(const rule::RuleInfo& info) {
    return py::dict(py::arg("id") = info.id, py::arg("aliases") = info.aliases, py::arg("title") = info.title,
                    py::arg("level") = level_names[static_cast<int>(info.level)], py::arg("tags") = info.tags,
                    py::arg("techniques") = info.techniques, py::arg("window") = info.window,
                    py::arg("scope") = scope_names[static_cast<int>(info.scope)],
                    py::arg("phase") = phase_names[static_cast<int>(info.phase)], py::arg("file") = info.file,
                    py::arg("line") = info.line);
}

// One event given as Python values.
class Event {
  public:
    Event(const Program& program, Phase phase, const py::dict& fields, const py::dict& signals)
        : fields_(program.fields().size()) {
        if (!conversion_.fields(fields.ptr(), program, fields_.data())) throw py::error_already_set();
        for (const rule::SignalRef& ref : program.signals(phase)) {
            const py::str key(std::string(signal::info(ref.signal).name));
            signals_.push_back(signals.contains(key) ? signals[key].cast<double>()
                                                     : std::numeric_limits<double>::quiet_NaN());
        }
    }

    const event::Value* fields() const { return fields_.data(); }
    const double* signals() const { return signals_.data(); }

  private:
    Conversion conversion_;
    std::vector<event::Value> fields_;
    std::vector<double> signals_;
};

py::object object_of(const event::Value& value) {
    using enum event::ValueKind;
    switch (value.kind) {
        case boolean:
            return py::bool_(value.boolean);
        case int64:
            return py::int_(value.int64);
        case uint64:
            return py::int_(value.uint64);
        case real:
            return py::float_(value.real);
        case text:
            return py::bytes(value.text, value.size).attr("decode")("utf-8", "replace");
        case array: {
            py::list out;
            for (std::uint32_t i = 0; i < value.size; ++i) out.append(object_of(value.items[i]));
            return out;
        }
        default:
            return py::none();
    }
}

py::object object_of(const rule::Operand& operand) {
    if (const auto* boolean = std::get_if<bool>(&operand)) return py::bool_(*boolean);
    if (const auto* text = std::get_if<std::string>(&operand)) return py::str(*text);
    const auto* number = std::get_if<Number>(&operand);
    if (number == nullptr) return py::none();
    switch (number->kind) {
        case Number::Kind::int64:
            return py::int_(number->int64);
        case Number::Kind::uint64:
            return py::int_(number->uint64);
        case Number::Kind::real:
            break;
    }
    return py::float_(number->real);
}

void describe_leaf(const rule::Explanation& explanation, py::dict& out) {
    const Leaf& leaf = *explanation.leaf;
    out[explanation.on_signal ? "signal" : "field"] = leaf.subject;
    out["operator"] = std::string(rule::operator_name(leaf.op)) + (leaf.cased ? "|cased" : "");
    out["operand"] = object_of(leaf.operand);
    const bool is_missing = explanation.on_signal ? std::isnan(explanation.signal)
                                                  : explanation.value.kind == event::ValueKind::missing;
    out["missing"] = is_missing;
    if (is_missing) {
        out["value"] = py::none();
    } else if (explanation.on_signal) {
        out["value"] = explanation.signal;
    } else {
        out["value"] = object_of(explanation.value);
    }
}

}  // namespace

py::dict explanation_dict(const rule::Explanation& explanation) {
    py::dict out;
    out["result"] = explanation.result == rule::Explanation::Result::not_evaluated
                        ? py::object(py::none())
                        : py::object(py::bool_(explanation.result == rule::Explanation::Result::yes));
    if (explanation.leaf != nullptr) {
        describe_leaf(explanation, out);
    } else if (!explanation.children.empty()) {
        constexpr const char* kinds[] = {"and", "or", "not"};
        py::list children;
        for (const rule::Explanation& child : explanation.children) children.append(explanation_dict(child));
        out[kinds[static_cast<int>(explanation.kind)]] = children;
    }
    return out;
}

void bind_rule(py::module_& m) {
    const auto phase_of = [](const std::string& name) { return by_name<Phase>(phase_names, name, "phase"); };

    py::class_<Program, std::shared_ptr<Program>>(m, "Program", "A compiled, immutable set of Sigma rules.")
        .def(py::init([](const py::sequence& rules) {
                 std::vector<rule::Rule> lowered;
                 for (const py::handle item : rules) lowered.push_back(rule_of(item.cast<py::tuple>()));
                 return std::const_pointer_cast<Program>(rule::compile(std::move(lowered)));
             }),
             py::arg("rules"), "Compile rules in the form that cpp/atlascore/rule/ast.hpp describes.")
        .def("__len__", &Program::rule_count)
        .def("rules",
             [](const Program& program) {
                 py::list out;
                 for (const rule::RuleInfo& info : program.rules()) out.append(dict_of(info));
                 return out;
             })
        .def("fields",
             [](const Program& program) {
                 const auto fields = program.fields();
                 return std::vector<std::string>(fields.begin(), fields.end());
             })
        .def(
            "signals",
            [phase_of](const Program& program, const std::string& phase) {
                py::list out;
                for (const rule::SignalRef& ref : program.signals(phase_of(phase))) {
                    out.append(py::make_tuple(std::string(signal::info(ref.signal).name), ref.window,
                                              scope_names[static_cast<int>(ref.scope)]));
                }
                return out;
            },
            py::arg("phase") = "request", "(name, window in seconds, scope) of each signal read, in order.")
        .def(
            "bind",
            [](const Program& program, const std::map<std::string, std::string>& constants) {
                const rule::Constants list(constants.begin(), constants.end());
                return std::const_pointer_cast<Program>(program.bind(list));
            },
            py::arg("constants"))
        .def("dump", &Program::dump)
        .def(
            "evaluate",
            [phase_of](const Program& program, const std::string& phase, const py::dict& fields,
                       const py::dict& signals) {
                const Event event(program, phase_of(phase), fields, signals);
                rule::Scratch scratch(program);
                std::vector<std::uint16_t> matched(program.rule_count());
                matched.resize(
                    program.evaluate(phase_of(phase), event.fields(), event.signals(), scratch, matched));
                return matched;
            },
            py::arg("phase"), py::arg("fields"), py::arg("signals") = py::dict(),
            "Indexes of the rules that match one event; a signal that is not given is missing.")
        .def(
            "explain",
            [](const Program& program, std::size_t index, const py::dict& fields, const py::dict& signals) {
                if (index >= program.rule_count()) throw py::index_error("no such rule");
                const Event event(program, program.rule(index).phase, fields, signals);
                rule::Scratch scratch(program);
                return explanation_dict(program.explain(index, event.fields(), event.signals(), scratch));
            },
            py::arg("rule"), py::arg("fields"), py::arg("signals") = py::dict(),
            "The condition tree of one rule on one event; `result` is None where it was not evaluated.");

    m.def("signal_catalogue", [] {
        py::list out;
        for (const signal::SignalInfo& info : signal::catalogue()) {
            py::list scopes;
            for (int i = 0; i < 3; ++i) {
                if (info.scopes & (1u << i)) scopes.append(scope_names[i]);
            }
            out.append(py::dict(py::arg("name") = std::string(info.name),
                                py::arg("unit") = std::string(info.unit), py::arg("windowed") = info.windowed,
                                py::arg("source") = source_names[static_cast<std::size_t>(info.source)],
                                py::arg("needs_answers") = info.needs_answers, py::arg("scopes") = scopes,
                                py::arg("minimum") = info.minimum,
                                py::arg("description") = std::string(info.description)));
        }
        return out;
    });
    m.def("evidence_components", [] {
        py::list out;
        for (const evidence::ComponentInfo& c : evidence::components()) {
            const evidence::FamilyInfo& family = evidence::families()[static_cast<std::size_t>(c.family)];
            out.append(
                py::dict(py::arg("name") = std::string(c.name), py::arg("family") = std::string(family.name),
                         py::arg("strict") = family.strict, py::arg("p0") = c.p0, py::arg("p1") = c.p1,
                         py::arg("weight") = c.weight, py::arg("observation") = std::string(c.observation),
                         py::arg("hit") = std::string(c.hit)));
        }
        return out;
    });
    m.def(
        "regex_problem",
        [](const std::string& pattern, const std::string& flags) -> std::optional<std::string> {
            try {
                rule::compile_regex(pattern, flags);
                return std::nullopt;
            } catch (const base::Error& error) {
                return error.what();
            }
        },
        py::arg("pattern"), py::arg("flags") = "", "Why RE2 does not accept a regular expression, or None.");
}

}  // namespace atlascore::bindings
