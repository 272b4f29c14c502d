// JSON with repeated keys as Python's json reads it: the last value of a key counts, at the place of the
// first.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace atlascore::scan {

// Reads the key that begins at `from`, behind its quote; false when it is bad.
using ReadKey = std::function<bool(const char* from, std::string_view& key)>;

// Writes `json`, an object, to `out` with each key once, and so for every object in it. False when it is not
// well-formed. Slow: for the rare line that repeats a key which is read.
bool keep_last(std::string_view json, const ReadKey& read_key, std::string& out);

}  // namespace atlascore::scan
