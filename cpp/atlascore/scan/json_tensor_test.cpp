#include "atlascore/scan/json_tensor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace atlascore;

namespace {

struct Reader {
    scan::JsonTensorReader reader;

    bool reads(std::string_view json, std::vector<std::size_t> shape, const std::vector<float>& values) {
        const auto* tensor = reader.read(json);
        return tensor != nullptr && tensor->rank == shape.size() &&
               std::equal(shape.begin(), shape.end(), tensor->shape.begin()) && tensor->values == values;
    }
    bool refuses(std::string_view json) { return reader.read(json) == nullptr; }
};

}  // namespace

TEST_CASE_FIXTURE(Reader, "nested arrays keep their shape") {
    CHECK(reads("[1, 2.5, -3e2]", {3}, {1, 2.5f, -300}));
    CHECK(reads(" [[1,2],[3,4],[5,6]] ", {3, 2}, {1, 2, 3, 4, 5, 6}));
    CHECK(reads("[[[[1],[2]]]]", {1, 1, 2, 1}, {1, 2}));
}

TEST_CASE_FIXTURE(Reader, "numbers are rounded to float, and what is too large becomes infinite") {
    CHECK(reads("[0.1, 16777217, 1e39]", {3}, {0.1f, 16777216, std::numeric_limits<float>::infinity()}));
}

TEST_CASE_FIXTURE(Reader, "anything else is refused, and the reader can go on") {
    for (const char* json : {"",         "1",           "null",
                             "{}",       "[]",          "[[]]",
                             "[1,]",     "[1",          "[1] 2",
                             "[1,[2]]",  "[[1],2]",     "[[1],[2,3]]",
                             "[true]",   "[null]",      "[\"1\"]",
                             "[NaN]",    "[{\"a\":1}]", "[[[[[1]]]]]",
                             "[[],1]",   "[[[]],[1]]",  "[[[],[]],[1,2]]",
                             "[[[]],1]", "[[],[],1]"}) {
        CAPTURE(json);
        CHECK(refuses(json));
    }
    CHECK(reads("[7]", {1}, {7}));
}

TEST_CASE_FIXTURE(Reader, "long arrays after short ones") {
    std::string json = "[0";
    std::vector<float> values{0};
    for (int i = 1; i < 5'000; ++i) {
        json += "," + std::to_string(i);
        values.push_back(static_cast<float>(i));
    }
    CHECK(reads("[1]", {1}, {1}));
    CHECK(reads(json + "]", {5'000}, values));
}
