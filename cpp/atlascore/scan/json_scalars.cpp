#include "atlascore/scan/json_scalars.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>

#include "atlascore/scan/line_source.hpp"
#include "atlascore/text/unicode.hpp"

namespace atlascore::scan {
namespace {

using event::Value;
using event::ValueKind;
using simdjson::ondemand::json_type;

static_assert(LineSource::padding >= simdjson::SIMDJSON_PADDING);

// "-"? digits without a leading zero: what JSON calls a number and no 64-bit integer may hold.
bool is_integer(std::string_view token) noexcept {
    if (token.starts_with('-')) {
        token.remove_prefix(1);
    }
    return !token.empty() && (token[0] != '0' || token.size() == 1) &&
           std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// A JSON number with a fraction or an exponent.
bool is_real(std::string_view token) noexcept {
    const std::size_t mantissa = token.find_first_of(".eE");
    if (mantissa == std::string_view::npos || !is_integer(token.substr(0, mantissa))) {
        return false;
    }
    token.remove_prefix(mantissa);
    const auto digits = [&token] {
        const std::size_t size = std::min(token.find_first_not_of("0123456789"), token.size());
        token.remove_prefix(size);
        return size != 0;
    };
    if (token[0] == '.') {
        token.remove_prefix(1);
        if (!digits()) {
            return false;
        }
    }
    if (!token.empty() && (token[0] == 'e' || token[0] == 'E')) {
        token.remove_prefix(1);
        if (!token.empty() && (token[0] == '+' || token[0] == '-')) {
            token.remove_prefix(1);
        }
        return digits() && token.empty();
    }
    return token.empty();
}

// Bytes before the first quote or backslash at or after `from`. There is one; seven bytes behind it can be
// read. Eight bytes a step: keys have all lengths, and a loop over bytes would mispredict its end each time.
std::size_t special_offset(const char* from) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (const char* at = from;; at += 8) {
        std::uint64_t bytes;
        std::memcpy(&bytes, at, 8);
        const std::uint64_t quote = bytes ^ ones * '"', escape = bytes ^ ones * '\\';
        // The lowest marked byte is right; carries can mark bytes above it.
        const std::uint64_t marks = (((quote - ones) & ~quote) | ((escape - ones) & ~escape)) & highs;
        if (marks != 0) {
            return static_cast<std::size_t>(at - from) +
                   static_cast<std::size_t>(std::countr_zero(marks)) / 8;
        }
    }
}

// Replaces what is not UTF-8 in `line`; at most three bytes come from one.
void clean(std::string_view line, std::string& out) {
    out.resize(line.size() * 3 + LineSource::padding);
    char* to = out.data();
    for (const char *at = line.data(), *end = at + line.size(); at != end;) {
        to = text::encode_utf8(text::decode_utf8(at, end), to);
    }
    out.resize(static_cast<std::size_t>(to - out.data()));
}

int hex4(const char* at) noexcept {
    int value = 0;
    const auto [end, error] = std::from_chars(at, at + 4, value, 16);
    return error == std::errc() && end == at + 4 && *at != '-' ? value : -1;
}

// The UTF-16 escape at `at`, behind "\u", and the low half that may follow it. Returns the code point, with
// U+FFFD for a surrogate without its other half, and moves `at` behind what was read; -1 when it is no
// escape.
std::int32_t utf16_escape(const char*& at, const char* end) noexcept {
    const int unit = end - at >= 4 ? hex4(at) : -1;
    at += 4;
    if (unit >= 0xD800 && unit < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        const int low = hex4(at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            at += 6;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return unit >= 0xD800 && unit < 0xE000 ? static_cast<std::int32_t>(text::replacement_character) : unit;
}

}  // namespace

simdjson::error_code JsonScalars::token(JsonValue& value, std::string_view& to) {
    to = value.raw_json_token();
    to = to.substr(0, to.find_last_not_of(" \t\r\n") + 1);
    return to.empty() ? simdjson::TAPE_ERROR : simdjson::SUCCESS;
}

// Starts to read the line as an object. One that is not UTF-8 is replaced by its cleaned copy.
bool JsonScalars::open(std::string_view line, Document& document, Object& object) {
    make_room(line.size());
    text_ = line;
    auto error = parser_.iterate(line.data(), line.size(), line.size() + LineSource::padding).get(document);
    if (error == simdjson::UTF8_ERROR) {
        clean(line, cleaned_);
        text_ = line = cleaned_;
        error = parser_.iterate(line.data(), line.size(), line.size() + LineSource::padding).get(document);
    }
    if (!error) {
        error = document.get_object().get(object);
    }
    return !error || fail(error);
}

// A scalar; false, without a reason, for an object or array.
bool JsonScalars::plain(JsonValue& value, Value& to) {
    json_type type;
    return !value.type().get(type) && type != json_type::object && type != json_type::array &&
           scalar(value, type, to);
}

bool JsonScalars::scalar(JsonValue& value, json_type type, Value& to) {
    switch (type) {
        case json_type::string: {
            std::string_view text;
            if (!string(value, text)) {
                return false;
            }
            to = Value::of_text(text);
            return true;
        }
        case json_type::number:
            return number(value, to);
        case json_type::boolean: {
            bool boolean;
            if (const auto error = value.get_bool().get(boolean)) {
                return fail(error);
            }
            to = Value::of_bool(boolean);
            return true;
        }
        default: {
            bool null;
            if (const auto error = value.is_null().get(null); error || !null) {
                return fail(error ? error : simdjson::N_ATOM_ERROR);
            }
            to = Value::of_null();
            return true;
        }
    }
}

bool JsonScalars::number(JsonValue& value, Value& to) {
    simdjson::ondemand::number number;
    const auto error = value.get_number().get(number);
    if (error) {
        std::string_view digits;
        if (token(value, digits) || (!is_integer(digits) && !is_real(digits))) {
            return fail(error);
        }
        to = Value::of_text(digits);
    } else if (number.is_int64()) {
        to = Value::of_int(number.get_int64());
    } else if (number.is_uint64()) {
        to.kind = ValueKind::uint64;
        to.uint64 = number.get_uint64();
    } else {
        to = Value::of_real(number.get_double());
    }
    return true;
}

// The string in place, when it has no escapes. Only space can stand between its closing quote and the next
// token, so that the quote is found from behind.
bool JsonScalars::string(JsonValue& value, std::string_view& to) {
    std::string_view quoted = value.raw_json_token();
    simdjson::ondemand::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) {
        return fail(error);
    }
    while (quoted.size() > 1 && quoted.back() != '"') {
        quoted.remove_suffix(1);
    }
    if (quoted.size() < 2) {
        return fail(simdjson::STRING_ERROR);
    }
    to = quoted.substr(1, quoted.size() - 2);
    const void* escape = std::memchr(to.data(), '\\', to.size());
    return escape == nullptr || unescape(to.data(), static_cast<const char*>(escape), to);
}

bool JsonScalars::key(const char* from, std::string_view& to) {
    const char* at = from + special_offset(from);
    if (*at == '\\') {
        return unescape(from, at, to);
    }
    to = {from, static_cast<std::size_t>(at - from)};
    return true;
}

// The string that begins at `from` and has its first escape at `at`. The parser has made sure that it ends.
bool JsonScalars::unescape(const char* from, const char* at, std::string_view& to) {
    char* const start = free_;
    free_ = std::copy(from, at, free_);
    while (*at != '"') {
        if (*at != '\\') {
            *free_++ = *at++;
            continue;
        }
        constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const char letter = at[1];
        at += 2;
        if (letter == 'u') {
            const std::int32_t code = utf16_escape(at, text_.data() + text_.size());
            if (code < 0) {
                return fail(simdjson::STRING_ERROR);
            }
            free_ = text::encode_utf8(static_cast<char32_t>(code), free_);
        } else if (const std::size_t i = letters.find(letter); i != std::string_view::npos) {
            *free_++ = meanings[i];
        } else {
            return fail(simdjson::STRING_ERROR);
        }
    }
    to = {start, static_cast<std::size_t>(free_ - start)};
    return true;
}

// Strings with escapes are written here; cleaning can triple a line before.
void JsonScalars::make_room(std::size_t line_size) {
    const std::size_t room = line_size * 3 + LineSource::padding;
    if (strings_.size() < room) {
        strings_.resize(room);
    }
    free_ = strings_.data();
}

bool JsonScalars::fail(simdjson::error_code error) {
    reason_ = simdjson::error_message(error);
    return false;
}

bool JsonScalars::fail(std::string_view path, std::string_view reason) {
    reason_ = path;
    reason_ += path.empty() ? "" : ": ";
    reason_ += reason;
    return false;
}

}  // namespace atlascore::scan
