// Scanner: logs replayed through an engine, one Python object per event asked for. And the numbers of a
// request's body, without a Python object for each.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <mutex>

#include "atlascore/scan/json_tensor.hpp"
#include "atlascore/scan/scanner.hpp"
#include "bind_engine.hpp"
#include "bindings.hpp"
#include "fast.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

py::object text(std::string_view bytes) {
    return py::reinterpret_steal<py::object>(
        PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

class PyScanner {
  public:
    PyScanner(py::object core_engine, py::object owner, const std::vector<std::string>& files)
        : owner_(std::move(owner)),
          core_engine_(std::move(core_engine)),
          scanner_(*py::cast<EngineHolder&>(core_engine_).engine, files,
                   [this](const std::string& file, std::uint64_t line, std::string_view why) {
                       if (bad_.size() < bad_limit) bad_.emplace_back(file, line, std::string(why));
                   }) {}

    // The next event or finding as (file, line, time, principal, model, method, endpoint, session, decision,
    // answer); None at the end, False now and then in between. The lock is given up while lines pass that are
    // no finding.
    py::object next(bool findings_only) {
        const std::unique_lock alone(busy_, std::try_to_lock);
        if (!alone) throw py::value_error("another thread is reading from this scan");
        const scan::Scanner::Result* result;
        if (findings_only) {
            py::gil_scoped_release release;
            result = scanner_.next_finding(patience);
        } else {
            result = scanner_.next();
        }
        if (result == nullptr)
            return scanner_.ended() ? py::object(py::none()) : py::object(py::bool_(false));
        const scan::ScanEvent& event = *result->event;
        const py::object principal = event.principal.empty() ? py::object(py::none()) : text(event.principal);
        const py::object decision = decision_of(*result, result->decision, principal);
        const py::object answer =
            result->has_answer ? decision_of(*result, result->answer, principal) : py::object(py::none());
        return py::make_tuple(text(*result->file), event.line, event.time, principal, text(event.model),
                              text(event.method), text(event.endpoint), text(event.session), decision,
                              answer);
    }

    // Bad lines since the last call: (file, line, reason).
    std::vector<std::tuple<std::string, std::uint64_t, std::string>> take_bad() {
        return std::exchange(bad_, {});
    }

    py::dict counts() const {
        const auto counts = scanner_.counts();
        return py::dict(py::arg("lines") = counts.lines, py::arg("events") = counts.events,
                        py::arg("bad") = counts.bad, py::arg("late") = counts.late);
    }

    py::list unreadable() const {
        py::list files;
        for (const std::string& file : scanner_.unreadable()) files.append(text(file));
        return files;
    }

  private:
    static constexpr std::uint64_t patience = 65'536;  // events between two looks at signals and bad lines
    // Reported by position; the rest is counted.
    static constexpr std::size_t bad_limit = 1'000;

    // A Python route for each of the scanner's, made when a decision on it is first handed out.
    RouteObject* route_of(const scan::Scanner::Result& result) {
        if (result.route >= routes_.size()) routes_.resize(result.route + 1);
        py::object& route = routes_[result.route];
        if (!route) {
            const scan::ScanEvent& event = *result.event;
            route = py::module_::import("atlascore._core")
                        .attr("new_route")(core_engine_, owner_, text(event.model), text(event.method),
                                           text(event.endpoint), py::none());
        }
        return reinterpret_cast<RouteObject*>(route.ptr());
    }

    py::object decision_of(const scan::Scanner::Result& result, const engine::Decision& decision,
                           const py::object& principal) {
        DecisionObject* object = new_decision(route_of(result));
        if (object == nullptr) throw py::error_already_set();
        object->binding = result.binding;
        object->decision = decision;
        if (!principal.is_none()) object->principal = Py_NewRef(principal.ptr());
        return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(object));
    }

    std::mutex busy_;
    py::object owner_;
    py::object core_engine_;
    std::vector<std::tuple<std::string, std::uint64_t, std::string>> bad_;
    scan::Scanner scanner_;
    std::vector<py::object> routes_;
};

py::object json_numbers(std::string_view json) {
    thread_local scan::JsonTensorReader reader;
    const scan::Tensor<float>* numbers = reader.read(json);
    if (numbers == nullptr) return py::none();
    const auto shape = numbers->shape.begin();
    return py::array_t<float>(std::vector<py::ssize_t>(shape, shape + numbers->rank), numbers->values.data());
}

}  // namespace

void bind_scan(py::module_& m) {
    py::class_<PyScanner>(m, "Scanner", "Logs replayed through an engine; see atlascore.scan.")
        .def(py::init<py::object, py::object, const std::vector<std::string>&>(), py::arg("engine"),
             py::arg("owner"), py::arg("files"))
        .def("next", &PyScanner::next, py::arg("findings_only"))
        .def("take_bad", &PyScanner::take_bad)
        .def("counts", &PyScanner::counts)
        .def("unreadable", &PyScanner::unreadable);
    m.def("json_numbers", &json_numbers, py::arg("json"),
          "A JSON array of numbers, or of such arrays of one length, as float32; None for anything else.");
}

}  // namespace atlascore::bindings
