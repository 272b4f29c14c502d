#include "convert.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "atlascore/base/hash.hpp"
#include "atlascore/event/category.hpp"

namespace atlascore::bindings {
namespace {

constexpr int nesting_limit = 16;
constexpr std::size_t column_limit = 4096;

bool type_error(const char* what, const char* expected, PyObject* object) {
    PyErr_Format(PyExc_TypeError, "%s must be %s, not %.200s", what, expected, Py_TYPE(object)->tp_name);
    return false;
}

bool is_sequence(PyObject* object) {
    return PyList_Check(object) || PyTuple_Check(object);
}

// [(channel, text), ...] of a conversation.
bool are_segments(PyObject* object) {
    if (!is_sequence(object) || PySequence_Fast_GET_SIZE(object) == 0) return false;
    PyObject* first = PySequence_Fast_GET_ITEM(object, 0);
    return PyTuple_Check(first) && PyTuple_GET_SIZE(first) == 2 &&
           PyUnicode_Check(PyTuple_GET_ITEM(first, 0)) && PyUnicode_Check(PyTuple_GET_ITEM(first, 1));
}

// A batch of texts.
bool are_texts(PyObject* object) {
    return is_sequence(object) && PySequence_Fast_GET_SIZE(object) != 0 &&
           PyUnicode_Check(PySequence_Fast_GET_ITEM(object, 0));
}

bool is_plain(PyObject* object) {
    return object == Py_None || PyLong_Check(object) || PyFloat_Check(object) || PyUnicode_Check(object) ||
           PyBytes_Check(object);
}

bool is_mapping(PyObject* object) {
    const Ref abc(PyImport_ImportModule("collections.abc"));
    const Ref mapping(abc ? PyObject_GetAttrString(abc.get(), "Mapping") : nullptr);
    const int is = mapping ? PyObject_IsInstance(object, mapping.get()) : -1;
    if (is < 0) PyErr_Clear();
    return is == 1;
}

bool nested_too_deeply() {
    PyErr_Format(PyExc_ValueError, "fields are nested deeper than %d", nesting_limit);
    return false;
}

// A dict of a mapping's items, and so for every mapping below it.
Ref plain_copy(PyObject* mapping, int depth) {
    Ref copy(PyDict_New());
    if (!copy || PyDict_Update(copy.get(), mapping) != 0) return Ref();
    if (depth > nesting_limit) {
        nested_too_deeply();
        return Ref();
    }
    PyObject *key, *item;
    Py_ssize_t position = 0;
    while (PyDict_Next(copy.get(), &position, &key, &item)) {
        if (is_plain(item) || is_sequence(item) || !(PyDict_Check(item) || is_mapping(item))) continue;
        const Ref inner = plain_copy(item, depth + 1);
        if (!inner || PyDict_SetItem(copy.get(), key, inner.get()) != 0) return Ref();
    }
    return copy;
}

}  // namespace

bool utf8_of(PyObject* text, Ref& owner, std::string_view& out) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(text, &size);
    if (data == nullptr) {
        PyErr_Clear();
        const Ref units(PyUnicode_AsEncodedString(text, "utf-16-le", "surrogatepass"));
        if (!units) return false;
        int little_endian = -1;
        owner = Ref(PyUnicode_DecodeUTF16(PyBytes_AS_STRING(units.get()), PyBytes_GET_SIZE(units.get()),
                                          "replace", &little_endian));
        if (!owner || (data = PyUnicode_AsUTF8AndSize(owner.get(), &size)) == nullptr) return false;
    }
    out = {data, static_cast<std::size_t>(size)};
    return true;
}

Ref dict_of(PyObject* mapping, const char* what) {
    if (PyDict_Check(mapping)) return Ref(Py_NewRef(mapping));
    if (!is_mapping(mapping)) {
        type_error(what, "a dict or another mapping", mapping);
        return Ref();
    }
    Ref dict(PyDict_New());
    return dict && PyDict_Update(dict.get(), mapping) == 0 ? std::move(dict) : Ref();
}

Conversion::~Conversion() {
    if (has_buffer_) PyBuffer_Release(&buffer_);
    for (PyObject* object : held_) Py_DECREF(object);
}

bool Conversion::text(PyObject* object, const char* what, std::string_view& out) {
    if (PyUnicode_Check(object)) {
        Ref owner;
        if (!utf8_of(object, owner, out)) return false;
        if (owner) hold(owner.release());
        return true;
    }
    if (PyBytes_Check(object)) {
        out = {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
        return true;
    }
    return type_error(what, "str", object);
}

bool Conversion::value(PyObject* object, const char* what, event::Value& out, int depth) {
    if (object == Py_None) {
        out = event::Value::of_null();
        return true;
    }
    if (PyBool_Check(object)) {
        out = event::Value::of_bool(object == Py_True);
        return true;
    }
    if (PyLong_Check(object)) {
        int overflow = 0;
        const long long small = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow == 0) {
            out = event::Value::of_int(small);
            return true;
        }
        const unsigned long long large = PyLong_AsUnsignedLongLong(object);
        if (!PyErr_Occurred()) {
            out.kind = event::ValueKind::uint64;
            out.uint64 = large;
            return true;
        }
        PyErr_Clear();  // beyond 64 bits it keeps its digits
        PyObject* digits = PyObject_Str(object);
        if (digits == nullptr) return false;
        hold(digits);
        std::string_view view;
        if (!text(digits, what, view)) return false;
        out = event::Value::of_text(view);
        return true;
    }
    if (PyFloat_Check(object)) {
        out = event::Value::of_real(PyFloat_AS_DOUBLE(object));
        return true;
    }
    if (is_sequence(object)) {
        if (depth == nesting_limit) {
            PyErr_Format(PyExc_ValueError, "%s is nested deeper than %d", what, nesting_limit);
            return false;
        }
        std::vector<event::Value> items(static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object)));
        for (std::size_t i = 0; i < items.size(); ++i) {
            PyObject* item = PySequence_Fast_GET_ITEM(object, static_cast<Py_ssize_t>(i));
            if (!value(item, what, items[i], depth + 1)) return false;
        }
        out.kind = event::ValueKind::array;
        out.size = static_cast<std::uint32_t>(items.size());
        out.items = items.data();
        arrays_.push_back(std::move(items));
        return true;
    }
    std::string_view view;
    if (PyUnicode_Check(object) || PyBytes_Check(object)) {
        if (!text(object, what, view)) return false;
        out = event::Value::of_text(view);
        return true;
    }
    return type_error(what, "None, bool, int, float, str or a list of these", object);
}

// NumPy's values as Python's.
bool Conversion::plain(PyObject* object, const char* what, event::Value& out) {
    const bool ordinary = PyLong_Check(object) || PyFloat_Check(object) || PyUnicode_Check(object) ||
                          PyList_Check(object) || PyTuple_Check(object);
    if (ordinary || !PyObject_HasAttrString(object, "tolist")) return value(object, what, out);
    PyObject* list = PyObject_CallMethod(object, "tolist", nullptr);
    if (list == nullptr) return false;
    hold(list);
    return value(list, what, out);
}

bool Conversion::label(PyObject* object, std::uint32_t rows, event::Value& out) {
    if (!plain(object, "label", out)) return false;
    if (rows == 1) return true;
    const bool fits = out.kind == event::ValueKind::array && out.size == rows;
    if (!fits) {
        PyErr_Format(PyExc_ValueError, "label must be a list of %u labels, one a row of the batch, not %R",
                     rows, object);
    }
    return fits;
}

namespace {

// A C-contiguous float32 or float64 array. False: it is something else, and no exception is set.
bool read_floats(PyObject* object, std::vector<double>& out) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
        PyErr_Clear();
        return false;
    }
    const bool single = view.format != nullptr && std::strcmp(view.format, "f") == 0;
    const bool both = single || (view.format != nullptr && std::strcmp(view.format, "d") == 0);
    if (both) {
        const auto count = static_cast<std::size_t>(view.len / view.itemsize);
        out.resize(count);
        if (single) {
            std::copy_n(static_cast<const float*>(view.buf), count, out.begin());
        } else {
            std::copy_n(static_cast<const double*>(view.buf), count, out.begin());
        }
    }
    PyBuffer_Release(&view);
    return both;
}

// One level of lists below another: all of one length, numbers at the bottom. `width`: -1 before the first.
enum class Scores : std::uint8_t { good, not_numbers, ragged };
Scores flatten(const event::Value& value, int depth, std::array<std::int64_t, 8>& widths,
               std::vector<double>& out) {
    if (value.kind != event::ValueKind::array) {
        const bool leaf = widths[static_cast<std::size_t>(depth)] < 0;
        widths[static_cast<std::size_t>(depth)] = -2;
        if (value.kind == event::ValueKind::real) {
            out.push_back(value.real);
        } else if (value.kind == event::ValueKind::int64) {
            out.push_back(static_cast<double>(value.int64));
        } else {
            return Scores::not_numbers;
        }
        return leaf ? Scores::good : Scores::ragged;
    }
    std::int64_t& width = widths[static_cast<std::size_t>(depth)];
    if (width == -1) width = value.size;
    if (width != value.size || depth + 1 == static_cast<int>(widths.size())) return Scores::ragged;
    for (std::uint32_t i = 0; i < value.size; ++i) {
        if (const Scores got = flatten(value.items[i], depth + 1, widths, out); got != Scores::good)
            return got;
    }
    return Scores::good;
}

}  // namespace

bool Conversion::scores(PyObject* object, std::uint32_t rows, std::vector<double>& out) {
    out.clear();
    if (!PyObject_CheckBuffer(object) || !read_floats(object, out)) {
        event::Value value;
        if (!plain(object, "scores", value)) return false;
        std::array<std::int64_t, 8> widths;
        widths.fill(-1);
        const Scores got =
            value.kind == event::ValueKind::array ? flatten(value, 0, widths, out) : Scores::not_numbers;
        if (got == Scores::not_numbers) {
            PyErr_Format(PyExc_TypeError, "scores must be an array of numbers, not %R", object);
            return false;
        }
        if (got == Scores::ragged) {
            PyErr_Format(PyExc_ValueError, "scores must have lines of one length, not %R", object);
            return false;
        }
    }
    if (out.size() % rows == 0) return true;
    PyErr_Format(PyExc_ValueError,
                 "scores must have one line for each of the %u rows of the batch, not %zu numbers", rows,
                 out.size());
    return false;
}

bool Conversion::fields(PyObject* fields, const rule::Program& program, event::Value* slots) {
    if (!PyDict_Check(fields)) return type_error("fields", "a dict", fields);
    if (program.fields().empty()) return true;
    if (nested(fields, "", program, slots, 0)) return true;
    if (!met_mapping_) return false;
    // Mappings run code of their own, which may change the dict that texts are borrowed from: a copy does
    // not.
    const Ref copy = plain_copy(fields, 0);
    if (!copy) return false;
    hold(Py_NewRef(copy.get()));
    std::fill_n(slots, program.fields().size(), event::Value{});
    return nested(copy.get(), "", program, slots, 0);
}

bool Conversion::nested(PyObject* fields, const std::string& prefix, const rule::Program& program,
                        event::Value* slots, int depth) {
    if (depth > nesting_limit) return nested_too_deeply();
    PyObject *key, *item;
    Py_ssize_t position = 0;
    while (PyDict_Next(fields, &position, &key, &item)) {
        std::string_view name;
        if (!PyUnicode_Check(key)) return type_error("a field's name", "str", key);
        if (!text(key, "a field's name", name)) return false;
        const std::string path = prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
        if (PyDict_Check(item)) {
            if (!nested(item, path, program, slots, depth + 1)) return false;
            continue;
        }
        if (!is_plain(item) && !is_sequence(item) && is_mapping(item)) {
            met_mapping_ = true;
            return false;
        }
        const int slot = program.field(path);
        if (slot < 0) continue;
        if (!prefix.empty() && slots[slot].kind != event::ValueKind::missing) continue;  // the flat name wins
        if (!value(item, ("fields[\"" + path + "\"]").c_str(), slots[slot])) return false;
    }
    return true;
}

bool Conversion::input(PyObject* x, Meaning meaning, const policy::Model* model, PyObject* to_float32,
                       event::Input& out) {
    if (x == Py_None) return true;
    const policy::Modality modality = model != nullptr ? model->modality : policy::Modality::any;
    if (meaning == Meaning::automatic && modality == policy::Modality::row && !PyUnicode_Check(x) &&
        !PyBytes_Check(x)) {
        meaning = Meaning::row;
    }
    if (meaning == Meaning::text || (meaning == Meaning::automatic && PyUnicode_Check(x))) {
        if (are_segments(x)) return segments(x, out);
        if (are_texts(x)) return texts(x, out);
        out.kind = event::InputKind::text;
        return text(x, "text", out.text);
    }
    if (meaning == Meaning::digest || (meaning == Meaning::automatic && PyBytes_Check(x))) {
        std::string_view bytes;
        if (!text(x, "digest", bytes)) return false;
        out.kind = event::InputKind::digest;
        out.digest = base::digest128(bytes.data(), bytes.size(), 0);
        return true;
    }
    if (meaning == Meaning::automatic && are_segments(x)) return segments(x, out);
    if (meaning == Meaning::automatic && are_texts(x)) return texts(x, out);
    const bool holds_dicts =
        is_sequence(x) && PySequence_Fast_GET_SIZE(x) != 0 && PyDict_Check(PySequence_Fast_GET_ITEM(x, 0));
    if (PyDict_Check(x) || holds_dicts || (meaning == Meaning::row && is_sequence(x)))
        return rows(x, model, out);
    return array(x, meaning, model, to_float32, out);
}

// The caller's own turn: everything else in a conversation is not what the caller varies.
bool Conversion::segments(PyObject* list, event::Input& out) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(list, i);
        std::string_view channel, part;
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2)
            return type_error("a segment", "(channel, text)", item);
        if (!text(PyTuple_GET_ITEM(item, 0), "a segment's channel", channel)) return false;
        if (!text(PyTuple_GET_ITEM(item, 1), "a segment's text", part)) return false;
        if (channel != "user") continue;
        if (!joined_.empty()) joined_ += '\n';
        joined_ += part;
    }
    out.kind = event::InputKind::text;
    out.text = joined_;
    return true;
}

bool Conversion::texts(PyObject* list, event::Input& out) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); ++i) {
        std::string_view one;
        PyObject* item = PySequence_Fast_GET_ITEM(list, i);
        hold(Py_NewRef(item));  // another thread may change the list while the batch is decided
        if (!text(item, "a text of the batch", one)) return false;
        texts_.push_back(one);
        if (i != 0) joined_ += '\n';
        joined_ += one;
    }
    out.kind = event::InputKind::text;
    out.text = joined_;
    out.texts = texts_;
    out.rows = texts_.size();
    return true;
}

bool Conversion::array(PyObject* x, Meaning meaning, const policy::Model* model, PyObject* to_float32,
                       event::Input& out) {
    PyObject* source = x;
    const bool direct =
        PyObject_CheckBuffer(x) && PyObject_GetBuffer(x, &buffer_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0;
    has_buffer_ = direct;
    if (!direct) PyErr_Clear();
    const auto is_float32 = [this] {
        return buffer_.format != nullptr && std::strcmp(buffer_.format, "f") == 0;
    };
    if (!direct || !is_float32()) {
        if (has_buffer_) PyBuffer_Release(&buffer_);
        has_buffer_ = false;
        source = PyObject_CallOneArg(to_float32, x);
        if (source == nullptr) return false;
        hold(source);
        if (PyObject_GetBuffer(source, &buffer_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) return false;
        has_buffer_ = true;
    }
    out.values = static_cast<const float*>(buffer_.buf);
    return shape(meaning, model, out);
}

// How many inputs an array holds, and of what kind.
bool Conversion::shape(Meaning meaning, const policy::Model* model, event::Input& out) {
    const policy::Modality modality = model != nullptr ? model->modality : policy::Modality::any;
    const bool image = meaning == Meaning::image ||
                       (meaning == Meaning::automatic &&
                        (modality == policy::Modality::image || modality == policy::Modality::tensor) &&
                        !model->shape.empty());
    if (image) return image_shape(model, out);
    out.kind = meaning == Meaning::row ? event::InputKind::row : event::InputKind::vector;
    if (buffer_.ndim != 1 && buffer_.ndim != 2) {
        PyErr_Format(PyExc_ValueError,
                     "an input is an array of 1 dimension, a batch of 2; this one has %d. For images declare "
                     "input.modality and input.shape in the policy",
                     buffer_.ndim);
        return false;
    }
    out.rows = buffer_.ndim == 2 ? static_cast<std::size_t>(buffer_.shape[0]) : 1;
    out.width = static_cast<std::size_t>(buffer_.shape[buffer_.ndim - 1]);
    if (out.rows == 0 || out.width == 0) {
        PyErr_SetString(PyExc_ValueError, "the input array is empty; pass None when the query has no input");
        return false;
    }
    if (meaning == Meaning::row && model != nullptr && !model->features.empty() &&
        out.width != model->features.size()) {
        PyErr_Format(PyExc_ValueError, "a row has %zu values, the policy declares %zu features", out.width,
                     model->features.size());
        return false;
    }
    return true;
}

bool Conversion::image_shape(const policy::Model* model, event::Input& out) {
    std::size_t height = 0, columns = 0, channels = 1;
    if (model != nullptr && !model->shape.empty()) {
        height = model->shape[0];
        columns = model->shape.size() > 1 ? model->shape[1] : 1;
        channels = model->shape.size() > 2 ? model->shape[2] : 1;
    } else if (buffer_.ndim == 2 || buffer_.ndim == 3) {
        height = static_cast<std::size_t>(buffer_.shape[0]);
        columns = static_cast<std::size_t>(buffer_.shape[1]);
        channels = buffer_.ndim == 3 ? static_cast<std::size_t>(buffer_.shape[2]) : 1;
    } else if (buffer_.ndim == 4) {
        height = static_cast<std::size_t>(buffer_.shape[1]);
        columns = static_cast<std::size_t>(buffer_.shape[2]);
        channels = static_cast<std::size_t>(buffer_.shape[3]);
    }
    const std::size_t width = height * columns * channels;
    // Whether the dimensions from `first` on are one image: whole, without its only channel, or in one row.
    const auto is_image = [&](int first) {
        const auto is = [&](int i, std::size_t size) {
            return static_cast<std::size_t>(buffer_.shape[first + i]) == size;
        };
        const int dimensions = buffer_.ndim - first;
        if (dimensions == 1) return is(0, width);
        if (dimensions == 2) return channels == 1 && is(0, height) && is(1, columns);
        return dimensions == 3 && is(0, height) && is(1, columns) && is(2, channels);
    };
    const bool one = is_image(0);
    if (width == 0 || buffer_.len == 0 || (!one && !is_image(1))) {
        PyErr_Format(PyExc_ValueError,
                     "the array's shape does not fit an image of %zu x %zu x %zu values, or a batch of these",
                     height, columns, channels);
        return false;
    }
    out.rows = one ? 1 : static_cast<std::size_t>(buffer_.shape[0]);
    out.kind = event::InputKind::image;
    out.width = width;
    out.height = static_cast<std::uint32_t>(height);
    out.columns = static_cast<std::uint32_t>(columns);
    out.channels = static_cast<std::uint32_t>(channels);
    return true;
}

// One row, or a list of rows.
bool Conversion::rows(PyObject* x, const policy::Model* model, event::Input& out) {
    std::size_t width = 0;
    const auto is_row = [](PyObject* item) { return PyDict_Check(item) || is_sequence(item); };
    if (is_sequence(x) && PySequence_Fast_GET_SIZE(x) != 0 && is_row(PySequence_Fast_GET_ITEM(x, 0))) {
        out.rows = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(x));
        for (std::size_t i = 0; i < out.rows; ++i) {
            PyObject* item = PySequence_Fast_GET_ITEM(x, static_cast<Py_ssize_t>(i));
            if (!is_row(item)) return type_error("a row", "a dict or a sequence", item);
            std::size_t columns = 0;
            if (!row(item, model, static_cast<std::uint32_t>(i), columns)) return false;
            if (i != 0 && columns != width) {
                PyErr_Format(PyExc_ValueError, "row %zu of the batch has %zu columns, the first has %zu", i,
                             columns, width);
                return false;
            }
            width = columns;
        }
    } else if (!row(x, model, 0, width)) {
        return false;
    }
    if (width == 0 || width > column_limit) {
        PyErr_Format(PyExc_ValueError, "a row must have 1 to %zu columns, not %zu", column_limit, width);
        return false;
    }
    out.kind = event::InputKind::row;
    out.values = numbers_.data();
    out.width = width;
    out.categories = categories_;
    return true;
}

bool Conversion::row(PyObject* source, const policy::Model* model, std::uint32_t index, std::size_t& width) {
    if (!PyDict_Check(source)) {
        width = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(source));
        const bool declared = model != nullptr && !model->features.empty();
        if (declared && width != model->features.size()) {
            PyErr_Format(PyExc_ValueError, "a row has %zu values, the policy declares %zu features", width,
                         model->features.size());
            return false;
        }
        for (std::size_t i = 0; i < width; ++i) {
            PyObject* item = PySequence_Fast_GET_ITEM(source, static_cast<Py_ssize_t>(i));
            if (!cell(item, declared && model->features[i].categorical, index, static_cast<std::uint32_t>(i)))
                return false;
        }
        return true;
    }
    if (model != nullptr && !model->features.empty()) {
        width = model->features.size();
        for (std::size_t i = 0; i < width; ++i) {
            PyObject* item = PyDict_GetItemString(source, model->features[i].name.c_str());
            if (!cell(item == nullptr ? Py_None : item, model->features[i].categorical, index,
                      static_cast<std::uint32_t>(i)))
                return false;
        }
        return true;
    }
    PyObject* keys = PyDict_Keys(source);
    if (keys == nullptr) return false;
    hold(keys);
    if (PyList_Sort(keys) != 0) return false;
    width = static_cast<std::size_t>(PyList_GET_SIZE(keys));
    for (std::size_t i = 0; i < width; ++i) {
        PyObject* item = PyDict_GetItemWithError(source, PyList_GET_ITEM(keys, static_cast<Py_ssize_t>(i)));
        if (item == nullptr || !cell(item, false, index, static_cast<std::uint32_t>(i))) return false;
    }
    return true;
}

// A number, or a category: a text, a boolean, a missing value.
bool Conversion::cell(PyObject* cell, bool categorical, std::uint32_t row, std::uint32_t column) {
    event::Value value;
    if (is_plain(cell)) {
        if (!this->value(cell, "a row's value", value)) return false;
    } else {  // a NumPy scalar, a Decimal
        const double number = PyFloat_AsDouble(cell);
        if (number == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            return type_error("a row's value", "None, bool, int, float or str", cell);
        }
        value = event::Value::of_real(number);
    }
    if (!categorical && event::is_number(value)) {
        numbers_.push_back(static_cast<float>(event::number_of(value)));
        return true;
    }
    numbers_.push_back(0.0f);
    categories_.push_back({row, column, event::category_hash(value)});
    return true;
}

}  // namespace atlascore::bindings
