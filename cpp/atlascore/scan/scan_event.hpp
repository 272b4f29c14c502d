// One line of a log, decoded: what Engine::decide and Engine::record take, before it is bound to a route.
// Views point into the reader and are valid until its next call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "atlascore/event/event.hpp"

namespace atlascore::scan {

// Numbers in nested arrays of equal lengths, in C order. Rank 0: absent.
template <class Number>
struct Tensor {
    static constexpr std::size_t max_rank = 4;  // a batch of images with channels

    std::vector<Number> values;
    std::array<std::size_t, max_rank> shape{};
    std::size_t rank = 0;
};

// A cell of a table row. The name is empty when the line gives the row as a list.
struct Cell {
    std::uint32_t row;
    std::string_view name;
    event::Value value;
};

struct Response {
    bool present = false;
    event::Value label;  // an array for a batch
    Tensor<double> scores;
    bool has_text = false;
    std::string_view text;
    double cost = -1;  // negative: unknown
    std::int64_t status = 200;
};

struct ScanEvent {
    std::uint64_t line = 0;  // 1-based
    double time = 0;         // seconds since 1970
    bool late = false;       // an event with a later time came out before
    std::string_view principal;
    std::string_view model;
    std::string_view method;
    std::string_view endpoint;
    std::string_view session;
    std::string_view request_id;
    bool has_text = false;
    std::string_view text;
    std::vector<std::string_view> texts;  // a batch; `text` is then all of them, one a line
    std::string joined;                   // what `text` refers to for a batch
    Tensor<float> vector;                 // rank 2: a batch
    Tensor<float> image;                  // rows, columns[, channels]; rank 4: a batch
    std::vector<Cell> row;
    std::uint32_t rows = 0;  // rows that `row` holds
    bool has_digest = false;
    std::string_view digest;
    double cost = 0;
    Response response;
    std::span<const event::Value> fields;  // one per wanted field
};

}  // namespace atlascore::scan
