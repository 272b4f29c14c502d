// From Python values to the core's event: texts, arrays, rows, fields. Everything keeps what it borrows alive
// until the conversion object goes.
#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <vector>

#include "atlascore/event/event.hpp"
#include "atlascore/policy/policy.hpp"
#include "fast.hpp"

namespace atlascore::bindings {

// How a caller says what kind of input a value is; `automatic` follows the value's type and the policy's
// modality.
enum class Meaning : int { automatic, text, vector, row, image, digest };

// A dict as it is, a copy of any other mapping. Null: TypeError is set.
Ref dict_of(PyObject* mapping, const char* what);

class Conversion {
  public:
    Conversion() = default;
    ~Conversion();
    Conversion(const Conversion&) = delete;
    Conversion& operator=(const Conversion&) = delete;

    // UTF-8 of a str, as utf8_of() has it, or the bytes of a bytes object. False: TypeError is set.
    bool text(PyObject* object, const char* what, std::string_view& out);
    // False: an exception is set.
    bool input(PyObject* x, Meaning meaning, const policy::Model* model, PyObject* to_float32,
               event::Input& out);
    // `fields` is a dict of event fields, nested mappings by dotted names; those that the program reads go to
    // `slots`.
    bool fields(PyObject* fields, const rule::Program& program, event::Value* slots);
    bool value(PyObject* object, const char* what, event::Value& out, int depth = 0);
    // What the model answered to `rows` inputs: a label of any kind, or one a row; a score a class, or such a
    // line a row. NumPy arrays and scalars are taken as what they hold.
    bool label(PyObject* object, std::uint32_t rows, event::Value& out);
    bool scores(PyObject* object, std::uint32_t rows, std::vector<double>& out);

  private:
    bool array(PyObject* x, Meaning meaning, const policy::Model* model, PyObject* to_float32,
               event::Input& out);
    bool shape(Meaning meaning, const policy::Model* model, event::Input& out);
    bool image_shape(const policy::Model* model, event::Input& out);
    bool segments(PyObject* list, event::Input& out);
    bool texts(PyObject* list, event::Input& out);
    bool rows(PyObject* x, const policy::Model* model, event::Input& out);
    bool row(PyObject* mapping_or_sequence, const policy::Model* model, std::uint32_t index,
             std::size_t& width);
    bool cell(PyObject* cell, bool categorical, std::uint32_t row, std::uint32_t column);
    bool plain(PyObject* object, const char* what, event::Value& out);
    bool nested(PyObject* fields, const std::string& prefix, const rule::Program& program,
                event::Value* slots, int depth);
    void hold(PyObject* object) { held_.push_back(object); }

    Py_buffer buffer_{};
    bool has_buffer_ = false;
    std::vector<PyObject*> held_;
    std::vector<std::vector<event::Value>> arrays_;  // moving one keeps its data where it is
    std::vector<float> numbers_;
    std::vector<event::Category> categories_;
    std::vector<std::string_view> texts_;
    std::string joined_;
    bool met_mapping_ = false;  // one among the fields that is no dict
};

}  // namespace atlascore::bindings
