
#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "fast.hpp"

namespace atlascore::bindings {
namespace {

using engine::Decision;

DecisionObject* self_of(PyObject* object) {
    return reinterpret_cast<DecisionObject*>(object);
}

const rule::Program& program_of(DecisionObject* self) {
    return *self->binding->route.policy->spec().program;
}

void release_members(DecisionObject* self) {
    Py_CLEAR(self->principal);
    Py_CLEAR(self->fields);
    self->binding.reset();
}

// A caller may keep a decision in what it gave as fields.
int traverse(PyObject* object, visitproc visit, void* arg) {
    DecisionObject* self = self_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(reinterpret_cast<PyObject*>(self->route));
    Py_VISIT(self->principal);
    Py_VISIT(self->fields);
    return 0;
}

// The route stays: everything that a decision answers needs it, and its engine has a dict to clear.
int clear(PyObject* object) {
    Py_CLEAR(self_of(object)->principal);
    Py_CLEAR(self_of(object)->fields);
    return 0;
}

void deallocate(PyObject* object) {
    PyObject_GC_UnTrack(object);
    DecisionObject* self = self_of(object);
    release_members(self);
    RouteObject* route = self->route;
    self->route = nullptr;
#ifndef Py_GIL_DISABLED
    if (route != nullptr && route->spares < 16) {
        route->spare[route->spares++] = self;
        Py_DECREF(Py_TYPE(object));
        Py_DECREF(route);
        return;
    }
#endif
    PyTypeObject* type = Py_TYPE(object);
    self->binding.~shared_ptr();
    PyObject_GC_Del(object);
    Py_DECREF(type);
    Py_XDECREF(route);
}

PyObject* action(DecisionObject* self, engine::Action value) {
    return Py_NewRef(self->state->actions[static_cast<std::size_t>(value)]);
}

PyObject* get_action(PyObject* o, void*) {
    return action(self_of(o), self_of(o)->decision.action);
}
PyObject* get_would(PyObject* o, void*) {
    return action(self_of(o), self_of(o)->decision.would);
}
PyObject* get_simulated(PyObject* o, void*) {
    return PyBool_FromLong(self_of(o)->decision.would > self_of(o)->decision.action);
}
PyObject* get_sequence(PyObject* o, void*) {
    return PyLong_FromUnsignedLongLong(self_of(o)->decision.sequence);
}
PyObject* get_rows(PyObject* o, void*) {
    return PyLong_FromUnsignedLong(self_of(o)->decision.rows);
}
PyObject* get_now(PyObject* o, void*) {
    return PyFloat_FromDouble(self_of(o)->decision.now);
}
PyObject* get_retry_after(PyObject* o, void*) {
    return PyFloat_FromDouble(self_of(o)->decision.retry_after);
}
PyObject* get_outcome(PyObject* o, void*) {
    return PyUnicode_FromString(self_of(o)->decision.failed ? "guard_error" : "decided");
}
PyObject* get_failure(PyObject* o, void*) {
    const auto& failed = self_of(o)->decision.failed;
    if (!failed) Py_RETURN_NONE;
    return PyUnicode_FromString(failed->closed ? "closed" : "open");
}
PyObject* get_guard(PyObject* o, void*) {
    const auto& failed = self_of(o)->decision.failed;
    if (!failed) Py_RETURN_NONE;
    return Py_BuildValue("{s:s,s:s}", "stage",
                         log::stage_names[static_cast<std::size_t>(failed->stage)].data(), "kind",
                         log::failure_names[static_cast<std::size_t>(failed->kind)].data());
}
PyObject* get_redactions(PyObject*, void*) {
    return PyTuple_New(0);
}
PyObject* get_principal(PyObject* o, void*) {
    return Py_NewRef(self_of(o)->principal ? self_of(o)->principal : Py_None);
}
PyObject* get_fields(PyObject* o, void*) {
    return Py_NewRef(self_of(o)->fields ? self_of(o)->fields : Py_None);
}
PyObject* get_route(PyObject* o, void*) {
    return Py_NewRef(reinterpret_cast<PyObject*>(self_of(o)->route));
}

PyObject* get_rules(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    PyObject* tuple = PyTuple_New(self->decision.rule_count);
    if (tuple == nullptr) return nullptr;
    for (std::uint16_t i = 0; i < self->decision.rule_count; ++i) {
        const std::string& id = program_of(self).rule(self->decision.rules[i]).id;
        PyObject* text = PyUnicode_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size()));
        if (text == nullptr) {
            Py_DECREF(tuple);
            return nullptr;
        }
        PyTuple_SET_ITEM(tuple, i, text);
    }
    return tuple;
}

PyObject* get_techniques(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    std::set<std::string_view> ids;
    for (std::uint16_t i = 0; i < self->decision.rule_count; ++i) {
        const auto& techniques = program_of(self).rule(self->decision.rules[i]).techniques;
        ids.insert(techniques.begin(), techniques.end());
    }
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(ids.size()));
    Py_ssize_t at = 0;
    for (const std::string_view id : ids) {
        PyObject* text = tuple == nullptr
                             ? nullptr
                             : PyUnicode_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size()));
        if (text == nullptr) {
            Py_XDECREF(tuple);
            return nullptr;
        }
        PyTuple_SET_ITEM(tuple, at++, text);
    }
    return tuple;
}

// The slow answers come from the Python Engine that owns the route.
PyObject* ask_owner(DecisionObject* self, const char* method, PyObject* argument) {
    return PyObject_CallMethod(self->route->owner, method, "(O)", argument);
}

PyObject* get_constraints(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    if (self->decision.constraints == 0) return Py_NewRef(self->state->no_constraints);
    Ref argument(Py_BuildValue("(KK)", static_cast<unsigned long long>(self->binding->policy_id),
                               static_cast<unsigned long long>(self->decision.constraints)));
    return argument ? ask_owner(self, "_constraints", argument.get()) : nullptr;
}

PyObject* get_id(PyObject* o, void*) {
    const std::string id = self_of(o)->route->route->engine().decision_id(self_of(o)->decision.sequence);
    return PyUnicode_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size()));
}

PyObject* get_index(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    log::Log* log = self->route->route->engine().log();
    std::optional<std::uint64_t> index;
    if (log != nullptr) {
        Py_BEGIN_ALLOW_THREADS index = log->index_of(self->decision.sequence);
        Py_END_ALLOW_THREADS
    }
    if (!index) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(*index);
}

// Whether this one of a route's signals goes by its bare name: of several windows that of 5 minutes, or the
// first.
bool is_bare(std::span<const rule::SignalRef> refs, std::size_t i) {
    const auto is_default = [](const rule::SignalRef& ref) { return ref.window == 300 || ref.window == 0; };
    if (is_default(refs[i])) return true;
    for (std::size_t j = 0; j < refs.size(); ++j) {
        if (refs[j].signal == refs[i].signal && (j < i || is_default(refs[j]))) return false;
    }
    return true;
}

// name -> value of what this decision's rules could read; other windows than the first go by name@seconds.
PyObject* get_signals(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    Ref dict(PyDict_New());
    if (!dict) return nullptr;
    const auto refs = self->binding->route.program->signals(self->decision.phase);
    for (std::size_t i = 0; i < refs.size() && i < self->decision.signal_count; ++i) {
        if (std::isnan(self->decision.signals[i])) continue;
        std::string name(signal::info(refs[i].signal).name);
        if (!is_bare(refs, i)) name += "@" + std::to_string(refs[i].window);
        Ref value(PyFloat_FromDouble(self->decision.signals[i]));
        if (!value || PyDict_SetItemString(dict.get(), name.c_str(), value.get()) != 0) return nullptr;
    }
    return dict.release();
}

PyObject* get_matched(PyObject* o, void*) {
    DecisionObject* self = self_of(o);
    PyObject* tuple = PyTuple_New(self->decision.rule_count);
    for (std::uint16_t i = 0; tuple != nullptr && i < self->decision.rule_count; ++i) {
        PyTuple_SET_ITEM(tuple, i, PyLong_FromLong(self->decision.rules[i]));
    }
    return tuple;
}

PyObject* get_step(PyObject* o, void*) {
    const Decision& decision = self_of(o)->decision;
    const std::string_view name = log::step_names[static_cast<std::size_t>(decision.step)];
    const int allowed_by = decision.allowed_by == 0xFFFF ? -1 : decision.allowed_by;
    return Py_BuildValue("(sii)", name.data(), int{decision.step_index}, allowed_by);
}

PyObject* get_policy_id(PyObject* o, void*) {
    return PyLong_FromUnsignedLongLong(self_of(o)->binding->policy_id);
}

// Names of the components of evidence that are off at the route's model.
PyObject* get_evidence_off(PyObject* o, void*) {
    Ref names(PyList_New(0));
    if (!names) return nullptr;
    for (const evidence::ComponentInfo& info : evidence::components()) {
        if (evidence::contains(self_of(o)->binding->evidence_on, info.id)) continue;
        Ref name(PyUnicode_FromStringAndSize(info.name.data(), static_cast<Py_ssize_t>(info.name.size())));
        if (!name || PyList_Append(names.get(), name.get()) != 0) return nullptr;
    }
    return names.release();
}

PyObject* get_phase(PyObject* o, void*) {
    return PyUnicode_FromString(self_of(o)->decision.phase == rule::Phase::request ? "request" : "response");
}

PyObject* explain(PyObject* o, PyObject*) {
    return ask_owner(self_of(o), "_explain", o);
}

PyObject* represent(PyObject* o) {
    Ref name(PyObject_GetAttrString(
        self_of(o)->state->actions[static_cast<std::size_t>(self_of(o)->decision.action)], "name"));
    Ref rules(get_rules(o, nullptr));
    return name && rules ? PyUnicode_FromFormat("<Decision %U rules=%R>", name.get(), rules.get()) : nullptr;
}

PyGetSetDef getters[] = {
    {"action", get_action, nullptr, "Action in force: ALLOW < LOG < CONSTRAIN < BLOCK", nullptr},
    {"would", get_would, nullptr, "the action that shadow rules would have given; equal to action otherwise",
     nullptr},
    {"simulated", get_simulated, nullptr, "True when a shadow rule would have acted", nullptr},
    {"rules", get_rules, nullptr, "ids of the matched rules", nullptr},
    {"techniques", get_techniques, nullptr, "ATLAS ids of the matched rules, sorted", nullptr},
    {"constraints", get_constraints, nullptr, "Constraints; falsy when empty", nullptr},
    {"outcome", get_outcome, nullptr, "\"decided\" or \"guard_error\"", nullptr},
    {"failure", get_failure, nullptr, "of a guard error: \"open\" or \"closed\"; else None", nullptr},
    {"guard", get_guard, nullptr, "of a guard error: {\"stage\": ..., \"kind\": ...}; else None", nullptr},
    {"id", get_id, nullptr, "opaque id, dec_...", nullptr},
    {"sequence", get_sequence, nullptr, "the producer's sequence number", nullptr},
    {"index", get_index, nullptr, "index in the log; waits up to 20 ms for the writer; None without a log",
     nullptr},
    {"signals", get_signals, nullptr, "signal name -> value", nullptr},
    {"rows", get_rows, nullptr, "queries in the call", nullptr},
    {"now", get_now, nullptr, "the time decided at, seconds since 1970", nullptr},
    {"retry_after", get_retry_after, nullptr, "seconds until a refusal may end; 0 when unknown", nullptr},
    {"redactions", get_redactions, nullptr, "spans to redact in the answer: (start, end, type)", nullptr},
    {"_principal", get_principal, nullptr, nullptr, nullptr},
    {"_fields", get_fields, nullptr, nullptr, nullptr},
    {"_route", get_route, nullptr, nullptr, nullptr},
    {"_matched", get_matched, nullptr, nullptr, nullptr},
    {"_step", get_step, nullptr, nullptr, nullptr},
    {"_policy_id", get_policy_id, nullptr, nullptr, nullptr},
    {"_phase", get_phase, nullptr, nullptr, nullptr},
    {"_evidence_off", get_evidence_off, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMethodDef methods[] = {
    {"explain", explain, METH_NOARGS, "why: policy step, rules, leaves with values, counterfactual"},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                       {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {Py_tp_getset, getters},
                       {Py_tp_methods, methods},
                       {Py_tp_repr, reinterpret_cast<void*>(represent)},
                       {Py_tp_doc, const_cast<char*>("The answer to one query.")},
                       {0, nullptr}};

PyType_Spec spec = {"atlascore._core.Decision", sizeof(DecisionObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

DecisionObject* new_decision(RouteObject* route) noexcept {
    DecisionObject* self;
#ifndef Py_GIL_DISABLED
    if (route->spares > 0) {
        self = route->spare[--route->spares];
        PyObject_Init(reinterpret_cast<PyObject*>(self), route->state->decision_type);
    } else
#endif
    {
        self = PyObject_GC_New(DecisionObject, route->state->decision_type);
        if (self == nullptr) return nullptr;
        new (&self->binding) std::shared_ptr<const engine::Binding>();
    }
    self->principal = nullptr;
    self->fields = nullptr;
    self->state = route->state;
    self->route = reinterpret_cast<RouteObject*>(Py_NewRef(reinterpret_cast<PyObject*>(route)));
    new (&self->decision) Decision;
    PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
    return self;
}

PyObject* make_decision_type(PyObject* module) {
    return PyType_FromModuleAndSpec(module, &spec, nullptr);
}

}  // namespace atlascore::bindings
