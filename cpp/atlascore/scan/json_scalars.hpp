// The parts of a JSON line: opening it, and its keys and scalars as event values. Strings are views into the
// line; those with escapes are written to a buffer that is never longer than the line. simdjson finds the
// structure.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "atlascore/event/event.hpp"

namespace atlascore::scan {

class JsonScalars {
  public:
    using Document = simdjson::ondemand::document;
    using Object = simdjson::ondemand::object;
    using Array = simdjson::ondemand::array;
    using JsonField = simdjson::ondemand::field;
    using JsonValue = simdjson::ondemand::value;

    // Starts to read a line as an object; LineSource::padding bytes after it can be read. A line that is not
    // UTF-8 is read from a copy in which U+FFFD stands for what is not. Values of the line before are no
    // longer valid.
    bool open(std::string_view line, Document& document, Object& object);

    // A scalar, whose type the caller has asked for already: neither object nor array.
    bool scalar(JsonValue& value, simdjson::ondemand::json_type type, event::Value& to);
    // Any value, but false without a reason for an object or an array, which can then still be read.
    bool plain(JsonValue& value, event::Value& to);
    bool string(JsonValue& value, std::string_view& to);
    bool key(JsonField& field, std::string_view& to) { return key(field.key().raw(), to); }
    bool key(const char* raw, std::string_view& to);
    // The bytes of a scalar as written.
    static simdjson::error_code token(JsonValue& value, std::string_view& to);

    // What open() reads: the line or its copy.
    std::string_view text() const noexcept { return text_; }

    // Notes why the line is bad and returns false.
    bool fail(simdjson::error_code error);
    bool fail(std::string_view path, std::string_view reason);
    const std::string& reason() const noexcept { return reason_; }

  private:
    bool number(JsonValue& value, event::Value& to);
    bool unescape(const char* from, const char* at, std::string_view& to);
    void make_room(std::size_t line_size);

    simdjson::ondemand::parser parser_;
    std::string reason_;
    std::string cleaned_;        // a line that was not UTF-8
    std::vector<char> strings_;  // strings that had escapes
    char* free_ = nullptr;       // in strings_
    std::string_view text_;
};

}  // namespace atlascore::scan
