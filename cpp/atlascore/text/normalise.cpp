#include "atlascore/text/normalise.hpp"

#include <algorithm>
#include <array>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/text/unicode.hpp"

namespace atlascore::text {
namespace {

// No step writes more: a flushed sequence of 65 code points and a decomposition of 18, each up to 3 code points when
// lower-cased.
constexpr std::size_t step_bound = 1024;
// After a vector that the kernel refused, so many bytes go by hand before it is asked again.
constexpr std::size_t by_hand = 64;

constexpr std::array<char, 128> folded = [] {
    std::array<char, 128> table{};
    for (int c = 0; c < 128; ++c) {
        const bool white = (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= ' ');
        const bool upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
        table[static_cast<std::size_t>(c)] = static_cast<char>(white ? ' ' : upper ? c + 32 : digit ? '0' : c);
    }
    return table;
}();

bool ascii(char c) noexcept { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

std::size_t Normaliser::next(char* out, std::size_t capacity) noexcept {
    char* const limit = out + capacity - step_bound;
    out_ = out;
    if (pending_space_) *out_++ = ' ';
    while (at_ != end_ && out_ < limit) {
        if (ascii(*at_)) {
            flush();
            take_ascii(limit);
        } else {
            take(decode_utf8(at_, end_));
        }
    }
    if (at_ == end_) flush();
    pending_space_ = out_ != out && out_[-1] == ' ';
    const auto size = static_cast<std::size_t>(out_ - out) - pending_space_;
    // White space alone can fill no piece, so an empty one is the end.
    return size;
}

// A run of ASCII. Its last character stays back as the start of a sequence when something else follows, because marks
// may compose with it.
void Normaliser::take_ascii(char* limit) noexcept {
    while (at_ != end_ && ascii(*at_) && out_ < limit) {
        const auto room = static_cast<std::size_t>(std::min<std::ptrdiff_t>(end_ - at_, limit - out_));
        std::size_t done = simd::fold_ascii(at_, room, after_space_, out_);
        if (done != 0) {
            const bool follow = at_ + done != end_ && !ascii(at_[done]);
            done -= follow;
            at_ += done;
            out_ += done;
            if (done != 0) after_space_ = out_[-1] == ' ';
        }
        for (std::size_t i = 0; i < by_hand && at_ != end_ && ascii(*at_) && out_ < limit; ++i) {
            const char c = folded[static_cast<std::size_t>(*at_++)];
            if (at_ != end_ && !ascii(*at_)) {
                sequence_[0] = static_cast<char32_t>(at_[-1]);
                combining_[0] = 0;
                length_ = 1;
                return;
            }
            if (c != ' ' || !after_space_) *out_++ = c;
            after_space_ = c == ' ';
        }
    }
}

void Normaliser::take(char32_t code) noexcept {
    const std::uint8_t classes = classes_of(code);
    if ((classes & decomposes) == 0) return add(code, classes);
    if (code - hangul_first < hangul_count) {
        const char32_t syllable = code - hangul_first;
        add(hangul_lead + syllable / (hangul_vowels * hangul_finals), 0);
        add(hangul_vowel + syllable / hangul_finals % hangul_vowels, follows);
        if (syllable % hangul_finals != 0) add(hangul_final + syllable % hangul_finals, follows);
        return;
    }
    for (const char32_t part : decomposition(code)) add(part, classes_of(part));
}

void Normaliser::add(char32_t code, std::uint8_t classes) noexcept {
    if (classes & combines) {
        if (length_ == sequence_bound) flush();
        const std::uint8_t order = combining_class(code);
        std::size_t place = length_++;
        for (; place > 0 && combining_[place - 1] > order; --place) {
            sequence_[place] = sequence_[place - 1];
            combining_[place] = combining_[place - 1];
        }
        sequence_[place] = code;
        combining_[place] = order;
        return;
    }
    if (length_ != 0) {
        if (classes & follows) {
            compose_sequence();
            const char32_t composite = length_ == 1 && combining_[0] == 0 ? compose(sequence_[0], code) : 0;
            if (composite != 0) {
                sequence_[0] = composite;
                return;
            }
        }
        flush();
    }
    sequence_[0] = code;
    combining_[0] = 0;
    length_ = 1;
}

// Canonical composition: a mark joins the starter unless one of the same class stands between them.
void Normaliser::compose_sequence() noexcept {
    if (length_ < 2 || combining_[0] != 0) return;
    std::size_t kept = 1;
    std::uint8_t last = 0;
    for (std::size_t i = 1; i < length_; ++i) {
        const bool blocked = last != 0 && last >= combining_[i];
        const char32_t composite = blocked ? 0 : compose(sequence_[0], sequence_[i]);
        if (composite != 0) {
            sequence_[0] = composite;
            continue;
        }
        last = combining_[i];
        sequence_[kept] = sequence_[i];
        combining_[kept++] = combining_[i];
    }
    length_ = kept;
}

void Normaliser::flush() noexcept {
    compose_sequence();
    for (std::size_t i = 0; i < length_; ++i) {
        const char32_t code = sequence_[i];
        if (classes_of(code) & lowers) {
            for (const char32_t lower : lower_case(code)) emit(lower);
        } else {
            emit(code);
        }
    }
    length_ = 0;
}

void Normaliser::emit(char32_t code) noexcept {
    if (classes_of(code) & space) {
        if (!after_space_) *out_++ = ' ';
        after_space_ = true;
        return;
    }
    out_ = encode_utf8(code >= '0' && code <= '9' ? U'0' : code, out_);
    after_space_ = false;
}

std::string normalise(std::string_view text) {
    std::string result;
    std::string piece(std::max(Normaliser::minimum_capacity, std::min<std::size_t>(text.size() + 2048, 65536)), '\0');
    Normaliser normaliser(text);
    while (const std::size_t size = normaliser.next(piece.data(), piece.size())) {
        result.append(piece, 0, size);
    }
    return result;
}

}  // namespace atlascore::text
