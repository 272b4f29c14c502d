// The resolved policy (atlascore.policy.Policy.resolved()) to its compiled form, and to what the log must
// know of it.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/evidence/component.hpp"
#include "bind_policy.hpp"
#include "bindings.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

using policy::Action;
using policy::Modality;
using policy::Mode;

template <typename Enum, std::size_t count>
Enum named(const char* const (&names)[count], const std::string& name, const char* what) {
    for (std::size_t i = 0; i < count; ++i) {
        if (name == names[i]) return static_cast<Enum>(i);
    }
    throw base::Error(std::string("unknown ") + what + " \"" + name + "\"");
}

Action action_of(py::handle value) {
    static constexpr const char* names[] = {"ALLOW", "LOG", "CONSTRAIN", "BLOCK"};
    return named<Action>(names, py::cast<std::string>(value), "action");
}

Mode mode_of(py::handle value) {
    static constexpr const char* names[] = {"off", "shadow", "enforce"};
    return named<Mode>(names, py::cast<std::string>(value), "mode");
}

Modality modality_of(py::handle value) {
    static constexpr const char* names[] = {"any", "text", "vector", "image", "tensor", "row", "digest"};
    return value.is_none() ? Modality::any : named<Modality>(names, py::cast<std::string>(value), "modality");
}

template <typename T>
std::vector<T> list_of(py::handle value) {
    return value.is_none() ? std::vector<T>{} : py::cast<std::vector<T>>(value);
}

double expiry_of(py::handle value) {
    return value.is_none() ? std::numeric_limits<double>::infinity() : py::cast<double>(value);
}

policy::RuleMode rule_mode_of(const py::dict& rule) {
    policy::RuleMode mode;
    mode.mode = mode_of(rule["mode"]);
    mode.expires = expiry_of(rule["expires"]);
    const auto exclude = py::cast<py::dict>(rule["exclude"]);
    mode.excluded_principals = list_of<std::string>(exclude["principals"]);
    mode.excluded = {list_of<std::string>(exclude["models"]), list_of<std::string>(exclude["routes"])};
    return mode;
}

// A declared scale has an epoch of its own, so that sketches made with another one are never compared.
void set_scale(policy::Model& model, const std::vector<float>& centers, const std::vector<float>& scales) {
    if (scales.empty()) return;
    model.centers = centers.empty() ? std::vector<float>{0.0f} : centers;
    for (const float scale : scales) {
        if (!(scale > 0) || !std::isfinite(scale))
            throw base::Error("a declared scale must be above 0 and finite");
        model.inverses.push_back(1.0f / scale);
    }
    const std::uint64_t hash =
        base::hash64(model.inverses.data(), model.inverses.size() * sizeof(float),
                     base::hash64(model.centers.data(), model.centers.size() * sizeof(float), 1));
    model.scale_epoch = static_cast<std::uint32_t>(hash) | 0x40000000u;
}

// A step of 0 stands for no grid.
void set_grid(policy::Model& model, const std::vector<float>& origins, const std::vector<float>& steps) {
    if (std::all_of(steps.begin(), steps.end(), [](float step) { return step == 0; })) return;
    model.grid_origins = origins;
    model.grid_steps = steps;
    for (const float step : steps) {
        if (!(step >= 0) || !std::isfinite(step))
            throw base::Error("a declared grid must have a step of at least 0 that is finite");
        model.grid_inverses.push_back(step == 0 ? 0.0f : 1.0f / step);
    }
}

std::uint32_t components_of(py::handle names) {
    std::uint32_t set = 0;
    for (const auto& name : list_of<std::string>(names)) {
        const auto known = evidence::components();
        const auto found = std::ranges::find(known, name, &evidence::ComponentInfo::name);
        if (found == known.end()) throw base::Error("unknown component of evidence \"" + name + "\"");
        set |= 1u << static_cast<unsigned>(found->id);
    }
    return set;
}

policy::Model model_of(const py::dict& entry) {
    policy::Model model;
    model.pattern = py::cast<std::string>(entry["pattern"]);
    model.modality = modality_of(entry["modality"]);
    model.shape = list_of<std::uint32_t>(entry["shape"]);
    for (const auto column : list_of<std::size_t>(entry["sensitive"])) model.sensitive.set(column);
    if (!entry["extraction_budget"].is_none())
        model.extraction_budget = py::cast<double>(entry["extraction_budget"]);
    const auto kind = py::cast<std::string>(entry["kind"]);
    model.prompts = kind == "llm" || kind == "other";
    model.templates = list_of<std::string>(entry["templates"]);
    const auto off = py::cast<py::dict>(entry["evidence_off"]);
    model.others_off = components_of(off["others"]);
    for (const auto& [name, components] : py::cast<py::dict>(off["measured"]))
        model.measured_off.emplace_back(py::cast<std::string>(name), components_of(components));
    set_grid(model, list_of<float>(entry["grid_origins"]), list_of<float>(entry["grid_steps"]));
    if (entry["features"].is_none()) {
        set_scale(model, list_of<float>(entry["center"]), list_of<float>(entry["scale"]));
        return model;
    }
    std::vector<float> centers, scales;
    bool declared = true;
    for (const py::handle item : entry["features"]) {
        const auto feature = py::cast<py::dict>(item);
        const bool categorical = py::cast<std::string>(feature["kind"]) == "categorical";
        model.features.push_back({py::cast<std::string>(feature["name"]), categorical});
        const bool has_scale = !feature["scale"].is_none();
        declared &= categorical || has_scale;
        centers.push_back(feature["center"].is_none() ? 0.0f : py::cast<float>(feature["center"]));
        scales.push_back(has_scale ? py::cast<float>(feature["scale"]) : 1.0f);
    }
    if (declared) set_scale(model, centers, scales);
    return model;
}

// Queries per second that the constraints of an entry leave; 0 when they say nothing.
double rate_of(const py::dict& entry) {
    const auto constraints = py::cast<py::dict>(entry["constraints"]);
    return constraints.contains("rate") ? py::cast<double>(constraints["rate"]) : 0.0;
}

policy::Response response_of(const py::dict& entry) {
    policy::Response response;
    response.name = py::cast<std::string>(entry["name"]);
    response.rules = list_of<std::uint16_t>(entry["rules"]);
    response.where = {list_of<std::string>(entry["models"]), list_of<std::string>(entry["routes"])};
    response.action = action_of(entry["action"]);
    response.constraints = py::cast<std::uint64_t>(entry["constraint_bits"]);
    response.rate = rate_of(entry);
    if (!entry["duration"].is_none()) {
        const auto duration = py::cast<py::dict>(entry["duration"]);
        response.duration =
            policy::Duration{py::cast<double>(duration["first"]), py::cast<double>(duration["factor"]),
                             py::cast<double>(duration["max"]), py::cast<double>(duration["forget"])};
    }
    if (!entry["block_delay"].is_none()) {
        const auto delay = py::cast<py::dict>(entry["block_delay"]);
        response.delay =
            policy::BlockDelay{py::cast<double>(delay["p"]), py::cast<std::uint32_t>(delay["max"])};
    }
    return response;
}

policy::Limit limit_of(const py::dict& entry) {
    policy::Limit limit;
    limit.name = py::cast<std::string>(entry["name"]);
    for (const auto& part : list_of<std::string>(entry["per"])) {
        limit.per_principal |= part == "principal";
        limit.per_session |= part == "session";
        limit.per_model |= part == "model";
    }
    limit.where = {list_of<std::string>(entry["models"]), {}};
    limit.rows = py::cast<std::string>(entry["unit"]) == "rows";
    limit.max = py::cast<std::uint64_t>(entry["max"]);
    limit.window = py::cast<double>(entry["window"]);
    limit.action = action_of(entry["action"]);
    limit.constraints = py::cast<std::uint64_t>(entry["constraint_bits"]);
    limit.rate = rate_of(entry);
    return limit;
}

policy::AllowEntry allow_of(const py::dict& entry) {
    policy::AllowEntry allow;
    allow.name = py::cast<std::string>(entry["name"]);
    allow.principals = list_of<std::string>(entry["principals"]);
    allow.where = {list_of<std::string>(entry["models"]), list_of<std::string>(entry["routes"])};
    allow.limits = py::cast<bool>(entry["exempt_limits"]);
    allow.rules = list_of<std::uint16_t>(entry["exempt_rules"]);
    allow.expires = expiry_of(entry["expires"]);
    return allow;
}

policy::Spec spec_of(const py::dict& resolved, std::shared_ptr<rule::Program> program) {
    policy::Spec spec;
    spec.program = std::move(program);
    spec.name = py::cast<std::string>(resolved["name"]);
    spec.mode = mode_of(resolved["mode"]);
    spec.unknown_model = action_of(resolved["unknown_model"]);
    for (const py::handle item : resolved["rules"])
        spec.rules.push_back(rule_mode_of(py::cast<py::dict>(item)));
    for (const py::handle item : resolved["models"])
        spec.models.push_back(model_of(py::cast<py::dict>(item)));
    for (const py::handle item : resolved["responses"])
        spec.responses.push_back(response_of(py::cast<py::dict>(item)));
    for (const py::handle item : resolved["limits"])
        spec.limits.push_back(limit_of(py::cast<py::dict>(item)));
    for (const py::handle item : resolved["allow"]) spec.allow.push_back(allow_of(py::cast<py::dict>(item)));
    for (const py::handle item : resolved["probes"]) {
        const auto probe = py::cast<py::dict>(item);
        spec.probes.push_back(
            {py::cast<std::string>(probe["text"]), py::cast<std::uint16_t>(probe["family"])});
    }
    for (const py::handle item : resolved["constraint_table"]) {
        const auto pair = py::cast<std::pair<std::string, std::string>>(item);
        spec.constraints.push_back({pair.first, pair.second});
    }
    return spec;
}

log::Policy log_names(const py::dict& resolved, const policy::Spec& spec) {
    log::Policy names;
    const auto hash = py::cast<std::string>(resolved["hash"]);
    if (hash.size() != 64) throw base::Error("the policy hash must be 64 hex digits");
    for (std::size_t i = 0; i < names.hash.size(); ++i) {
        names.hash[i] = static_cast<std::uint8_t>(std::stoul(hash.substr(2 * i, 2), nullptr, 16));
    }
    names.mode = py::cast<std::string>(resolved["mode"]);
    names.atlas_release = py::cast<std::string>(resolved["atlas_release"]);
    for (const py::handle item : resolved["files"]) {
        const auto pair = py::cast<std::pair<std::string, std::string>>(item);
        names.files.push_back({pair.first, pair.second});
    }
    for (const rule::RuleInfo& info : spec.program->rules())
        names.rules.push_back({info.id, info.techniques});
    for (const rule::Phase phase : {rule::Phase::request, rule::Phase::response}) {
        for (const rule::SignalRef& ref : spec.program->signals(phase)) {
            names.signals.emplace_back(signal::info(ref.signal).name);
        }
    }
    for (const policy::Constraint& constraint : spec.constraints)
        names.constraints.push_back({constraint.name, constraint.json});
    return names;
}

}  // namespace

void bind_policy(py::module_& m) {
    py::class_<CompiledPolicy>(m, "CompiledPolicy", "A policy compiled for the engine.")
        .def(py::init([](const py::dict& resolved, std::shared_ptr<rule::Program> program) {
                 CompiledPolicy compiled;
                 compiled.policy = policy::Policy::make(spec_of(resolved, std::move(program)));
                 compiled.names = log_names(resolved, compiled.policy->spec());
                 return compiled;
             }),
             py::arg("resolved"), py::arg("program"))
        .def_property_readonly("id", [](const CompiledPolicy& self) { return self.policy->id(); })
        .def_property_readonly("horizons", [](const CompiledPolicy& self) { return self.policy->horizons(); })
        .def(
            "watch",
            [](const CompiledPolicy& self) {
                const std::weak_ptr<const policy::Policy> policy = self.policy;
                return py::cpp_function([policy] { return !policy.expired(); });
            },
            "A function that tells whether something still decides, or was decided, by the policy.");
}

}  // namespace atlascore::bindings
