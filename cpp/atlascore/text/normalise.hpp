// Text normalisation for similarity: NFKC, lower case, ASCII digits to '0', runs of white space to one space,
// trimmed.
//
// Any bytes are accepted: a maximal bad UTF-8 sequence reads as U+FFFD. The result is a function of the text
// alone, however it is cut into pieces. Three definitions where the standard leaves a choice:
//   - lower case goes code point by code point: sigma is the same at the end of a word;
//   - white space is what Python's str.isspace() says, which adds U+001C to U+001F to the Unicode property;
//   - a run of more than 64 combining marks is ordered and composed 64 at a time, which keeps the work linear
//     and the memory fixed (the Unicode stream-safe format allows 30).
//
// ASCII costs about 0.06 ns a byte, other lower-case letters 3 ns each, the rest 10 ns a code point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace atlascore::text {

// Produces the normalised text piece by piece into buffers of the caller, without allocation.
class Normaliser {
  public:
    static constexpr std::size_t minimum_capacity = 2048;

    // A view: the text must stay until the last piece.
    explicit Normaliser(std::string_view text) noexcept : at_(text.data()), end_(text.data() + text.size()) {}

    // Writes the next piece, at most `capacity` bytes (at least `minimum_capacity`), whole code points.
    // Returns its size; 0 says that there is no more.
    std::size_t next(char* out, std::size_t capacity) noexcept;
    // After a piece: true when it was the last one for sure (a later one may still turn out empty).
    bool exhausted() const noexcept { return at_ == end_; }

  private:
    static constexpr std::size_t sequence_bound = 64;

    // Those that write take the place to write to and return the one behind.
    char* take_ascii(char* out, char* limit) noexcept;
    char* take_plain(char* out, char* limit) noexcept;
    char* take(char32_t code, char* out) noexcept;
    char* add(char32_t code, std::uint8_t classes, char* out) noexcept;
    char* flush(char* out) noexcept;
    char* emit(char32_t code, char* out) noexcept;
    void hold(char32_t starter) noexcept;
    void compose_sequence() noexcept;

    const char* at_;
    const char* end_;
    bool after_space_ = true;     // also at the start: leading white space vanishes
    bool pending_space_ = false;  // the last piece ended in a space that a further code point makes real
    // One starter and its combining marks in canonical order; what may still compose with what follows.
    std::size_t length_ = 0;
    char32_t sequence_[sequence_bound + 1];
    std::uint8_t combining_[sequence_bound + 1];
};

// The whole normalised text.
std::string normalise(std::string_view text);

}  // namespace atlascore::text
