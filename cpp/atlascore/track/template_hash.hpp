// Template hash of a prompt: SimHash of its words with the parts masked that templates vary. Source:
// detection specification, section 2.3; SimHash after Charikar (2002).
//
// Masked are, each by one code point and in this order: code blocks, URLs, e-mail addresses, quoted spans,
// words above 40 characters, numbers. Every 3 words in a row are hashed and vote for each of 64 bits. Prompts
// that differ in masked parts alone have the same hash; two prompts share a template when their hashes differ
// in at most 3 bits. What is not masked counts: one sentence of ten made anew changes some ten bits.
//
// Templates whose changing part is plain text are found by what prompts of one caller have in common: of the
// 16 least gram hashes of a prompt and of the one before, those in both belong to the template, and the least
// of them are the same for every two prompts made from it, whoever sends them.
//
// Of a text longer than 32 KB the beginning counts. About 11 ns a word, 17 with the outline.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace atlascore::track {

inline constexpr std::size_t template_bytes = 32768;
inline constexpr unsigned template_distance = 3;

// The working memory of one thread, made before the hot path.
class TemplateScratch {
  public:
    TemplateScratch();
    char* masked() noexcept { return masked_.get(); }
    std::uint64_t* spaces() noexcept { return bits_.get(); }  // simd::word_bits of what is hashed
    std::uint64_t* special() noexcept { return bits_.get() + blocks; }

  private:
    static constexpr std::size_t blocks = template_bytes / 64 + 1;
    std::unique_ptr<char[]> masked_;
    std::unique_ptr<std::uint64_t[]> bits_;
};

// The least distinct hashes of a text's grams, ascending; what is left is all ones.
struct Outline {
    static constexpr std::size_t size = 16;
    std::array<std::uint64_t, size> grams;
};
// An outline's hashes by 16 bits each, 0 for none: what is kept of the prompt before.
using OutlineMarks = std::array<std::uint16_t, Outline::size>;
OutlineMarks marks_of(const Outline& outline) noexcept;

// The least three of the grams that two prompts share.
using SharedGrams = std::array<std::uint64_t, 3>;
// None when they share fewer than five.
std::optional<SharedGrams> shared_grams(const Outline& outline, const OutlineMarks& before) noexcept;
// The hash that stands for their template.
std::uint64_t template_hash(const SharedGrams& grams, std::uint64_t seed) noexcept;
// Whether the text with that outline can have been made from the template: two of the grams are in it, as now
// and then one is of what two prompts share by chance.
bool has_grams(const Outline& outline, const SharedGrams& grams) noexcept;

// `outline`: filled unless null.
std::uint64_t template_hash(std::string_view text, std::uint64_t seed, TemplateScratch& scratch,
                            Outline* outline = nullptr) noexcept;

}  // namespace atlascore::track
