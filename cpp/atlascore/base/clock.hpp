// Clocks. Both are vDSO reads: no system call on the hot path.
#pragma once

#include <ctime>

#include <cstdint>

namespace atlascore::base {

inline double wall_seconds() noexcept {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

inline std::int64_t wall_microseconds() noexcept {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1'000;
}

inline std::int64_t monotonic_nanoseconds() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace atlascore::base
