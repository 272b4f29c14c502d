// What each bind_*.cpp adds to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace atlascore::bindings {

void bind_engine(pybind11::module_& m);
void bind_errors(pybind11::module_& m);
void bind_fast(pybind11::module_& m);  // Route, Decision and WindowTable: plain CPython types
void bind_log(pybind11::module_& m);
void bind_policy(pybind11::module_& m);
void bind_rule(pybind11::module_& m);
void bind_scan(pybind11::module_& m);
void bind_similarity(pybind11::module_& m);
void bind_templates(pybind11::module_& m);
void bind_testing_scan(pybind11::module_& m);

}  // namespace atlascore::bindings
