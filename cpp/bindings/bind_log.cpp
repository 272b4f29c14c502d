// The log's rendering, commitments and ids for tests: the same code that the writer runs, one call at a time.
// The log itself belongs to the engine.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "atlascore/base/error.hpp"
#include "atlascore/log/commitment.hpp"
#include "atlascore/log/decision_id.hpp"
#include "atlascore/log/json.hpp"
#include "atlascore/log/render.hpp"
#include "bindings.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

template <class Enum, std::size_t count>
Enum by_name(const std::array<std::string_view, count>& names, const py::object& name) {
    const auto text = name.cast<std::string>();
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) {
        throw base::Error("the log has no name '" + text + "' here");
    }
    return static_cast<Enum>(found - names.begin());
}

log::Salt salt_of(const std::string& bytes) {
    log::Salt salt;
    if (bytes.size() != salt.size()) {
        throw base::Error("a salt has 32 bytes, this one " + std::to_string(bytes.size()));
    }
    std::memcpy(salt.data(), bytes.data(), salt.size());
    return salt;
}

log::Commitment commitment_of(const py::bytes& bytes) {
    log::Commitment commitment{};
    const std::string_view view = bytes;
    std::memcpy(commitment.data(), view.data(), std::min(view.size(), commitment.size()));
    return commitment;
}

log::Policy policy_of(const py::dict& values) {
    log::Policy policy;
    policy.atlas_release = values["atlas_release"].cast<std::string>();
    const std::string_view hash = values["hash"].cast<std::string_view>();
    std::memcpy(policy.hash.data(), hash.data(), std::min(hash.size(), policy.hash.size()));
    for (const py::handle rule : values["rules"]) {
        policy.rules.push_back(
            {rule["id"].cast<std::string>(), rule["techniques"].cast<std::vector<std::string>>()});
    }
    policy.signals = values["signals"].cast<std::vector<std::string>>();
    for (const auto& [name, json] :
         values["constraints"].cast<std::vector<std::pair<std::string, std::string>>>()) {
        policy.constraints.push_back({name, json});
    }
    return policy;
}

// Members that are missing keep the record's defaults.
class RecordReader {
  public:
    RecordReader(const py::dict& values, log::Names& names) : values_(values), names_(names) {}

    log::Record read(std::uint32_t policy) {
        log::Record record;
        record.policy = policy;
        number("t", record.t);
        number("mono", record.mono);
        number("constraints", record.constraints);
        number("rows", record.rows);
        number("latency", record.latency);
        number("simulated", record.simulated);
        number("trimmed", record.trimmed);
        name("model", record.model);
        name("route", record.route);
        name("method", record.method);
        name("endpoint", record.endpoint);
        name("step_name", record.step_name);
        name("allowed_by", record.allowed_by);
        named("action", log::action_names, record.action);
        named("would", log::action_names, record.would);
        named("phase", log::phase_names, record.phase);
        named("step", log::step_names, record.step);
        if (values_.contains("guard")) {
            record.guard_error = true;
            named("stage", log::stage_names, record.stage);
            named("guard", log::failure_names, record.failure);
            number("closed", record.closed);
        }
        if (values_.contains("principal")) record.principal = commitment_of(values_["principal"]);
        if (values_.contains("session")) record.session = commitment_of(values_["session"]);
        read_request(record);
        read_rules(record);
        return record;
    }

  private:
    template <class T>
    void number(const char* key, T& to) {
        if (values_.contains(key)) to = values_[key].template cast<T>();
    }
    void name(const char* key, std::uint32_t& to) {
        if (values_.contains(key)) to = names_.intern(values_[key].cast<std::string_view>());
    }
    template <class Enum, std::size_t count>
    void named(const char* key, const std::array<std::string_view, count>& names, Enum& to) {
        if (values_.contains(key)) to = by_name<Enum>(names, values_[key]);
    }
    void read_request(log::Record& record) {
        if (!values_.contains("request")) return;
        const auto request = values_["request"].cast<std::string>();
        record.request_size = static_cast<std::uint8_t>(std::min(request.size(), log::max_request_id));
        std::memcpy(record.request, request.data(), record.request_size);
    }
    void read_rules(log::Record& record) {
        if (values_.contains("rules")) {
            for (const py::handle rule : values_["rules"]) {
                record.rules[record.rule_count++] = {rule["rule"].cast<std::uint16_t>(),
                                                     by_name<log::Action>(log::action_names, rule["action"]),
                                                     by_name<log::Mode>(log::mode_names, rule["mode"])};
            }
        }
        if (values_.contains("signals")) {
            for (const py::handle signal : values_["signals"]) {
                record.signals[record.signal_count++] = {signal["value"].cast<double>(),
                                                         signal["signal"].cast<std::uint16_t>(),
                                                         signal["rules"].cast<std::uint16_t>()};
            }
        }
    }

    const py::dict& values_;
    log::Names& names_;
};

py::bytes decision_entry(std::uint64_t instance, std::uint64_t sequence, const py::dict& policy,
                         const py::dict& record) {
    log::Names names;
    log::Policies policies;
    const std::uint32_t number = policies.add(std::make_unique<const log::PolicyNames>(policy_of(policy)));
    std::string out;
    log::Renderer(instance, 0, names, policies)
        .decision(out, sequence, RecordReader(record, names).read(number));
    return out;
}

py::object decision_name(const std::string& salt, std::string_view id) {
    const auto name = log::DecisionIds(salt_of(salt)).name(id);
    return name ? py::object(py::make_tuple(name->instance, name->producer, name->sequence)) : py::none();
}

}  // namespace

void bind_log(py::module_& m) {
    py::module_ testing = m.def_submodule("testing_log", "The decision log's parts, for tests.");
    testing.def("decision_entry", &decision_entry, py::arg("instance"), py::arg("sequence"),
                py::arg("policy"), py::arg("record"));
    testing.def(
        "clean_utf8",
        [](std::string_view text, std::size_t limit) { return py::bytes(log::clean_utf8(text, limit)); },
        py::arg("text"), py::arg("limit"));
    testing.def("json_string", [](std::string_view text) { return py::bytes(log::json_string(text)); });
    testing.def("real", [](double value) {
        std::string out;
        log::append_real(out, value);
        return out;
    });
    testing.def(
        "commitment",
        [](const std::string& salt, std::string_view name) {
            const log::Commitment bytes = log::Hmac(salt_of(salt)).commit(name);
            return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        },
        py::arg("salt"), py::arg("name"));
    testing.def(
        "decision_id",
        [](const std::string& salt, std::uint64_t instance, std::uint16_t producer, std::uint64_t sequence) {
            return log::DecisionIds(salt_of(salt)).id({instance, producer, sequence});
        },
        py::arg("salt"), py::arg("instance"), py::arg("producer"), py::arg("sequence"));
    testing.def("decision_name", &decision_name, py::arg("salt"), py::arg("id"));
}

}  // namespace atlascore::bindings
