// Text as rules compare it: UTF-8, case folded code point by code point (Unicode simple folding, C and S;
// sigma.md V2). The length in bytes may change: U+212A (three bytes) folds to "k". There is no full folding
// ("ß" is not "ss") and no normalisation. Ill-formed sequences read as U+FFFD (V13).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace atlascore::rule {

char32_t fold(char32_t code_point) noexcept;

// The code point at `p`, which moves past it; U+FFFD for the longest ill-formed part. `p` is not `end`.
char32_t next_code_point(const char*& p, const char* end) noexcept;

// Writes the folded text to [out, out + capacity). Returns its length, or nothing when it does not fit.
std::optional<std::size_t> fold_into(std::string_view text, char* out, std::size_t capacity) noexcept;

// The same without folding: copies the text with ill-formed sequences replaced.
std::optional<std::size_t> repair_into(std::string_view text, char* out, std::size_t capacity) noexcept;

bool is_well_formed(std::string_view text) noexcept;

std::string folded(std::string_view text);
void append_utf8(char32_t code_point, std::string& out);

}  // namespace atlascore::rule
