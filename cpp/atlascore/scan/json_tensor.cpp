#include "atlascore/scan/json_tensor.hpp"

#include <algorithm>

namespace atlascore::scan {
namespace {

using simdjson::ondemand::json_type;

constexpr std::size_t unknown_length = ~std::size_t{0};
constexpr const char* uneven = "expected numbers, or arrays of numbers of one length";

template <class Number>
const char* read_axis(simdjson::ondemand::array& array, Tensor<Number>& to, std::size_t axis) {
    std::size_t length = 0;
    for (auto result : array) {
        ++length;
        json_type type;
        if (const auto error = result.type().get(type)) {
            return simdjson::error_message(error);
        }
        simdjson::ondemand::value&& element = std::move(result).value_unsafe();
        if (type == json_type::array && axis + 1 < Tensor<Number>::max_rank &&
            (to.rank == 0 || to.rank > axis + 1)) {
            simdjson::ondemand::array inner;
            if (const auto error = element.get_array().get(inner)) {
                return simdjson::error_message(error);
            }
            if (const char* wrong = read_axis(inner, to, axis + 1)) {
                return wrong;
            }
            continue;
        }
        double number;
        if (type != json_type::number || element.get_double().get(number)) {
            return uneven;
        }
        if (to.rank == 0) {
            // Deeper arrays before the first number were empty: they hold nothing that the shape could count.
            if (axis + 1 < Tensor<Number>::max_rank && to.shape[axis + 1] != unknown_length) {
                return uneven;
            }
            to.rank = axis + 1;
        }
        if (to.rank != axis + 1) {
            return uneven;
        }
        to.values.push_back(static_cast<Number>(number));
    }
    if (to.shape[axis] != unknown_length && to.shape[axis] != length) {
        return "the arrays have different lengths";
    }
    to.shape[axis] = length;
    return nullptr;
}

}  // namespace

template <class Number>
const char* read_tensor(simdjson::ondemand::array& array, Tensor<Number>& to) {
    to.values.clear();
    to.shape.fill(unknown_length);
    to.rank = 0;
    const char* wrong = read_axis(array, to, 0);
    return wrong == nullptr && to.rank == 0 ? "the array is empty" : wrong;
}

template const char* read_tensor(simdjson::ondemand::array& array, Tensor<float>& to);
template const char* read_tensor(simdjson::ondemand::array& array, Tensor<double>& to);

const Tensor<float>* JsonTensorReader::read(std::string_view json) {
    padded_.resize(std::max(padded_.size(), json.size() + simdjson::SIMDJSON_PADDING));
    std::copy(json.begin(), json.end(), padded_.begin());
    return parse({padded_.data(), json.size()}) ? &tensor_ : nullptr;
}

bool JsonTensorReader::parse(std::string_view json) {
    simdjson::ondemand::document document;
    simdjson::ondemand::array array;
    return !parser_.iterate(json.data(), json.size(), padded_.size()).get(document) &&
           !document.get_array().get(array) && read_tensor(array, tensor_) == nullptr &&
           document.current_location().error();  // nothing behind the array
}

}  // namespace atlascore::scan
