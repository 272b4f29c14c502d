#include "atlascore/text/normalise.hpp"

#include <algorithm>
#include <cstring>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/text/unicode.hpp"

namespace atlascore::text {
namespace {

// No step writes more: a flushed sequence of 65 code points and a decomposition of 18, each up to 3 code
// points when lower-cased.
constexpr std::size_t step_bound = 1024;
bool ascii_white(char c) noexcept {
    return (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= ' ');
}

// Normalisation leaves it alone. The replacement character may stand for bytes that are not its own.
bool is_plain(char32_t code) noexcept {
    return classes_of(code) == 0 && code - '0' >= 10 && code != replacement_character;
}

bool ascii(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x80;
}

// The next eight bytes are all ASCII: worth leaving the code points for the vectors.
bool ascii_ahead(const char* at, const char* end) noexcept {
    std::uint64_t bytes;
    if (end - at < static_cast<std::ptrdiff_t>(sizeof bytes)) return false;
    std::memcpy(&bytes, at, sizeof bytes);
    return (bytes & 0x8080808080808080ull) == 0;
}

}  // namespace

std::size_t Normaliser::next(char* out, std::size_t capacity) noexcept {
    char* const begin = out;
    char* const limit = out + capacity - step_bound;
    if (pending_space_) *out++ = ' ';
    while (at_ != end_ && out < limit) {
        if (ascii(*at_) && (at_ + 1 == end_ || ascii(at_[1]))) {
            out = take_ascii(flush(out), limit);
            continue;
        }
        const char* at = at_;
        const char32_t code = decode_utf8(at, end_);
        if (is_plain(code)) {
            out = flush(out);
            if (out < limit) out = take_plain(out, limit);
        } else {
            at_ = at;
            out = take(code, out);
        }
    }
    if (at_ == end_) out = flush(out);
    pending_space_ = out != begin && out[-1] == ' ';
    // White space alone can fill no piece, so an empty one is the end.
    return static_cast<std::size_t>(out - begin) - pending_space_;
}

// A run of ASCII, but for its last character when something else follows: marks may compose with that.
char* Normaliser::take_ascii(char* out, char* limit) noexcept {
    const auto before_other = [this](std::size_t run) { return at_ + run != end_ && !ascii(at_[run]); };
    while (at_ != end_ && out < limit) {
        if (after_space_ && ascii_white(*at_) && !before_other(1)) {
            ++at_;
            continue;
        }
        const auto room = static_cast<std::size_t>(std::min<std::ptrdiff_t>(end_ - at_, limit - out));
        std::size_t run = simd::fold_ascii(at_, room, after_space_, out);
        run -= run != 0 && before_other(run);
        if (run == 0) return out;
        at_ += run;
        out += run;
        after_space_ = out[-1] == ' ';
    }
    return out;
}

// A run of plain code points and single spaces, from a plain one: copied as it is, but for the last code
// point, which stays back.
char* Normaliser::take_plain(char* out, char* limit) noexcept {
    const char* const stop = end_ - at_ < limit - out ? end_ : at_ + (limit - out);
    const char *last = at_, *at = at_;
    char32_t held = 0;
    bool white = after_space_;
    while (at < stop) {
        const char* after = at;
        const char32_t code = decode_utf8(after, end_);
        if (code == ' ' ? white : !is_plain(code)) break;
        white = code == ' ';
        held = code;
        last = at;
        at = after;
        if (ascii_ahead(at, end_)) break;
    }
    out = std::copy(at_, last, out);
    if (last != at_) after_space_ = out[-1] == ' ';
    at_ = at;
    hold(held);
    return out;
}

void Normaliser::hold(char32_t starter) noexcept {
    sequence_[0] = starter;
    combining_[0] = 0;
    length_ = 1;
}

char* Normaliser::take(char32_t code, char* out) noexcept {
    const std::uint8_t classes = classes_of(code);
    if ((classes & decomposes) == 0) return add(code, classes, out);
    if (code - hangul_first < hangul_count) {
        const char32_t syllable = code - hangul_first;
        out = add(hangul_lead + syllable / (hangul_vowels * hangul_finals), 0, out);
        out = add(hangul_vowel + syllable / hangul_finals % hangul_vowels, follows, out);
        if (syllable % hangul_finals != 0) out = add(hangul_final + syllable % hangul_finals, follows, out);
        return out;
    }
    for (const char32_t part : decomposition(code)) out = add(part, classes_of(part), out);
    return out;
}

char* Normaliser::add(char32_t code, std::uint8_t classes, char* out) noexcept {
    if (classes & combines) {
        if (length_ == sequence_bound) out = flush(out);
        const std::uint8_t order = combining_class(code);
        std::size_t place = length_++;
        for (; place > 0 && combining_[place - 1] > order; --place) {
            sequence_[place] = sequence_[place - 1];
            combining_[place] = combining_[place - 1];
        }
        sequence_[place] = code;
        combining_[place] = order;
        return out;
    }
    if (classes & follows) {
        compose_sequence();
        const char32_t composite = length_ == 1 && combining_[0] == 0 ? compose(sequence_[0], code) : 0;
        if (composite != 0) {
            sequence_[0] = composite;
            return out;
        }
    }
    out = flush(out);
    hold(code);
    return out;
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

char* Normaliser::flush(char* out) noexcept {
    if (length_ > 1) compose_sequence();
    for (std::size_t i = 0; i < length_; ++i) out = emit(sequence_[i], out);
    length_ = 0;
    return out;
}

char* Normaliser::emit(char32_t code, char* out) noexcept {
    const std::uint8_t classes = classes_of(code);
    if (classes & space) {
        if (!after_space_) *out++ = ' ';
        after_space_ = true;
        return out;
    }
    after_space_ = false;
    if ((classes & lowers) == 0) return encode_utf8(code >= '0' && code <= '9' ? U'0' : code, out);
    for (const char32_t lower : lower_case(code)) out = encode_utf8(lower, out);
    return out;
}

std::string normalise(std::string_view text) {
    std::string result;
    std::string piece(
        std::max(Normaliser::minimum_capacity, std::min<std::size_t>(text.size() + 2048, 65536)), '\0');
    Normaliser normaliser(text);
    while (const std::size_t size = normaliser.next(piece.data(), piece.size())) {
        result.append(piece, 0, size);
    }
    return result;
}

}  // namespace atlascore::text
