// Arrays of numbers, nested or not, as tensors: the inputs of models, in the lines of a log and in the bodies
// of requests.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "atlascore/scan/scan_event.hpp"

namespace atlascore::scan {

// Reads numbers, or arrays of numbers of one length. Null, or what is wrong with the array.
template <class Number>
const char* read_tensor(simdjson::ondemand::array& array, Tensor<Number>& to);

// Reads JSON texts that are one such array.
class JsonTensorReader {
  public:
    // The numbers, rounded to float; valid until the next call. Null when `json` is anything else, or an
    // array without numbers.
    const Tensor<float>* read(std::string_view json);

  private:
    bool parse(std::string_view json);

    simdjson::ondemand::parser parser_;
    std::vector<char> padded_;
    Tensor<float> tensor_;
};

}  // namespace atlascore::scan
