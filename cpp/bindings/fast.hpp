// The hot entries as plain CPython types: Route and Decision. A pybind11 call with keywords and an object
// result costs 300 to 1,000 ns, the same call through METH_FASTCALL 50 to 100 ns.
#pragma once

#include <Python.h>

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "atlascore/engine/engine.hpp"

namespace atlascore::bindings {

// Owns one reference.
class Ref {
  public:
    explicit Ref(PyObject* object = nullptr) noexcept : object_(object) {}
    Ref(Ref&& other) noexcept : object_(other.release()) {}
    Ref& operator=(Ref&& other) noexcept {
        Py_XDECREF(object_);
        object_ = other.release();
        return *this;
    }
    ~Ref() { Py_XDECREF(object_); }
    PyObject* get() const noexcept { return object_; }
    PyObject* release() noexcept {
        PyObject* object = object_;
        object_ = nullptr;
        return object;
    }
    explicit operator bool() const noexcept { return object_ != nullptr; }

  private:
    PyObject* object_;
};

// What all fast types of one interpreter share; it lives in the module's dictionary as a capsule.
struct FastState {
    PyTypeObject* decision_type = nullptr;
    PyTypeObject* route_type = nullptr;
    PyObject* actions[4] = {};  // the members of atlascore.Action
    PyObject* no_constraints = nullptr;
    PyObject* to_float32 = nullptr;  // callable: anything -> C-contiguous float32 array
    PyObject* names[8] = {};         // interned keyword names
};

struct DecisionObject;

struct RouteObject {
    PyObject_HEAD FastState* state;
    PyObject* owner;  // the Python Engine, kept alive; answers for what is slow
    PyObject* core;   // the core's Engine, which `route` and `closed` belong to
    PyObject* clock;  // callable or null
    engine::Route* route;
    const std::atomic<bool>* closed;
    DecisionObject* spare[16];  // free decisions, for reuse
    int spares;
};

struct DecisionObject {
    PyObject_HEAD RouteObject* route;
    PyObject* principal;  // as given; for explain
    PyObject* fields;     // as given, or null
    std::shared_ptr<const engine::Binding> binding;
    engine::Decision decision;
    FastState* state;
};

// The UTF-8 of a str. UTF-8 cannot hold lone surrogates: each is U+FFFD, and two that make a pair are the
// code point that they mean, as in a JSON text. `owner` then keeps the bytes. False: an exception is set.
bool utf8_of(PyObject* text, Ref& owner, std::string_view& out);

DecisionObject* new_decision(RouteObject* route) noexcept;
PyObject* make_decision_type(PyObject* module);
PyObject* make_route_type(PyObject* module);
PyObject* make_window_table_type(PyObject* module);

}  // namespace atlascore::bindings
