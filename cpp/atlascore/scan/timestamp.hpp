// RFC 3339 timestamps.
#pragma once

#include <optional>
#include <string_view>

namespace atlascore::scan {

// Seconds since 1970-01-01 UTC of "2026-09-01T12:00:00.25+02:00". As RFC 3339 allows, T may be a space or
// small, Z small, and a leap second counts as the second after it. Nothing when `text` is no timestamp.
std::optional<double> parse_timestamp(std::string_view text) noexcept;

}  // namespace atlascore::scan
