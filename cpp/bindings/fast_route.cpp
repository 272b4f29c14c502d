// Route: decide() and record(), the two hot entries.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "atlascore/base/clock.hpp"
#include "bind_engine.hpp"
#include "bindings.hpp"
#include "convert.hpp"
#include "fast.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

enum Name { name_principal, name_x, name_now, name_session, name_fields, name_cost, name_count };
constexpr const char* decide_names[name_count] = {"principal", "x", "now", "session", "fields", "cost"};
constexpr const char* guard_error_names[] = {"principal", "stage",  "kind", "closed",
                                             "session",   "fields", "now"};
constexpr const char* record_names[] = {"decision", "label", "scores", "text", "cost", "status", "now"};

RouteObject* self_of(PyObject* object) {
    return reinterpret_cast<RouteObject*>(object);
}

// Spreads positional and keyword arguments over `slots`, null where not given. False: TypeError is set.
bool spread(const char* function, const char* const* names, std::size_t count, std::size_t positional,
            PyObject* const* args, Py_ssize_t given, PyObject* keywords, PyObject** slots) {
    if (given > static_cast<Py_ssize_t>(positional)) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zu positional arguments (%zd given)", function,
                     positional, given);
        return false;
    }
    for (Py_ssize_t i = 0; i < given; ++i) slots[i] = args[i];
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < named; ++k) {
        PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
        std::size_t i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(keyword, names[i]) != 0) ++i;
        if (i == count) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, keyword);
            return false;
        }
        if (slots[i] != nullptr) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, keyword);
            return false;
        }
        slots[i] = args[given + k];
    }
    return true;
}

// C++ exceptions end here: what the interpreter calls must not throw.
template <class Body>
PyObject* without_throwing(Body&& body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    } catch (const std::exception& error) {
        return PyErr_Format(PyExc_RuntimeError, "%s", error.what());
    }
}

bool number(PyObject* object, const char* what, double& out) {
    if (PyBool_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a number, not bool", what);
        return false;
    }
    out = PyFloat_AsDouble(object);
    if (out != -1.0 || !PyErr_Occurred()) return true;
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s must be a number, not %.200s", what, Py_TYPE(object)->tp_name);
    } else if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Format(PyExc_ValueError, "%s is too large: %R", what, object);
    }
    return false;
}

bool time_of(RouteObject* self, PyObject* now, double& out) {
    if (now != nullptr && now != Py_None) return number(now, "now", out);
    if (self->clock == nullptr) {
        out = base::wall_seconds();
        return true;
    }
    Ref told(PyObject_CallNoArgs(self->clock));
    return told && number(told.get(), "clock()", out);
}

PyObject* raise_fault(engine::Fault fault, double now, double cost) {
    switch (fault) {
        case engine::Fault::time: {
            Ref value(PyFloat_FromDouble(now));
            return PyErr_Format(PyExc_ValueError, "now must be seconds since 1970, 0 to 4294967295, not %R",
                                value.get());
        }
        case engine::Fault::cost: {
            Ref value(PyFloat_FromDouble(cost));
            return PyErr_Format(PyExc_ValueError, "cost must be at least 0 and finite, not %R", value.get());
        }
        case engine::Fault::values:
            return PyErr_Format(PyExc_ValueError, "the input has values that are NaN or infinite");
        case engine::Fault::width:
            return PyErr_Format(PyExc_ValueError, "the input has too many columns");
        case engine::Fault::keys:
            return PyErr_Format(PyExc_ValueError,
                                "the field cluster_keys must be a text or a list of at most %zu texts",
                                engine::key_limit);
        case engine::Fault::none:
            break;
    }
    Py_UNREACHABLE();
}

// Room for the event fields that rules read; reused, because most rule sets read a handful.
std::vector<event::Value>& field_slots(std::size_t count) {
    thread_local std::vector<event::Value> slots;
    slots.assign(count, event::Value{});
    return slots;
}

bool is_open(RouteObject* self) {
    if (!self->closed->load(std::memory_order_relaxed)) [[likely]]
        return true;
    PyErr_SetString(PyExc_RuntimeError, "the engine is closed");
    return false;
}

bool request_id_of(Conversion& conversion, PyObject* fields, std::string_view& out) {
    PyObject* id = PyDict_GetItemString(fields, "request_id");
    return id == nullptr || !PyUnicode_Check(id) || conversion.text(id, "request_id", out);
}

PyObject* decide_with(RouteObject* self, PyObject** slots, Meaning meaning) {
    if (slots[name_principal] == nullptr) {
        return PyErr_Format(PyExc_TypeError, "decide() needs a principal");
    }
    Conversion conversion;
    engine::Query query;
    if (!conversion.text(slots[name_principal], "principal", query.principal)) return nullptr;
    engine::Engine& engine = self->route->engine();
    std::shared_ptr<const engine::Binding> bound;
    try {
        bound = self->route->current();
    } catch (const std::exception& error) {
        return PyErr_Format(PyExc_RuntimeError, "%s", error.what());
    }
    query.principal_tag = engine.expect(*bound, query.principal);
    if (!time_of(self, slots[name_now], query.now)) return nullptr;
    if (slots[name_session] != nullptr && !conversion.text(slots[name_session], "session", query.session))
        return nullptr;
    if (slots[name_cost] != nullptr && !number(slots[name_cost], "cost", query.cost)) return nullptr;
    DecisionObject* decision = new_decision(self);
    if (decision == nullptr) return nullptr;
    Ref owned(reinterpret_cast<PyObject*>(decision));
    decision->binding = std::move(bound);
    const engine::Binding& binding = *decision->binding;
    if (slots[name_x] != nullptr && !conversion.input(slots[name_x], meaning, binding.route.model,
                                                      self->state->to_float32, query.input)) {
        return nullptr;
    }
    const rule::Program& program = *binding.route.program;
    std::vector<event::Value>& values = field_slots(program.fields().size());
    query.fields = values.data();
    if (slots[name_fields] != nullptr && slots[name_fields] != Py_None) {
        decision->fields = dict_of(slots[name_fields], "fields").release();
        if (decision->fields == nullptr) return nullptr;
        if (!conversion.fields(decision->fields, program, values.data())) return nullptr;
        if (!request_id_of(conversion, decision->fields, query.request_id)) return nullptr;
    }
    decision->principal = Py_NewRef(slots[name_principal]);
    engine::Fault fault;
    // A batch is long enough for giving the lock up to pay; but fields borrow from a dict that others may
    // change.
    if (query.input.rows > 1 && decision->fields == nullptr) {
        PyThreadState* state = PyEval_SaveThread();
        fault = engine.decide(binding, query, decision->decision);
        PyEval_RestoreThread(state);
    } else {
        fault = engine.decide(binding, query, decision->decision);
    }
    if (fault != engine::Fault::none) return raise_fault(fault, query.now, query.cost);
    return owned.release();
}

PyObject* decide(PyObject* object, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    PyObject* slots[name_count] = {};
    if (!is_open(self_of(object))) return nullptr;
    if (!spread("decide", decide_names, name_count, 3, args, given, keywords, slots)) return nullptr;
    return without_throwing([&] { return decide_with(self_of(object), slots, Meaning::automatic); });
}

// decide_as(kind, principal, x, now, session, fields, cost): what Engine.decide calls, the kind of input
// being known.
PyObject* decide_as(PyObject* object, PyObject* const* args, Py_ssize_t given) {
    if (!is_open(self_of(object))) return nullptr;
    if (given != 7) return PyErr_Format(PyExc_TypeError, "decide_as() takes 7 arguments");
    const long kind = PyLong_AsLong(args[0]);
    if (kind == -1 && PyErr_Occurred()) return nullptr;
    PyObject* slots[name_count];
    for (int i = 0; i < name_count; ++i) slots[i] = args[i + 1];
    return without_throwing([&] { return decide_with(self_of(object), slots, static_cast<Meaning>(kind)); });
}

// The place of a name in a list; -1 with ValueError set when it is not there.
template <std::size_t N>
int place_of(PyObject* object, const char* what, const std::array<std::string_view, N>& names) {
    Conversion conversion;
    std::string_view given;
    if (!conversion.text(object, what, given)) return -1;
    const auto at = std::find(names.begin(), names.end(), given);
    if (at != names.end()) return static_cast<int>(at - names.begin());
    std::string all;
    for (const std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
    PyErr_Format(PyExc_ValueError, "%s must be one of %s, not %R", what, all.c_str(), object);
    return -1;
}

PyObject* guard_error_with(PyObject* object, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    enum { principal_, stage_, kind_, closed_, session_, fields_, now_, count_ };
    RouteObject* self = self_of(object);
    PyObject* slots[count_] = {};
    if (!spread("guard_error", guard_error_names, count_, 3, args, given, keywords, slots)) return nullptr;
    if (slots[principal_] == nullptr || slots[stage_] == nullptr) {
        return PyErr_Format(PyExc_TypeError, "guard_error() needs a principal and a stage");
    }
    Conversion conversion;
    engine::Query query;
    engine::GuardError error;
    const int stage = place_of(slots[stage_], "stage", log::stage_names);
    if (stage < 0) return nullptr;
    error.stage = static_cast<log::Stage>(stage);
    if (slots[kind_] != nullptr) {
        const int kind = place_of(slots[kind_], "kind", log::failure_names);
        if (kind < 0) return nullptr;
        error.kind = static_cast<log::Failure>(kind);
    }
    if (slots[closed_] != nullptr) {
        const int closed = PyObject_IsTrue(slots[closed_]);
        if (closed < 0) return nullptr;
        error.closed = closed != 0;
    }
    if (!conversion.text(slots[principal_], "principal", query.principal)) return nullptr;
    if (slots[session_] != nullptr && !conversion.text(slots[session_], "session", query.session))
        return nullptr;
    if (!time_of(self, slots[now_], query.now)) return nullptr;
    if (!(query.now >= 0 && query.now <= track::latest_time))
        return raise_fault(engine::Fault::time, query.now, 0);
    Ref fields;
    if (slots[fields_] != nullptr && slots[fields_] != Py_None) {
        fields = dict_of(slots[fields_], "fields");
        if (!fields || !request_id_of(conversion, fields.get(), query.request_id)) return nullptr;
    }
    DecisionObject* decision = new_decision(self);
    if (decision == nullptr) return nullptr;
    Ref owned(reinterpret_cast<PyObject*>(decision));
    try {
        decision->binding = self->route->current();
    } catch (const std::exception& failure) {
        return PyErr_Format(PyExc_RuntimeError, "%s", failure.what());
    }
    decision->principal = Py_NewRef(slots[principal_]);
    decision->fields = fields.release();
    self->route->engine().fail(*decision->binding, query, error, decision->decision);
    return owned.release();
}

PyObject* record_with(PyObject* object, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    enum { decision_, label_, scores_, text_, cost_, status_, now_, count_ };
    RouteObject* self = self_of(object);
    PyObject* slots[count_] = {};
    if (!spread("record", record_names, count_, count_, args, given, keywords, slots)) return nullptr;
    if (slots[decision_] == nullptr || Py_TYPE(slots[decision_]) != self->state->decision_type) {
        return PyErr_Format(PyExc_TypeError, "record() needs the decision that decide() returned");
    }
    auto* decision = reinterpret_cast<DecisionObject*>(slots[decision_]);
    const engine::Binding& binding = *decision->binding;
    Conversion conversion;
    engine::Answer answer;
    const auto has = [&](int slot) { return slots[slot] != nullptr && slots[slot] != Py_None; };
    if (!time_of(self, slots[now_], answer.now)) return nullptr;
    if (!(answer.now >= 0 && answer.now <= track::latest_time))
        return raise_fault(engine::Fault::time, answer.now, 0);
    if (has(cost_) && (!number(slots[cost_], "cost", answer.cost))) return nullptr;
    if (has(cost_) && !(answer.cost >= 0 && answer.cost <= 1e300))
        return raise_fault(engine::Fault::cost, 0, answer.cost);
    if (has(status_)) {
        const long status = PyLong_AsLong(slots[status_]);
        if (status == -1 && PyErr_Occurred()) return nullptr;
        answer.status = static_cast<int>(status);
    }
    if (has(text_)) {
        if (!conversion.text(slots[text_], "text", answer.text)) return nullptr;
        answer.has_text = true;
    }
    event::Value label;
    static thread_local std::vector<double> scores;
    const std::uint32_t rows = decision->decision.rows;
    const bool response_rules = binding.route.program->reads(rule::Phase::response);
    if (response_rules || binding.reads_answers) {
        if (has(label_)) {
            if (!conversion.label(slots[label_], rows, label)) return nullptr;
            answer.label = &label;
        }
        if (has(scores_)) {
            if (!conversion.scores(slots[scores_], rows, scores)) return nullptr;
            answer.scores = scores;
        }
    }
    if (response_rules) {
        answer.fields = field_slots(binding.route.program->fields().size()).data();
        if (decision->fields != nullptr &&
            !conversion.fields(decision->fields, *binding.route.program, answer.fields)) {
            return nullptr;
        }
    }
    engine::Decision response;
    if (!self->route->engine().record(binding, decision->decision, answer, response)) Py_RETURN_NONE;
    DecisionObject* told = new_decision(self);
    if (told == nullptr) return nullptr;
    told->binding = decision->binding;
    told->decision = response;
    told->principal = Py_XNewRef(decision->principal);
    told->fields = Py_XNewRef(decision->fields);
    return reinterpret_cast<PyObject*>(told);
}

// Whether the status among record()'s arguments, if there is one, can be one. False: ValueError is set.
bool has_status_in_range(PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    PyObject* status = given > 5 ? args[5] : nullptr;
    for (Py_ssize_t k = 0; keywords != nullptr && k < PyTuple_GET_SIZE(keywords); ++k) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, k), "status") == 0)
            status = args[given + k];
    }
    if (status == nullptr || !PyLong_Check(status)) return true;
    int overflow = 0;
    const long value = PyLong_AsLongAndOverflow(status, &overflow);
    using Range = std::numeric_limits<int>;
    if (overflow == 0 && value >= Range::min() && value <= Range::max()) return true;
    PyErr_Format(PyExc_ValueError, "status must be an integer of 32 bits, not %R", status);
    return false;
}

PyObject* guard_error(PyObject* object, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    if (!is_open(self_of(object))) return nullptr;
    return without_throwing([&] { return guard_error_with(object, args, given, keywords); });
}

PyObject* record(PyObject* object, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
    if (!is_open(self_of(object)) || !has_status_in_range(args, given, keywords)) return nullptr;
    return without_throwing([&] { return record_with(object, args, given, keywords); });
}

// An Engine keeps routes that keep the Engine: the collector must see it. Their dict is what it clears.
int traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self_of(object)->owner);
    Py_VISIT(self_of(object)->core);
    Py_VISIT(self_of(object)->clock);
    return 0;
}

void deallocate(PyObject* object) {
    PyObject_GC_UnTrack(object);
    RouteObject* self = self_of(object);
    for (int i = 0; i < self->spares; ++i) {
        self->spare[i]->binding.~shared_ptr();
        PyObject_GC_Del(self->spare[i]);
    }
    delete self->route;
    Py_XDECREF(self->core);
    Py_XDECREF(self->clock);
    Py_XDECREF(self->owner);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

PyObject* text_of(const std::string& text) {
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}
PyObject* get_model(PyObject* o, void*) {
    return text_of(self_of(o)->route->model());
}
PyObject* get_method(PyObject* o, void*) {
    return text_of(self_of(o)->route->method());
}
PyObject* get_endpoint(PyObject* o, void*) {
    return text_of(self_of(o)->route->endpoint());
}

PyMethodDef methods[] = {
    {"decide", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(decide)),
     METH_FASTCALL | METH_KEYWORDS,
     "decide(principal, x=None, now=None, *, session=\"\", fields=None, cost=0.0) -> Decision"},
    {"decide_as", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(decide_as)), METH_FASTCALL,
     nullptr},
    {"guard_error", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(guard_error)),
     METH_FASTCALL | METH_KEYWORDS,
     "guard_error(principal, stage, kind=\"internal\", *, closed=False, session=\"\", fields=None, now=None) "
     "-> "
     "Decision\n\nWhat a query gets on which no decision could be made: BLOCK when closed, else ALLOW. "
     "Counted and "
     "logged as a guard error."},
    {"record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record)),
     METH_FASTCALL | METH_KEYWORDS,
     "record(decision, label=None, scores=None, text=None, cost=None, status=200, now=None) -> Decision | "
     "None"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getters[] = {{"model", get_model, nullptr, nullptr, nullptr},
                         {"method", get_method, nullptr, nullptr, nullptr},
                         {"endpoint", get_endpoint, nullptr, nullptr, nullptr},
                         {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_tp_doc, const_cast<char*>("One model, method and endpoint, with everything constant looked up.")},
    {0, nullptr}};

PyType_Spec spec = {"atlascore._core.Route", sizeof(RouteObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

FastState* state_of(PyObject* module) {
    Ref capsule(PyObject_GetAttrString(module, "_fast_state"));
    return capsule ? static_cast<FastState*>(PyCapsule_GetPointer(capsule.get(), "atlascore.fast")) : nullptr;
}

// new_route(engine, owner, model, method, endpoint, clock)
PyObject* new_route(PyObject* module, PyObject* const* args, Py_ssize_t given) {
    if (given != 6) return PyErr_Format(PyExc_TypeError, "new_route() takes 6 arguments");
    FastState* state = state_of(module);
    if (state == nullptr) return nullptr;
    try {
        const auto& holder = py::cast<EngineHolder&>(py::handle(args[0]));
        Conversion conversion;
        std::string_view parts[3];
        constexpr const char* names[] = {"model", "method", "endpoint"};
        for (int i = 0; i < 3; ++i) {
            if (!conversion.text(args[2 + i], names[i], parts[i])) return nullptr;
        }
        auto route = std::make_unique<engine::Route>(*holder.engine, std::string(parts[0]),
                                                     std::string(parts[1]), std::string(parts[2]));
        RouteObject* self = PyObject_GC_New(RouteObject, state->route_type);
        if (self == nullptr) return nullptr;
        self->state = state;
        self->owner = Py_NewRef(args[1]);
        self->core = Py_NewRef(args[0]);
        self->clock = args[5] == Py_None ? nullptr : Py_NewRef(args[5]);
        self->route = route.release();
        self->closed = holder.closed.get();
        self->spares = 0;
        PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
        return reinterpret_cast<PyObject*>(self);
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
    return nullptr;
}

// use_types(actions, no_constraints, to_float32): the Python objects that the fast types hand out.
PyObject* use_types(PyObject* module, PyObject* const* args, Py_ssize_t given) {
    FastState* state = state_of(module);
    if (state == nullptr) return nullptr;
    if (given != 3 || !PyTuple_Check(args[0]) || PyTuple_GET_SIZE(args[0]) != 4) {
        return PyErr_Format(PyExc_TypeError, "use_types() takes a tuple of 4 actions and 2 objects");
    }
    for (int i = 0; i < 4; ++i) state->actions[i] = Py_NewRef(PyTuple_GET_ITEM(args[0], i));
    state->no_constraints = Py_NewRef(args[1]);
    state->to_float32 = Py_NewRef(args[2]);
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"new_route", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(new_route)), METH_FASTCALL,
     nullptr},
    {"use_types", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(use_types)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

PyObject* make_route_type(PyObject* module) {
    return PyType_FromModuleAndSpec(module, &spec, nullptr);
}

void bind_fast(py::module_& m) {
    auto* state = new FastState;  // for the interpreter's life
    m.add_object("_fast_state", py::capsule(state, "atlascore.fast"));
    const auto add = [&](const char* name, PyObject* type) {
        if (type == nullptr) throw py::error_already_set();
        m.add_object(name, py::reinterpret_borrow<py::object>(type));
        return reinterpret_cast<PyTypeObject*>(type);
    };
    state->decision_type = add("Decision", make_decision_type(m.ptr()));
    state->route_type = add("Route", make_route_type(m.ptr()));
    Py_DECREF(add("WindowTable", make_window_table_type(m.ptr())));
    if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
}

}  // namespace atlascore::bindings
