// atlascore.similarity: MinHash, Jaccard, cosine, nearest. They are plain CPython functions, because a
// pybind11 call costs more than most of them; testing_similarity below, which tests use, is ordinary
// pybind11.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/text/normalise.hpp"
#include "atlascore/text/unicode.hpp"
#include "atlascore/track/minhash.hpp"
#include "atlascore/track/recent.hpp"
#include "atlascore/track/references.hpp"
#include "bindings.hpp"
#include "fast.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

// Above this many values a call lets other threads run.
constexpr std::size_t release_values = 1 << 16;
constexpr py::ssize_t largest_bins = 1 << 20;

// --- arguments -----------------------------------------------------------------------------------

[[noreturn]] void raise(PyObject* type, const std::string& message) {
    PyErr_SetString(type, message.c_str());
    throw py::error_already_set();
}

// A C-contiguous array of T and its shape; converted when it is anything else.
template <class T>
struct Array {
    py::object owner;
    const T* data = nullptr;
    py::ssize_t rank = 0;
    const py::ssize_t* shape = nullptr;

    void view(PyObject* array) {
        const auto* proxy = py::detail::array_proxy(array);
        data = reinterpret_cast<const T*>(proxy->data);
        rank = proxy->nd;
        shape = proxy->dimensions;
    }
};

// Arrays of a type that is right already are the common case: their descriptor is the one singleton.
template <class T>
bool is_ready(PyObject* object) {
    constexpr int wanted =
        py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const auto& api = py::detail::npy_api::get();
    if (!PyObject_TypeCheck(object, api.PyArray_Type_)) return false;
    const auto* proxy = py::detail::array_proxy(object);
    if ((proxy->flags & wanted) != wanted) return false;
    const py::dtype type = py::reinterpret_borrow<py::dtype>(proxy->descr);
    return type.num() == py::dtype::num_of<T>() && type.byteorder() != '>';
}

template <class T>
Array<T> array_argument(PyObject* object, const char* name, const char* kinds) {
    Array<T> result;
    if (is_ready<T>(object)) {
        result.view(object);
        return result;
    }
    const py::object numpy = py::module_::import("numpy");
    const py::object array = numpy.attr("asarray")(py::handle(object));
    const auto kind = array.attr("dtype").attr("kind").cast<std::string>();
    const bool empty = array.attr("size").cast<py::ssize_t>() == 0;  // of no type in particular
    if (!empty && std::string_view(kinds).find(kind) == std::string_view::npos) {
        raise(PyExc_TypeError, std::string(name) + " holds " +
                                   py::str(array.attr("dtype")).cast<std::string>() +
                                   " values; numbers are needed");
    }
    result.owner = numpy.attr("ascontiguousarray")(array, py::dtype::of<T>());
    // ascontiguousarray makes a scalar an array of one value.
    if (array.attr("ndim").cast<int>() == 0) raise(PyExc_ValueError, std::string(name) + " is a scalar");
    result.view(result.owner.ptr());
    return result;
}

std::string shape_text(const py::ssize_t* shape, py::ssize_t rank) {
    std::string text = "(";
    for (py::ssize_t i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (rank == 1 ? ",)" : ")");
}

template <class T>
std::size_t vector_size(const Array<T>& a, const char* name) {
    if (a.rank != 1 || a.shape[0] == 0) {
        raise(PyExc_ValueError, std::string(name) + " has shape " + shape_text(a.shape, a.rank) +
                                    "; one dimension with at least one value is needed");
    }
    return static_cast<std::size_t>(a.shape[0]);
}

template <class T>
std::size_t same_size(const Array<T>& a, const Array<T>& b) {
    const std::size_t size = vector_size(a, "a");
    if (vector_size(b, "b") != size) {
        raise(PyExc_ValueError,
              "a has " + std::to_string(size) + " values and b has " + std::to_string(b.shape[0]));
    }
    return size;
}

// Names the first value that is not finite.
void raise_unless_finite(const float* values, std::size_t count, const char* name, std::size_t width) {
    for (std::size_t i = 0; i < count; ++i) {
        if (std::isfinite(values[i])) continue;
        const std::string at =
            width == 0 ? std::to_string(i) : std::to_string(i / width) + ", " + std::to_string(i % width);
        const char* what = std::isnan(values[i]) ? "nan" : values[i] > 0 ? "inf" : "-inf";
        raise(PyExc_ValueError, std::string(name) + "[" + at + "] is " + what + " as float32");
    }
}

// UTF-8 of a str, or the bytes of a bytes object.
std::string_view text_argument(PyObject* object, Ref& owner) {
    if (PyUnicode_Check(object)) {
        std::string_view text;
        if (!utf8_of(object, owner, text)) throw py::error_already_set();
        return text;
    }
    if (!PyBytes_Check(object)) {
        raise(PyExc_TypeError,
              std::string("text is ") + Py_TYPE(object)->tp_name + "; str or bytes is needed");
    }
    return {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
}

// Positional and keyword arguments into `count` places, null where left out.
void take_arguments(const char* function, PyObject* const* given, Py_ssize_t positional, PyObject* keywords,
                    const char* const* names, Py_ssize_t required, Py_ssize_t count, PyObject** out) {
    if (positional > count) {
        raise(PyExc_TypeError, std::string(function) + "() takes at most " + std::to_string(count) +
                                   " arguments (" + std::to_string(positional) + " given)");
    }
    for (Py_ssize_t i = 0; i < count; ++i) out[i] = i < positional ? given[i] : nullptr;
    for (Py_ssize_t k = 0; keywords != nullptr && k < PyTuple_GET_SIZE(keywords); ++k) {
        PyObject* key = PyTuple_GET_ITEM(keywords, k);
        Py_ssize_t place = 0;
        while (place < count && PyUnicode_CompareWithASCIIString(key, names[place]) != 0) ++place;
        const auto text = [key] { return py::str(py::handle(key)).cast<std::string>(); };
        if (place == count) {
            raise(PyExc_TypeError,
                  std::string(function) + "() got an unexpected keyword argument '" + text() + "'");
        }
        if (out[place] != nullptr) {
            raise(PyExc_TypeError,
                  std::string(function) + "() got multiple values for argument '" + text() + "'");
        }
        out[place] = given[positional + k];
    }
    for (Py_ssize_t i = 0; i < required; ++i) {
        if (out[i] == nullptr) {
            raise(PyExc_TypeError, std::string(function) + "() missing required argument '" + names[i] + "'");
        }
    }
}

// Runs a body that throws C++ exceptions behind a C function.
template <class Body>
PyObject* guarded(Body&& body) noexcept {
    try {
        return body();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
    return nullptr;
}

// --- the functions -------------------------------------------------------------------------------

PyObject* py_cosine(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded([&] {
        static constexpr const char* names[] = {"a", "b"};
        PyObject* given[2];
        take_arguments("cosine", args, count, keywords, names, 2, 2, given);
        const auto a = array_argument<float>(given[0], "a", "fiub"),
                   b = array_argument<float>(given[1], "b", "fiub");
        const std::size_t size = same_size(a, b);
        const double value = simd::cosine(a.data, b.data, size);
        if (std::isnan(value)) {
            raise_unless_finite(a.data, size, "a", 0);
            raise_unless_finite(b.data, size, "b", 0);
        }
        return PyFloat_FromDouble(value);
    });
}

PyObject* py_nearest(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded([&] {
        static constexpr const char* names[] = {"query", "matrix"};
        PyObject* given[2];
        take_arguments("nearest", args, count, keywords, names, 2, 2, given);
        const auto query = array_argument<float>(given[0], "query", "fiub");
        const auto matrix = array_argument<float>(given[1], "matrix", "fiub");
        const std::size_t width = vector_size(query, "query");
        if (matrix.rank != 2 || matrix.shape[0] == 0 || static_cast<std::size_t>(matrix.shape[1]) != width) {
            raise(PyExc_ValueError, "matrix has shape " + shape_text(matrix.shape, matrix.rank) +
                                        "; (rows >= 1, " + std::to_string(width) + ") is needed");
        }
        const auto rows = static_cast<std::size_t>(matrix.shape[0]);
        simd::Nearest found;
        if (rows * width >= release_values) {
            const py::gil_scoped_release release;
            found = simd::nearest(query.data, matrix.data, rows, width);
        } else {
            found = simd::nearest(query.data, matrix.data, rows, width);
        }
        if (std::isnan(found.cosine)) {
            raise_unless_finite(query.data, width, "query", 0);
            raise_unless_finite(matrix.data, rows * width, "matrix", width);
        }
        return Py_BuildValue("(nd)", static_cast<Py_ssize_t>(found.index), found.cosine);
    });
}

std::size_t bins_argument(PyObject* object) {
    if (object == nullptr) return 64;
    const Py_ssize_t bins = PyNumber_AsSsize_t(object, PyExc_ValueError);
    if (bins == -1 && PyErr_Occurred()) throw py::error_already_set();
    if (bins < 1 || bins > largest_bins) {
        raise(PyExc_ValueError,
              "bins is " + std::to_string(bins) + "; 1 to " + std::to_string(largest_bins) + " is possible");
    }
    return static_cast<std::size_t>(bins);
}

std::uint64_t seed_argument(PyObject* object) {
    if (object == nullptr) return 0;
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(object));
    if (!index) throw py::error_already_set();
    const unsigned long long seed = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred()) {
        PyErr_Clear();
        raise(PyExc_ValueError,
              "seed is " + py::str(index).cast<std::string>() + "; 0 to 2**64 - 1 is possible");
    }
    return seed;
}

PyObject* py_minhash(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded([&] {
        static constexpr const char* names[] = {"text", "bins", "words", "seed"};
        static thread_local track::TextScratch scratch;
        PyObject* given[4];
        take_arguments("minhash", args, count, keywords, names, 1, 4, given);
        Ref owner;
        const std::string_view text = text_argument(given[0], owner);
        const std::size_t bins = bins_argument(given[1]);
        const int words = given[2] == nullptr ? 0 : PyObject_IsTrue(given[2]);
        if (words < 0) throw py::error_already_set();
        const std::uint64_t seed = seed_argument(given[3]);
        py::array_t<std::uint64_t> out(static_cast<py::ssize_t>(bins));
        track::minhash(text, seed, words != 0, scratch, {out.mutable_data(), bins});
        return out.release().ptr();
    });
}

PyObject* py_jaccard(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded([&] {
        static constexpr const char* names[] = {"a", "b"};
        PyObject* given[2];
        take_arguments("jaccard", args, count, keywords, names, 2, 2, given);
        const auto a = array_argument<std::uint64_t>(given[0], "a", "iu");
        const auto b = array_argument<std::uint64_t>(given[1], "b", "iu");
        const std::size_t size = same_size(a, b);
        std::size_t equal = 0;
        for (std::size_t i = 0; i < size; ++i) equal += a.data[i] == b.data[i];
        return PyFloat_FromDouble(static_cast<double>(equal) / static_cast<double>(size));
    });
}

constexpr const char* cosine_doc = R"(cosine($module, a, b)
--

Cosine of the angle between two vectors of equal length, in [-1, 1]; 0.0 when one of them is zero.

a, b: shape (d,), d >= 1. float32 C-contiguous arrays are used as they are, other real numbers converted to float32.
Raises ValueError for another shape or a value that is not finite, TypeError for what is not numbers.)";

constexpr const char* nearest_doc = R"(nearest($module, query, matrix)
--

The row of a matrix with the largest cosine to a vector, as (index, cosine); the first of equal ones.

query: shape (d,), d >= 1. matrix: shape (n, d), n >= 1. float32 C-contiguous arrays are used as they are, other real
numbers converted to float32. A zero row never wins against another; when nothing has a direction the answer is
(0, 0.0). Raises ValueError for another shape or a value that is not finite, TypeError for what is not numbers.)";

constexpr const char* minhash_doc = R"(minhash($module, text, bins=64, words=False, seed=0)
--

One-permutation MinHash signature of a text: uint64 array of shape (bins,).

The text is normalised (NFKC, lower case, digits to 0, white space to single spaces, trimmed). Shingles are the windows
of 5 code points with one space added at each end, or with words=True of 5 words; a shorter text is one shingle. Each
gives h = xxh3-64(its UTF-8, seed), bin (h >> 8) mod bins and rank h >> 14; a bin keeps its least rank. An empty bin
copies the first bin of the sequence xxh3-64(bin + bins * a) mod bins, a = 1, 2, ..., that a shingle filled
(one-permutation hashing: Li, Owen, Zhang 2012; densification: Shrivastava 2017).

text: str or bytes; invalid UTF-8 and lone surrogates read as U+FFFD. bins: 1 to 1,048,576. seed: 0 to 2**64 - 1;
signatures compare within one seed. The share of equal bins (`jaccard`) estimates the Jaccard similarity of the sets of
shingles with a standard deviation of at most 0.5 / sqrt(bins). Raises TypeError and ValueError with the offending
value.)";

constexpr const char* jaccard_doc = R"(jaccard($module, a, b)
--

Share of equal bins of two signatures: the estimate of the Jaccard similarity of their texts, in [0, 1].

a, b: integer arrays of equal shape (bins,), made with the same bins, words and seed. Raises ValueError for other shapes,
TypeError for what is not integers.)";

using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

PyMethodDef entry(const char* name, FastFunction function, const char* doc) {
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
            METH_FASTCALL | METH_KEYWORDS, doc};
}

// --- for tests -----------------------------------------------------------------------------------

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// One model's references, and a history per principal: a stream goes through them as it goes through the
// engine.
class SimilarityReplay {
  public:
    SimilarityReplay(std::uint64_t seed, double window, std::optional<float> center,
                     std::optional<float> inverse)
        : seed_(seed), window_(window), declared_(inverse.has_value()) {
        scale_.center = center.value_or(0.0f);
        scale_.inverse = inverse.value_or(1.0f);
        scale_.epoch = declared_ ? track::first_declared_epoch : 0;
    }

    py::dict text(const std::string& principal, const std::string& text, double now) {
        track::Sketch sketch;
        track::sketch_text(text, seed_, scratch_, sketch);
        return step(principal, sketch, now);
    }
    py::dict dense(const std::string& principal, const FloatArray& x, double now) {
        const auto width = static_cast<std::size_t>(x.size());
        track::Sketch sketch;
        track::sketch_dense(x.data(), width, declared_ ? scale_ : references_->learned_scale(width), seed_,
                            sketch);
        py::dict result = step(principal, sketch, now);
        if (!declared_) references_->learn_scale(x.data(), width, tag(principal), seed_, *sample_);
        return result;
    }
    py::dict references() const {
        py::dict result;
        result["samples"] = references_->samples();
        result["calibrated"] = references_->calibrated();
        result["q01"] = references_->q01();
        result["median"] = references_->median();
        result["epoch"] = references_->learned_scale(0).epoch;
        return result;
    }
    std::vector<float> learned(std::size_t width, bool centers) const {
        const track::Scale scale = references_->learned_scale(width);
        const float* values = centers ? scale.centers : scale.inverses;
        if (values == nullptr) return {centers ? scale.center : scale.inverse};
        return {values, values + width};
    }
    static std::uint64_t tag(const std::string& principal) {
        return base::hash64(principal.data(), principal.size(), 0) | 1;
    }

  private:
    py::dict step(const std::string& principal, const track::Sketch& sketch, double now) {
        std::unique_ptr<track::HotSlab>& slab = slabs_[principal];
        if (!slab) {
            slab = std::make_unique<track::HotSlab>();
            slab->reset(tag(principal));
        }
        track::Head head;
        const track::Wanted wanted{.lines = true, .sparse = true};
        const track::Observation o = slab->observe(sketch, *references_, now, wanted, &head);
        const track::WindowSummary summary = slab->summary(now, window_, &o);
        const track::Location where = references_->locate(sketch);
        slab->commit(sketch, o, now, slab->take_tickets(1), &head);
        references_->update(sketch, tag(principal), now);
        py::dict result;
        result["distance"] = o.distance;
        result["survival"] = o.survival;
        result["near"] = o.near;
        result["duplicate"] = o.duplicate;
        result["calibrated"] = o.calibrated;
        result["entries"] = o.entries;
        result["score"] = summary.similarity_score;
        result["near_ratio"] = summary.near_ratio;
        result["duplicate_ratio"] = summary.duplicate_ratio;
        result["rank"] = where.known ? where.rank : track::no_place;
        result["far"] = where.far;
        return result;
    }

    std::uint64_t seed_;
    double window_;
    bool declared_;
    track::Scale scale_;
    track::TextScratch scratch_;
    std::unique_ptr<track::ModelReferences> references_ = std::make_unique<track::ModelReferences>();
    std::unique_ptr<track::ScaleSample> sample_ = std::make_unique<track::ScaleSample>();
    std::map<std::string, std::unique_ptr<track::HotSlab>> slabs_;
};

py::tuple linear_sketch(const FloatArray& x, std::uint64_t seed, float center, float inverse) {
    track::Scale scale;
    scale.center = center;
    scale.inverse = inverse;
    track::Sketch sketch;
    if (x.ndim() == 3) {
        track::sketch_image(x.data(), static_cast<std::size_t>(x.shape(0)),
                            static_cast<std::size_t>(x.shape(1)), static_cast<std::size_t>(x.shape(2)), scale,
                            seed, sketch);
    } else {
        track::sketch_dense(x.data(), static_cast<std::size_t>(x.size()), scale, seed, sketch);
    }
    return py::make_tuple(py::array_t<float>(64, sketch.linear), sketch.width, sketch.digest.low,
                          sketch.digest.high);
}

py::tuple text_sketch(const py::bytes& text, std::uint64_t seed) {
    track::TextScratch scratch;
    track::Sketch sketch;
    track::sketch_text(std::string_view(text), seed, scratch, sketch);
    return py::make_tuple(py::array_t<float>(64, sketch.linear),
                          py::array_t<std::uint8_t>(64, sketch.minhash), sketch.shingles, sketch.digest.low,
                          sketch.digest.high);
}

void bind_testing(py::module_& m) {
    py::class_<SimilarityReplay>(m, "testing_similarity")
        .def(py::init<std::uint64_t, double, std::optional<float>, std::optional<float>>(), py::arg("seed"),
             py::arg("window"), py::arg("center") = py::none(), py::arg("inverse") = py::none())
        .def("text", &SimilarityReplay::text)
        .def("dense", &SimilarityReplay::dense)
        .def("references", &SimilarityReplay::references)
        .def("learned", &SimilarityReplay::learned)
        .def_static("tag", &SimilarityReplay::tag)
        .def_static("normalise",
                    [](const py::bytes& text) { return py::bytes(text::normalise(std::string_view(text))); })
        .def_static("unicode_version", [] { return text::tables::unicode_version; })
        .def_static("linear", &linear_sketch, py::arg("x"), py::arg("seed"), py::arg("center") = 0.0f,
                    py::arg("inverse") = 1.0f)
        .def_static("text_sketch", &text_sketch)
        .def_static("active_target", &simd::active_target)
        .def_static("targets",
                    [] {
                        std::map<std::string, std::int64_t> named;
                        for (const std::int64_t t : simd::available_targets())
                            named[simd::target_name(t)] = t;
                        return named;
                    })
        .def_static("force_target", &simd::force_target_for_test);
}

}  // namespace

void bind_similarity(py::module_& m) {
    static PyMethodDef functions[] = {
        entry("cosine", py_cosine, cosine_doc), entry("nearest", py_nearest, nearest_doc),
        entry("minhash", py_minhash, minhash_doc), entry("jaccard", py_jaccard, jaccard_doc), PyMethodDef{}};
    if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
    bind_testing(m);
}

}  // namespace atlascore::bindings
