// atlascore.windows.WindowTable: the lock-free counters by themselves.
#include <Python.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "atlascore/base/error.hpp"
#include "atlascore/track/window_table.hpp"
#include "fast.hpp"

namespace atlascore::bindings {
namespace {

struct WindowTableObject {
    PyObject_HEAD track::WindowTable* table;
};

WindowTableObject* self_of(PyObject* object) {
    return reinterpret_cast<WindowTableObject*>(object);
}

// What is too large for a C type is a wrong value like others.
bool value_error(const char* what, PyObject* object) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_Format(PyExc_ValueError, "%s, not %R", what, object);
    return false;
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"capacity", "horizons", "state", nullptr};
    long long capacity = 0;
    PyObject* horizons = nullptr;
    const char* state = "";
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "LO|s", const_cast<char**>(names), &capacity, &horizons,
                                     &state)) {
        value_error("capacity must be 1 to 2^30",
                    PyTuple_GET_SIZE(args) != 0 ? PyTuple_GET_ITEM(args, 0) : Py_None);
        return nullptr;
    }
    Ref list(PySequence_Fast(horizons, "horizons must be a sequence of seconds"));
    if (!list) return nullptr;
    std::vector<double> seconds;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); ++i) {
        seconds.push_back(PyFloat_AsDouble(PySequence_Fast_GET_ITEM(list.get(), i)));
        if (PyErr_Occurred()) {
            value_error("a horizon is a number of seconds", PySequence_Fast_GET_ITEM(list.get(), i));
            return nullptr;
        }
    }
    if (capacity < 1)
        return PyErr_Format(PyExc_ValueError, "capacity must be at least 1, not %lld", capacity);
    std::unique_ptr<track::WindowTable> table;
    try {
        table = std::make_unique<track::WindowTable>(static_cast<std::uint64_t>(capacity), seconds, state);
    } catch (const base::SystemError& error) {
        Ref arguments(Py_BuildValue("is", error.code, error.what()));
        if (arguments) PyErr_SetObject(PyExc_OSError, arguments.get());
        return nullptr;
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
    PyObject* object = type->tp_alloc(type, 0);
    if (object != nullptr) self_of(object)->table = table.release();
    return object;
}

void deallocate(PyObject* object) {
    delete self_of(object)->table;
    PyTypeObject* type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

// A key is a str, bytes or an int of 64 bits.
bool tag_of(const track::WindowTable& table, PyObject* key, std::uint64_t& tag) {
    if (PyUnicode_Check(key)) {
        Ref owner;
        std::string_view text;
        if (!utf8_of(key, owner, text)) return false;
        tag = table.tag(text);
        return true;
    }
    if (PyBytes_Check(key)) {
        tag = table.tag(
            std::string_view(PyBytes_AS_STRING(key), static_cast<std::size_t>(PyBytes_GET_SIZE(key))));
        return true;
    }
    if (PyIndex_Check(key)) {
        const Ref number(PyNumber_Index(key));
        if (!number) return false;
        tag = table.tag(static_cast<std::uint64_t>(PyLong_AsUnsignedLongLongMask(number.get())));
        return !PyErr_Occurred();
    }
    PyErr_Format(PyExc_TypeError, "a key must be str, bytes or int, not %.200s", Py_TYPE(key)->tp_name);
    return false;
}

bool arguments(PyObject* object, PyObject* const* args, Py_ssize_t given, std::uint64_t& tag, double& now) {
    if (given < 2) {
        PyErr_SetString(PyExc_TypeError, "needs a key and now, in seconds since 1970");
        return false;
    }
    if (!tag_of(*self_of(object)->table, args[0], tag)) return false;
    constexpr const char* what = "now must be seconds since 1970, 0 to 4294967295";
    now = PyFloat_AsDouble(args[1]);
    if (now == -1.0 && PyErr_Occurred()) return value_error(what, args[1]);
    if (now >= 0 && now <= track::latest_time) return true;
    PyErr_Format(PyExc_ValueError, "%s, not %R", what, args[1]);
    return false;
}

PyObject* counts_tuple(const double* counts, std::size_t size) {
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(size));
    for (std::size_t i = 0; tuple != nullptr && i < size; ++i) {
        PyObject* count = PyFloat_FromDouble(counts[i]);
        if (count == nullptr) {
            Py_DECREF(tuple);
            return nullptr;
        }
        PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), count);
    }
    return tuple;
}

PyObject* hit(PyObject* object, PyObject* const* args, Py_ssize_t given) {
    std::uint64_t tag = 0;
    double now = 0, counts[track::horizon_limit];
    if (!arguments(object, args, given, tag, now)) return nullptr;
    if (given > 3) return PyErr_Format(PyExc_TypeError, "hit(key, now, n=1) takes no further arguments");
    long long n = 1;
    int overflow = 0;
    if (given > 2) n = PyLong_AsLongLongAndOverflow(args[2], &overflow);
    if (n == -1 && PyErr_Occurred()) return nullptr;
    if (overflow != 0 || n < 1 || n > (1 << 28) - 1) {
        return PyErr_Format(PyExc_ValueError, "n must be 1 to 2^28 - 1, not %R", args[2]);
    }
    track::WindowTable& table = *self_of(object)->table;
    table.hit(tag, now, static_cast<std::uint64_t>(n), counts);
    return counts_tuple(counts, table.horizons());
}

PyObject* read(PyObject* object, PyObject* const* args, Py_ssize_t given) {
    std::uint64_t tag = 0;
    double now = 0, counts[track::horizon_limit];
    if (!arguments(object, args, given, tag, now)) return nullptr;
    const track::WindowTable& table = *self_of(object)->table;
    table.read(tag, now, counts);
    return counts_tuple(counts, table.horizons());
}

PyObject* stats(PyObject* object, PyObject*) {
    track::WindowTable& table = *self_of(object)->table;
    const auto census = table.keys().census();
    const auto counters = table.region().counters();
    const auto count = [&](base::Counter c) {
        return static_cast<unsigned long long>(counters[static_cast<std::size_t>(c)]);
    };
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K}", "keys", static_cast<unsigned long long>(census.live),
                         "slots", static_cast<unsigned long long>(table.keys().slots()), "evictions",
                         count(base::Counter::evictions_cold), "late", count(base::Counter::late), "overflow",
                         count(base::Counter::overflow), "bytes",
                         static_cast<unsigned long long>(table.bytes()));
}

Py_ssize_t length(PyObject* object) {
    return static_cast<Py_ssize_t>(self_of(object)->table->keys().census().live);
}

PyMethodDef methods[] = {
    {"hit", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(hit)), METH_FASTCALL,
     "hit(key, now, n=1) -> tuple[float, ...]\n\nCount n events of the key and read every window, this call "
     "included."},
    {"read", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(read)), METH_FASTCALL,
     "read(key, now) -> tuple[float, ...]\n\nRead every window without counting; zeros for an unknown key."},
    {"stats", stats, METH_NOARGS, "Keys, slots, evictions, late events, overflows and bytes reserved."},
    {nullptr, nullptr, 0, nullptr}};

constexpr const char* doc =
    "WindowTable(capacity, horizons, state=\"\")\n\n"
    "Sliding-window counters for up to `capacity` keys (str, bytes or int) over 1 to 8 `horizons` in "
    "seconds.\n"
    "Lock-free; memory is reserved at once and never grows: more keys evict the least recently used.\n"
    "`state`: \"\" anonymous, \"shm:NAME\" shared between processes, or a file path.\n"
    "Counts are interpolated: exact until the oldest of 20 buckets holds events, within 2 % on average from "
    "100 on.";

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                       {Py_tp_methods, methods},
                       {Py_sq_length, reinterpret_cast<void*>(length)},
                       {Py_tp_doc, const_cast<char*>(doc)},
                       {0, nullptr}};

PyType_Spec spec = {"atlascore.windows.WindowTable", sizeof(WindowTableObject), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

PyObject* make_window_table_type(PyObject* module) {
    return PyType_FromModuleAndSpec(module, &spec, nullptr);
}

}  // namespace atlascore::bindings
