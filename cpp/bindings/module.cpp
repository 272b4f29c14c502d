// The extension module: a table of contents.
#include "bindings.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used(),
                pybind11::multiple_interpreters::per_interpreter_gil()) {
    m.doc() = "The C++ core of AtlasCore. Use the package atlascore; this module has no stable interface.";
    using namespace atlascore::bindings;
    bind_errors(m);
    bind_similarity(m);
    bind_rule(m);
    bind_policy(m);
    bind_log(m);
    bind_engine(m);
    bind_fast(m);
    bind_scan(m);
    bind_testing_scan(m);
}
