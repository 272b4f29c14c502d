// The extension module: a table of contents.
#include "bindings.hpp"

// Of the main interpreter alone: pybind11 before Python 3.12, and NumPy in all versions, know no other.
PYBIND11_MODULE(_core_of_main, m, pybind11::mod_gil_not_used(),
                pybind11::multiple_interpreters::not_supported()) {
    m.doc() = "The C++ core of AtlasCore. Use the package atlascore; this module has no stable interface.";
    using namespace atlascore::bindings;
    bind_errors(m);
    bind_similarity(m);
    bind_templates(m);
    bind_rule(m);
    bind_policy(m);
    bind_log(m);
    bind_engine(m);
    bind_fast(m);
    bind_scan(m);
    bind_testing_scan(m);
}

// What Python calls first. It must look before pybind11 does anything: before Python 3.12 pybind11 takes the
// main interpreter's lock in every interpreter and never gets it.
PYBIND11_PLUGIN_IMPL(_core) {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return PyInit__core_of_main();
    PyErr_SetString(
        PyExc_ImportError,
        "atlascore cannot be imported in a subinterpreter; use the main interpreter, or a process of "
        "its own");
    return nullptr;
}
