// Masks depend on each other: a quotation may hold a code block, a URL the closing quotation mark. So there
// are two stages. The first masks code blocks, URLs and addresses, into the thread's buffer; most texts have
// none of these and are not copied. The second goes from word to word, masks the rest and hashes. What a
// stage looks for ahead and does not find, it does not look for again: the time is linear whatever the text.
#define XXH_INLINE_ALL
#include "atlascore/track/template_hash.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/text/unicode.hpp"

namespace atlascore::track {
namespace {

using text::decode_utf8;
using text::encode_utf8;

enum Mask : char32_t { code_mask = 0xE000, url_mask, address_mask, quotation_mask, long_mask, number_mask };

constexpr std::size_t longest_word = 40;  // code points
constexpr std::size_t mask_size = 3;      // bytes of a mask, no more than of what it stands for

// --- characters -----------------------------------------------------------------------------------------

enum AsciiClass : std::uint8_t {
    white = 1,
    scheme = 2,  // of a URL: letters, digits, + . -
    letter = 4,
    wordlike = 8,  // letters, digits, underscore
};

constexpr std::array<std::uint8_t, 256> ascii_classes = [] {
    std::array<std::uint8_t, 256> table{};
    for (unsigned c = 0; c < 128; ++c) {
        const bool is_letter = (c | 32) - 'a' < 26u, is_digit = c - '0' < 10u;
        const bool is_white = c - '\t' < 5u || c - 0x1Cu < 5u;
        const bool is_sign = c == '+' || c == '.' || c == '-';
        table[c] =
            static_cast<std::uint8_t>(white * is_white | scheme * (is_letter || is_digit || is_sign) |
                                      letter * is_letter | wordlike * (is_letter || is_digit || c == '_'));
    }
    return table;
}();

bool is_ascii(char c, std::uint8_t classes) noexcept {
    return (ascii_classes[static_cast<unsigned char>(c)] & classes) != 0;
}

bool is_space(char32_t code) noexcept {
    return code < 128 ? is_ascii(static_cast<char>(code), white)
                      : (text::classes_of(code) & text::space) != 0;
}

bool is_word(char32_t code) noexcept {
    return code < 128 ? is_ascii(static_cast<char>(code), wordlike)
                      : (text::classes_of(code) & text::word) != 0;
}

bool is_digit(char32_t code) noexcept {
    return code < 128 ? code - U'0' < 10u : (text::classes_of(code) & text::digit) != 0;
}

// Whether the code point that ends at `at` is a letter, number or underscore.
bool word_before(const char* begin, const char* at) noexcept {
    if (at == begin) return false;
    const char* start = at - 1;
    while (start != begin && at - start < 4 && (*start & 0xC0) == 0x80) --start;
    return is_word(decode_utf8(start, at));
}

// --- code blocks, URLs, addresses -----------------------------------------------------------------------

bool needs_first_stage(std::string_view text) noexcept {
    const auto has = [&](char c) { return std::memchr(text.data(), c, text.size()) != nullptr; };
    return has('`') || has('@') || text.find("://") != text.npos || text.find("www.") != text.npos;
}

class FirstStage {
  public:
    explicit FirstStage(std::string_view text) noexcept : at_(text.data()), end_(text.data() + text.size()) {}

    // Writes at most as many bytes as the text has.
    std::string_view run(char* const out) noexcept {
        char* behind = out;
        while (at_ != end_) {
            char* const word = behind;
            behind = take_word(word);
            if (behind != word) behind = mask_addresses(word, mask_url(word, behind));
            const char* next = at_;
            if (at_ != end_ && is_space(decode_utf8(next, end_))) behind = copy(next, behind);
        }
        return {out, static_cast<std::size_t>(behind - out)};
    }

  private:
    char* copy(const char* to, char* out) noexcept {
        while (at_ != to) *out++ = *at_++;
        return out;
    }

    // Up to white space, code blocks masked.
    char* take_word(char* out) noexcept {
        while (at_ != end_) {
            const char* next = at_;
            if (is_space(decode_utf8(next, end_))) break;
            const char* const close = *at_ == '`' ? code_end() : nullptr;
            if (close != nullptr) {
                out = encode_utf8(code_mask, out);
                at_ = close;
            } else {
                out = copy(next, out);
            }
        }
        return out;
    }

    // Behind the code block that begins here; null for none.
    const char* code_end() noexcept {
        const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
        constexpr std::string_view fence = "```";
        if (fences_ && rest.starts_with(fence)) {
            const std::size_t close = rest.find(fence, fence.size());
            if (close != rest.npos) return at_ + close + fence.size();
            fences_ = false;
        }
        const std::size_t close = rest.find('`', 1);
        return close == rest.npos || close == 1 ? nullptr : at_ + close + 1;
    }

    // A URL goes on to the end of its word.
    static char* mask_url(char* const word, char* end) noexcept {
        const std::string_view text(word, static_cast<std::size_t>(end - word));
        for (std::size_t i = 0; i < text.size();) {
            std::size_t stop = i;
            while (stop < text.size() && is_ascii(text[stop], scheme)) ++stop;
            const bool has_scheme = text.substr(stop).starts_with("://") && stop + 3 < text.size();
            for (; i < stop; ++i) {
                if (!is_ascii(text[i], letter) || word_before(word, word + i)) continue;
                const bool has_host = text.substr(i).starts_with("www.") && i + 4 < text.size();
                if (has_scheme || has_host) return encode_utf8(url_mask, word + i);
            }
            ++i;
        }
        return end;
    }

    static bool is_label(char32_t code) noexcept { return is_word(code) || code == '-'; }

    static const char* skip_label(const char* at, const char* end) noexcept {
        while (at != end) {
            const char* next = at;
            if (!is_label(decode_utf8(next, end))) break;
            at = next;
        }
        return at;
    }

    // Behind labels with at least one dot between; null for none.
    static const char* domain_end(const char* at, const char* end) noexcept {
        const char* label = skip_label(at, end);
        if (label == at) return nullptr;
        const char* found = nullptr;
        while (label != end && *label == '.') {
            const char* next = skip_label(label + 1, end);
            if (next == label + 1) break;
            found = label = next;
        }
        return found;
    }

    static char* mask_addresses(char* const word, char* const end) noexcept {
        if (std::memchr(word, '@', static_cast<std::size_t>(end - word)) == nullptr) return end;
        char* out = word;
        char* name = nullptr;  // where what may be the name of an address begins, as written
        for (const char* at = word; at != end;) {
            const char* next = at;
            const char32_t code = decode_utf8(next, end);
            if (code == '@' && name != nullptr) {
                if (const char* const close = domain_end(next, end)) {
                    out = encode_utf8(address_mask, name);
                    at = close;
                    name = nullptr;
                    continue;
                }
            }
            if (!(is_label(code) || code == '.' || code == '+')) {
                name = nullptr;
            } else if (name == nullptr) {
                name = out;
            }
            while (at != next) *out++ = *at++;
        }
        return out;
    }

    const char* at_;
    const char* end_;
    bool fences_ = true;  // there may be one ahead
};

// --- words and votes ------------------------------------------------------------------------------------

// Counts ones at each of 64 places: plane k holds bit k of all counts. Words wait in pairs, so that an
// addition costs about one full adder.
class Votes {
  public:
    void add(std::uint64_t word) noexcept {
        ++count_;
        for (std::size_t level = 0;; ++level) {
            if ((count_ >> level & 1) != 0) {
                waiting_[level] = word;
                return;
            }
            const std::uint64_t a = planes_[level], b = waiting_[level], ab = a ^ b;
            planes_[level] = ab ^ word;
            word = (a & b) | (ab & word);
        }
    }

    // The places with more ones than zeros.
    std::uint64_t majority() noexcept {
        for (std::size_t level = 0; level < levels; ++level) {
            if ((count_ >> level & 1) == 0) continue;
            std::uint64_t carry = waiting_[level];
            for (std::size_t k = level; k < levels && carry != 0; ++k) {
                const std::uint64_t next = planes_[k] & carry;
                planes_[k] ^= carry;
                carry = next;
            }
        }
        const std::uint64_t half = count_ / 2;
        std::uint64_t above = 0, equal = ~std::uint64_t{0};
        for (std::size_t k = levels; k-- != 0;) {
            if ((half >> k & 1) == 0) above |= equal & planes_[k];
            equal &= (half >> k & 1) != 0 ? planes_[k] : ~planes_[k];
        }
        return above;
    }

  private:
    static constexpr std::size_t levels = 16;
    static_assert(template_bytes / 2 < std::size_t{1} << (levels - 1));  // a gram for every two bytes at most

    std::uint64_t count_ = 0;
    std::uint64_t planes_[levels] = {};
    std::uint64_t waiting_[levels];
};

// Joins words by spaces and hashes every three in a row: many at a time, because what has just been written
// byte by byte is slow to read in larger pieces.
class Grams {
  public:
    Grams(std::uint64_t seed, Outline* outline) noexcept : seed_(seed), outline_(outline) {
        if (outline != nullptr) outline->grams.fill(~std::uint64_t{0});
    }

    // `readable`: bytes from `word` on that may be read, at least `size`.
    void add(const char* word, std::size_t size, std::size_t readable) noexcept {
        char* const out = text_ + starts_[words_];
        if (size <= short_bytes && readable >= short_bytes) {
            std::memcpy(out, word, short_bytes);  // of a size that is known
        } else {
            std::memcpy(out, word, size);
        }
        out[size] = ' ';
        starts_[words_ + 1] = starts_[words_] + size + 1;
        if (++words_ == batch) flush();
    }

    std::uint64_t hash() noexcept {
        if (words_ >= 3) flush();
        if (!any_) take(hash(0, words_));
        return votes_.majority();
    }

  private:
    static constexpr std::size_t batch = 64, length_kinds = 4;
    static constexpr std::size_t short_bytes = 16;
    static constexpr std::size_t word_bytes = 4 * longest_word;

    // The last two words wait for those that follow. Grams of a kind of length, which decides how the hash
    // goes on, are hashed in a row: a processor cannot guess the next one's.
    void flush() noexcept {
        std::uint8_t grams[length_kinds][batch];
        std::size_t counts[length_kinds] = {};
        for (std::size_t i = 0; i + 3 <= words_; ++i) {
            const std::size_t size = starts_[i + 3] - 1 - starts_[i];
            const std::size_t kind = (size > 8) + (size > 16) + std::size_t{size > 32};
            grams[kind][counts[kind]++] = static_cast<std::uint8_t>(i);
        }
        for (std::size_t kind = 0; kind < length_kinds; ++kind) {
            for (std::size_t k = 0; k < counts[kind]; ++k)
                take(hash(grams[kind][k], grams[kind][k] + std::size_t{3}));
        }
        any_ = true;
        const std::size_t first = starts_[words_ - 2];
        std::memmove(text_, text_ + first, starts_[words_] - first);
        for (std::size_t i = 0; i <= 2; ++i) starts_[i] = starts_[words_ - 2 + i] - first;
        words_ = 2;
    }

    void take(std::uint64_t hash) noexcept {
        votes_.add(hash);
        if (outline_ != nullptr && hash < outline_->grams.back()) enter(hash);
    }

    // Without branches: where a hash belongs follows no pattern.
    void enter(std::uint64_t hash) noexcept {
        auto& grams = outline_->grams;
        bool known = false;
        for (const std::uint64_t gram : grams) known |= gram == hash;
        if (known) return;
        for (std::size_t i = grams.size() - 1; i != 0; --i)
            grams[i] = std::max(grams[i - 1], std::min(grams[i], hash));
        grams[0] = std::min(grams[0], hash);
    }

    std::uint64_t hash(std::size_t from, std::size_t to) const noexcept {
        const std::size_t size = from == to ? 0 : starts_[to] - 1 - starts_[from];
        return XXH3_64bits_withSeed(text_ + starts_[from], size, seed_);
    }

    std::uint64_t seed_;
    Outline* outline_;
    std::size_t words_ = 0;
    bool any_ = false;
    std::size_t starts_[batch + 1] = {};
    Votes votes_;
    char text_[batch * (word_bytes + 1)];
};

class SecondStage {
  public:
    SecondStage(std::string_view text, std::uint64_t seed, TemplateScratch& scratch,
                Outline* outline) noexcept
        : begin_(text.data()),
          at_(text.data()),
          end_(text.data() + text.size()),
          spaces_(scratch.spaces()),
          special_(scratch.special()),
          grams_(seed, outline) {
        simd::word_bits(text.data(), text.size(), spaces_, special_);
    }

    std::uint64_t run() noexcept {
        const char* word = nullptr;  // where the one that has begun does
        std::uint64_t before = 1;
        for (const char* block = begin_; block <= end_; block += 64) {
            const std::uint64_t spaces = spaces_[static_cast<std::size_t>(block - begin_) / 64];
            for (std::uint64_t edges = spaces ^ (spaces << 1 | before); edges != 0; edges &= edges - 1) {
                const char* const edge = block + std::countr_zero(edges);
                if (word != nullptr) add_words(word, edge);
                word = word != nullptr ? nullptr : edge;
            }
            before = spaces >> 63;
        }
        return grams_.hash();
    }

  private:
    // What stands between ASCII white space, as far as no word before has taken it.
    void add_words(const char* start, const char* end) noexcept {
        const auto size = static_cast<std::size_t>(end - start);
        if (start >= at_ && size <= longest_word && !is_special(start, size)) {
            grams_.add(start, size, static_cast<std::size_t>(end_ - start));
            return;
        }
        at_ = std::max(at_, start);
        while (at_ < end) {
            const char* next = at_;
            if (is_space(decode_utf8(next, end_))) {
                at_ = next;
            } else {
                take_word();
            }
        }
    }

    bool is_special(const char* start, std::size_t size) const noexcept {
        const auto i = static_cast<std::size_t>(start - begin_);
        std::uint64_t bits = special_[i / 64] >> i % 64;
        if (i % 64 + size > 64) bits |= special_[i / 64 + 1] << (64 - i % 64);
        return (bits & ((std::uint64_t{1} << size) - 1)) != 0;
    }

    void add_mask(Mask mask) noexcept {
        char bytes[mask_size];
        encode_utf8(mask, bytes);
        grams_.add(bytes, mask_size, mask_size);
    }

    // A word with quotations, numbers or letters beyond ASCII. A quotation is part of the word it stands in,
    // whatever white space it holds.
    void take_word() noexcept {
        char32_t points[longest_word];
        std::size_t count = 0;
        char32_t previous = ' ';
        while (at_ != end_) {
            const char* next = at_;
            char32_t code = decode_utf8(next, end_);
            if (is_space(code)) break;
            const char* const close = quotation_end(code, next, previous);
            previous = close != nullptr ? U'"' : code;
            if (close != nullptr) code = quotation_mask;
            at_ = close != nullptr ? close : next;
            if (count < longest_word) points[count] = code;
            ++count;
        }
        if (count > longest_word) return add_mask(long_mask);
        add_numbers_masked(points, count);
    }

    void add_numbers_masked(const char32_t* points, std::size_t count) noexcept {
        char word[4 * longest_word];
        char* out = word;
        for (std::size_t i = 0; i < count;) {
            if (!is_digit(points[i])) {
                out = encode_utf8(points[i++], out);
                continue;
            }
            const auto joins = [&](std::size_t k) {
                constexpr std::u32string_view signs = U".,:/-";
                return k + 1 < count && signs.find(points[k]) != signs.npos && is_digit(points[k + 1]);
            };
            for (++i; i < count && (is_digit(points[i]) || joins(i)); ++i) {
            }
            out = encode_utf8(number_mask, out);
        }
        grams_.add(word, static_cast<std::size_t>(out - word), sizeof word);
    }

    // Behind the quotation that `opening` begins, its text starting at `from`; null when it begins none.
    const char* quotation_end(char32_t opening, const char* from, char32_t previous) noexcept {
        switch (opening) {
            case '"':
                return find_close("\"", from, 0);
            case 0x201C:
                return find_close("\u201D", from, 1);
            case 0xAB:
                return find_close("\u00BB", from, 2);
            case '\'': {
                // An apostrophe between letters neither opens nor closes.
                const char* const close = is_word(previous) ? nullptr : find_close("'", from, 3);
                const char* next = close;
                const bool inside = close != nullptr && close != end_ && is_word(decode_utf8(next, end_));
                return inside ? nullptr : close;
            }
            default:
                return nullptr;
        }
    }

    const char* find_close(std::string_view mark, const char* from, std::size_t kind) noexcept {
        if (!closes_[kind]) return nullptr;
        const std::size_t found = std::string_view(from, static_cast<std::size_t>(end_ - from)).find(mark);
        closes_[kind] = found != std::string_view::npos;
        return closes_[kind] ? from + found + mark.size() : nullptr;
    }

    const char* begin_;
    const char* at_;
    const char* end_;
    std::uint64_t* spaces_;
    std::uint64_t* special_;
    bool closes_[4] = {true, true, true, true};  // there may be one ahead
    Grams grams_;
};

std::string_view beginning(std::string_view text) noexcept {
    if (text.size() <= template_bytes) return text;
    std::size_t size = template_bytes;
    while (template_bytes - size < 4 && (text[size] & 0xC0) == 0x80) --size;
    return text.substr(0, size);
}

}  // namespace

TemplateScratch::TemplateScratch()
    : masked_(std::make_unique<char[]>(template_bytes)),
      bits_(std::make_unique<std::uint64_t[]>(2 * blocks)) {}

OutlineMarks marks_of(const Outline& outline) noexcept {
    OutlineMarks marks{};
    for (std::size_t i = 0; i < marks.size(); ++i) {
        const bool any = outline.grams[i] != ~std::uint64_t{0};
        marks[i] = any ? static_cast<std::uint16_t>(outline.grams[i] % 0xFFFF + 1) : 0;
    }
    return marks;
}

std::optional<SharedGrams> shared_grams(const Outline& outline, const OutlineMarks& before) noexcept {
    constexpr std::size_t fewest = 5;  // more than an opening phrase leaves in a prompt of some sentences
    const OutlineMarks marks = marks_of(outline);
    SharedGrams least{};
    std::size_t shared = 0;
    for (std::size_t i = 0; i < marks.size() && marks[i] != 0 && shared < fewest; ++i) {
        if (std::find(before.begin(), before.end(), marks[i]) == before.end()) continue;
        if (shared < least.size()) least[shared] = outline.grams[i];
        ++shared;
    }
    return shared < fewest ? std::nullopt : std::optional(least);
}

std::uint64_t template_hash(const SharedGrams& grams, std::uint64_t seed) noexcept {
    return XXH3_64bits_withSeed(grams.data(), sizeof grams, seed);
}

bool has_grams(const Outline& outline, const SharedGrams& grams) noexcept {
    const auto in = [&](std::uint64_t gram) {
        return std::binary_search(outline.grams.begin(), outline.grams.end(), gram);
    };
    return std::count_if(grams.begin(), grams.end(), in) >= 2;
}

std::uint64_t template_hash(std::string_view text, std::uint64_t seed, TemplateScratch& scratch,
                            Outline* outline) noexcept {
    text = beginning(text);
    if (needs_first_stage(text)) text = FirstStage(text).run(scratch.masked());
    return SecondStage(text, seed, scratch, outline).run();
}

}  // namespace atlascore::track
