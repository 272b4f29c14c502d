// Sigma text values: `*` is any run of characters, `?` exactly one code point, and a backslash takes away the
// meaning of a wildcard or of itself (sigma.md V3, V4). Matching is on the whole value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace atlascore::rule {

struct Pattern {
    // Where the literal has to be; patterns that are more than one literal are globs.
    enum class Shape : std::uint8_t { exact, prefix, suffix, substring, anything, glob };

    Shape shape = Shape::exact;
    std::string literal;  // UTF-8; empty for a glob
    std::u32string glob;  // every pattern as code points and the two wildcards below
};

inline constexpr char32_t any_run = 0x110000;
inline constexpr char32_t any_one = 0x110001;

// `open_start` and `open_end` put a `*` before and after, as `endswith`, `startswith` and `contains` do. The
// pattern is folded unless it is cased.
Pattern parse_pattern(std::string_view text, bool open_start, bool open_end, bool cased);

// Whether the glob matches the text, folding the text's code points on the way if asked. Time is at most
// |text| x |glob|, whatever the text is.
bool glob_matches(std::u32string_view glob, std::string_view text, bool fold_text) noexcept;

}  // namespace atlascore::rule
