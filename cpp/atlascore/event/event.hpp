// One query with all that is known about it. Adapters and readers build this; nothing below it knows where an
// event came from. Texts are views: whoever builds the event owns the bytes until decide() returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "atlascore/base/hash.hpp"

namespace atlascore::event {

enum class ValueKind : std::uint8_t { missing, null, boolean, int64, uint64, real, text, array };

// The value of one event field. A missing field and an explicit null are different things (sigma.md V7, V8).
struct Value {
    ValueKind kind = ValueKind::missing;
    std::uint32_t size = 0;  // bytes of a text, items of an array
    union {
        bool boolean;
        std::int64_t int64;
        std::uint64_t uint64 = 0;
        double real;
        const char* text;
        const Value* items;
    };

    static Value of_text(std::string_view s) noexcept {
        Value v;
        v.kind = ValueKind::text;
        v.size = static_cast<std::uint32_t>(s.size());
        v.text = s.data();
        return v;
    }
    static Value of_real(double d) noexcept {
        Value v;
        v.kind = ValueKind::real;
        v.real = d;
        return v;
    }
    static Value of_int(std::int64_t i) noexcept {
        Value v;
        v.kind = ValueKind::int64;
        v.int64 = i;
        return v;
    }
    static Value of_bool(bool b) noexcept {
        Value v;
        v.kind = ValueKind::boolean;
        v.boolean = b;
        return v;
    }
    static Value of_null() noexcept {
        Value v;
        v.kind = ValueKind::null;
        return v;
    }
    std::string_view as_text() const noexcept { return {text, size}; }
};

// What the query carried to the model.
enum class InputKind : std::uint8_t {
    none,    // nothing known
    text,    // UTF-8, any bytes accepted
    vector,  // float32
    image,   // float32, channels last
    row,     // one mixed table row: numbers and categories
    digest,  // only the exact digest is known (encoded images, audio)
};

// A categorical value, or a missing one: where it stands, and a hash of its bytes.
struct Category {
    std::uint32_t row = 0;
    std::uint32_t column = 0;
    std::uint64_t value = 0;
};

// A batch of N inputs in one call is N queries: `rows` is N, and the values lie one input after the other.
struct Input {
    InputKind kind = InputKind::none;
    std::string_view text;                    // of a batch: all of them, one a line
    std::span<const std::string_view> texts;  // of a batch
    const float* values = nullptr;            // vector, image, row: `rows` times `width` floats, C order
    std::size_t rows = 1;
    std::size_t width = 0;     // values per input; for a row its columns, categorical ones hold 0
    std::uint32_t height = 0;  // image: height x columns x channels = width
    std::uint32_t columns = 0;
    std::uint32_t channels = 0;
    std::span<const Category> categories;  // rows, ascending by row
    base::Digest128 digest;
};

}  // namespace atlascore::event
