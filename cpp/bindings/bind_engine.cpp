// The engine's slow side: making it, asking it, reloading it. The hot entries are in fast_route.cpp.
#include "bind_engine.hpp"

#include <pybind11/stl.h>

#include <cmath>

#include "atlascore/base/clock.hpp"
#include "bind_policy.hpp"
#include "bindings.hpp"
#include "convert.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

constexpr const char* counter_names[] = {"decisions_allow",   "decisions_log",     "decisions_constrain",
                                         "decisions_block",   "simulated",         "queries",
                                         "records",           "records_dropped",   "late",
                                         "overflow",          "tracks_created",    "evictions_cold",
                                         "evictions_hot",     "evictions_suspect", "evictions_standing",
                                         "hot_assigned",      "hot_recycled",      "claims_recovered",
                                         "limit_refusals",    "guard_errors",      "evidence_dropped",
                                         "clusters_linked",   "demotions_hot",     "demotions_suspect",
                                         "demotions_standing"};
static_assert(std::size(counter_names) == base::counter_count);

py::dict stats_of(EngineHolder& self) {
    engine::Engine& engine = *self.engine;
    py::dict out;
    const auto counters = engine.region().counters();
    for (std::size_t i = 0; i < counters.size(); ++i) out[counter_names[i]] = counters[i];
    const auto census = engine.tracks().keys().census();
    const auto hot = engine.tracks().hot_census();
    out["tracks"] = census.live;
    out["track_capacity"] = engine.tracks().keys().slots();
    out["tracks_suspect"] = census.by_class[2];
    out["tracks_standing"] = census.by_class[3];
    out["hot_tracks"] = hot.used;
    out["hot_capacity"] = engine.tracks().hot_slabs();
    out["hot_on_probation"] = hot.probation;
    out["region_bytes"] = engine.region().bytes();
    out["region_fresh"] = engine.region().fresh();
    out["region_refused"] = engine.region().refused();
    if (engine.log() != nullptr) {
        const auto log = engine.log()->statistics();
        out["log_entries"] = log.entries;
        out["log_lost"] = log.lost;
        out["log_waiting"] = log.waiting;
        out["log_error"] = log.error;
    }
    return out;
}

// The same bytes for a name as decide() takes, whatever is in it.
std::string name_of(py::handle object, const char* what) {
    Conversion conversion;
    std::string_view name;
    if (!conversion.text(object.ptr(), what, name)) throw py::error_already_set();
    return std::string(name);
}

py::object signals_of(EngineHolder& self, py::handle principal, py::handle model, double now) {
    const auto values = self.engine->signals(name_of(principal, "principal"), name_of(model, "model"), now);
    if (!values) return py::none();
    py::dict out;
    for (const signal::SignalInfo& info : signal::catalogue()) {
        const double value = (*values)[static_cast<std::size_t>(info.id)];
        if (!std::isnan(value)) out[py::str(std::string(info.name))] = value;
    }
    return out;
}

// (made, hits, made in the beginning, hits in the beginning) of each component.
py::list census_of(EngineHolder& self, py::handle principal, py::handle model) {
    py::list out;
    for (const evidence::Census::Count& count :
         self.engine->census(name_of(principal, "principal"), name_of(model, "model")))
        out.append(py::make_tuple(count.made, count.hits, count.first_made, count.first_hits));
    return out;
}

EngineHolder make(const CompiledPolicy& policy, std::uint64_t capacity, std::uint32_t hot,
                  std::uint32_t models, std::string state, std::optional<std::uint64_t> seed,
                  std::string log_directory, std::string salt_file, std::string version) {
    engine::Config config;
    config.capacity = capacity;
    config.hot = hot;
    config.models = models;
    config.state = std::move(state);
    config.seed = seed;
    config.log_directory = std::move(log_directory);
    config.salt_file = std::move(salt_file);
    config.version = std::move(version);
    return {std::make_unique<engine::Engine>(policy.policy, policy.names, config)};
}

}  // namespace

void bind_engine(py::module_& m) {
    py::class_<EngineHolder>(m, "Engine", "The C++ engine; see atlascore.Engine.")
        .def(py::init(&make), py::arg("policy"), py::arg("capacity"), py::arg("hot"), py::arg("models"),
             py::arg("state"), py::arg("seed"), py::arg("log_directory"), py::arg("salt_file"),
             py::arg("version"))
        .def("stats", &stats_of)
        .def("signals", &signals_of, py::arg("principal"), py::arg("model"), py::arg("now"))
        .def("take_census", [](EngineHolder& self) { self.engine->take_census(); })
        .def("census", &census_of, py::arg("principal"), py::arg("model"))
        .def("commitment", [](EngineHolder& self,
                              py::handle name) { return self.engine->commitment(name_of(name, "a name")); })
        .def("reload", [](EngineHolder& self,
                          const CompiledPolicy& policy) { self.engine->reload(policy.policy, policy.names); })
        .def_property_readonly("horizons", [](EngineHolder& self) { return self.engine->horizons(); })
        .def_property_readonly("instance",
                               [](EngineHolder& self) { return self.engine->region().instance(); })
        .def(
            "flush",
            [](EngineHolder& self) { return self.engine->log() == nullptr || self.engine->log()->flush(); },
            py::call_guard<py::gil_scoped_release>())
        .def(
            "close",
            [](EngineHolder& self) {
                self.closed->store(true, std::memory_order_relaxed);
                return self.engine->close();
            },
            py::call_guard<py::gil_scoped_release>());
    m.def("wall_seconds", &base::wall_seconds, "Seconds since 1970 by the system's clock.");
    m.def("unlink_state", &base::Region::unlink, py::arg("name"),
          "Remove a named state; processes that have it keep it. False if there was none.");
}

}  // namespace atlascore::bindings
