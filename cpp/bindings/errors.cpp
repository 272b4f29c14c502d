// C++ errors become Python's own: base::Error is a ValueError, base::SystemError an OSError with its errno.
#include "atlascore/base/error.hpp"

#include "bindings.hpp"

namespace py = pybind11;

namespace atlascore::bindings {

void bind_errors(py::module_&) {
    py::register_local_exception_translator([](std::exception_ptr pending) {
        try {
            if (pending) std::rethrow_exception(pending);
        } catch (const base::Error& error) {
            PyErr_SetString(PyExc_ValueError, error.what());
        } catch (const base::SystemError& error) {
            py::object arguments = py::make_tuple(error.code, error.what());
            PyErr_SetObject(PyExc_OSError, arguments.ptr());
        }
    });
}

}  // namespace atlascore::bindings
