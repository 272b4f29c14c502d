// The reader of JSON lines, for tests: a whole file as Python objects. The scanner joins reader and engine in
// C++.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "atlascore/scan/json_lines.hpp"
#include "atlascore/scan/timestamp.hpp"
#include "bindings.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

using event::Value;
using event::ValueKind;

py::str text_of(std::string_view text) {
    return {text.data(), text.size()};
}

// A missing value is Ellipsis, so that it differs from null.
py::object object_of(const Value& value) {
    switch (value.kind) {
        case ValueKind::missing:
            return py::ellipsis();
        case ValueKind::null:
            return py::none();
        case ValueKind::boolean:
            return py::bool_(value.boolean);
        case ValueKind::int64:
            return py::int_(value.int64);
        case ValueKind::uint64:
            return py::int_(value.uint64);
        case ValueKind::real:
            return py::float_(value.real);
        case ValueKind::text:
            return text_of(value.as_text());
        case ValueKind::array: {
            py::list items;
            for (std::uint32_t i = 0; i < value.size; ++i) {
                items.append(object_of(value.items[i]));
            }
            return items;
        }
    }
    return py::none();
}

template <class Number>
py::object tensor_of(const scan::Tensor<Number>& tensor) {
    if (tensor.rank == 0) {
        return py::none();
    }
    const std::vector<std::size_t> shape(tensor.shape.begin(), tensor.shape.begin() + tensor.rank);
    return py::make_tuple(shape, tensor.values);
}

py::list cells_of(const scan::ScanEvent& event) {
    py::list cells;
    for (const scan::Cell& cell : event.row) {
        cells.append(py::make_tuple(cell.row, text_of(cell.name), object_of(cell.value)));
    }
    return cells;
}

py::object response_of(const scan::Response& response) {
    if (!response.present) {
        return py::none();
    }
    py::dict out;
    out["label"] = object_of(response.label);
    out["scores"] = tensor_of(response.scores);
    out["text"] = response.has_text ? py::object(text_of(response.text)) : py::none();
    out["cost"] = response.cost;
    out["status"] = response.status;
    return out;
}

py::dict event_of(const scan::ScanEvent& event) {
    py::dict out;
    out["line"] = event.line;
    out["time"] = event.time;
    out["late"] = event.late;
    out["principal"] = text_of(event.principal);
    out["model"] = text_of(event.model);
    out["method"] = text_of(event.method);
    out["endpoint"] = text_of(event.endpoint);
    out["session"] = text_of(event.session);
    out["request_id"] = text_of(event.request_id);
    out["text"] = event.has_text ? py::object(text_of(event.text)) : py::none();
    out["digest"] = event.has_digest ? py::object(text_of(event.digest)) : py::none();
    out["vector"] = tensor_of(event.vector);
    out["image"] = tensor_of(event.image);
    out["row"] = cells_of(event);
    out["rows"] = event.rows;
    out["cost"] = event.cost;
    out["response"] = response_of(event.response);
    py::list fields;
    for (const Value& value : event.fields) {
        fields.append(object_of(value));
    }
    out["fields"] = fields;
    return out;
}

// (events, {line: reason}) of a file.
py::tuple read_json_lines(const std::string& path, const std::vector<std::string>& fields, double lateness,
                          std::size_t lines) {
    py::list events;
    py::dict bad;
    const auto note = [&bad](std::uint64_t line, std::string_view reason) {
        bad[py::int_(line)] = text_of(reason);
    };
    scan::OrderLimits limits;
    limits.lateness = lateness;
    limits.lines = lines;
    scan::JsonLinesReader reader(path, fields, note, limits);
    while (const scan::ScanEvent* event = reader.next()) {
        events.append(event_of(*event));
    }
    return py::make_tuple(events, bad);
}

}  // namespace

void bind_testing_scan(py::module_& m) {
    py::module_ testing = m.def_submodule("testing_scan", "The log readers' parts, for tests.");
    testing.def("read_json_lines", &read_json_lines, py::arg("path"), py::arg("fields"),
                py::arg("lateness") = 60.0, py::arg("lines") = 1'000'000);
    testing.def("parse_timestamp", &scan::parse_timestamp, py::arg("text"));
}

}  // namespace atlascore::bindings
