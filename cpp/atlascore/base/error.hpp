// Load-time errors. The hot path is noexcept and never throws; everything that parses, opens or compiles may.
#pragma once

#include <stdexcept>
#include <string>

namespace atlascore::base {

// Bad input: what is wrong and what to do, in one sentence for a person. Becomes ValueError in Python.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The operating system refused something (a file, shared memory). Becomes OSError in Python.
struct SystemError : std::runtime_error {
    SystemError(const std::string& what, int error_code) : std::runtime_error(what), code(error_code) {}
    int code;
};

}  // namespace atlascore::base
