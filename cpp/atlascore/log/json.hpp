// Canonical JSON (RFC 8785) for entries: members in byte order of their ASCII names, integers up to 2^53 - 1,
// reals as strings of the shortest decimal that reads back to the same double, no white space. The caller
// writes members in order; this file writes values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace atlascore::log {

// The members of one object: name -> value as JSON. A std::map keeps the canonical order.
using Members = std::map<std::string, std::string>;

// UTF-8 with every ill-formed sequence replaced by U+FFFD (one for each maximal subpart, as Unicode
// recommends), cut to at most `limit` bytes at a code-point border.
std::string clean_utf8(std::string_view raw, std::size_t limit);

// `text`, which is well-formed UTF-8, as a JSON string with quotes.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

void append_integer(std::string& out, std::int64_t value);
void append_hex(std::string& out, const std::uint8_t* bytes, std::size_t size);
void append_hex64(std::string& out, std::uint64_t value);

// A real as a decimal string without quotes; `value` is finite.
void append_real(std::string& out, double value);

void append_object(std::string& out, const Members& members);

}  // namespace atlascore::log
