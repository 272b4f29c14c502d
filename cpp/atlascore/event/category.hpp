// One hash for a category's value, however it was written: 5 and 5.0 are the same category, true is not 1.
#pragma once

#include <charconv>

#include "atlascore/event/event.hpp"

namespace atlascore::event {

inline bool is_number(const Value& value) noexcept {
    return value.kind == ValueKind::int64 || value.kind == ValueKind::uint64 || value.kind == ValueKind::real;
}

// NaN for what is no number.
inline double number_of(const Value& value) noexcept {
    switch (value.kind) {
        case ValueKind::int64:
            return static_cast<double>(value.int64);
        case ValueKind::uint64:
            return static_cast<double>(value.uint64);
        case ValueKind::real:
            return value.real;
        default:
            return __builtin_nan("");
    }
}

inline std::uint64_t category_hash(const Value& value) noexcept {
    constexpr std::uint64_t missing = 0x6d697373696e67, texts = 0, numbers = 1, booleans = 2;
    if (value.kind == ValueKind::text) return base::hash64(value.as_text(), texts);
    if (value.kind == ValueKind::boolean) return base::hash64(value.boolean ? "1" : "0", booleans);
    if (!is_number(value)) return missing;
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, number_of(value)).ptr;
    return base::hash64({digits, static_cast<std::size_t>(end - digits)}, numbers);
}

}  // namespace atlascore::event
