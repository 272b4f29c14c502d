#include "atlascore/rule/fold.hpp"

#include <cstdint>

namespace atlascore::rule {
namespace {

#include "fold_table.inc"

constexpr char32_t replacement = 0xFFFD;

// Plain loops that the compiler turns into vector code.
bool is_ascii(std::string_view text) noexcept {
    unsigned char seen = 0;
    for (const char c : text) seen |= static_cast<unsigned char>(c);
    return seen < 0x80;
}

void fold_ascii(std::string_view text, char* out) noexcept {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const unsigned char bit = static_cast<unsigned char>(c - 'A') < 26 ? 0x20 : 0;
        out[i] = static_cast<char>(c | bit);
    }
}

std::size_t encode(char32_t c, char* out) noexcept {
    const auto put = [out](std::size_t i, char32_t bits) { out[i] = static_cast<char>(bits); };
    if (c < 0x80) {
        put(0, c);
        return 1;
    }
    if (c < 0x800) {
        put(0, 0xC0 | c >> 6);
        put(1, 0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        put(0, 0xE0 | c >> 12);
        put(1, 0x80 | (c >> 6 & 0x3F));
        put(2, 0x80 | (c & 0x3F));
        return 3;
    }
    put(0, 0xF0 | c >> 18);
    put(1, 0x80 | (c >> 12 & 0x3F));
    put(2, 0x80 | (c >> 6 & 0x3F));
    put(3, 0x80 | (c & 0x3F));
    return 4;
}

template <class Map>
std::optional<std::size_t> map_into(std::string_view text, char* out, std::size_t capacity,
                                    Map map) noexcept {
    const char* p = text.data();
    const char* const end = p + text.size();
    std::size_t size = 0;
    while (p != end) {
        char bytes[4];
        const std::size_t n = encode(map(next_code_point(p, end)), bytes);
        if (n > capacity - size) return std::nullopt;
        for (std::size_t i = 0; i < n; ++i) out[size++] = bytes[i];
    }
    return size;
}

// Length of a sequence by its first byte, and the range its second byte must lie in (Unicode, table 3-7).
struct Lead {
    unsigned length;
    unsigned char low;
    unsigned char high;
};

Lead lead_of(unsigned char c) noexcept {
    if (c >= 0xC2 && c <= 0xDF) return {2, 0x80, 0xBF};
    if (c == 0xE0) return {3, 0xA0, 0xBF};
    if (c == 0xED) return {3, 0x80, 0x9F};
    if (c >= 0xE1 && c <= 0xEF) return {3, 0x80, 0xBF};
    if (c == 0xF0) return {4, 0x90, 0xBF};
    if (c >= 0xF1 && c <= 0xF3) return {4, 0x80, 0xBF};
    if (c == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

// As next_code_point, and says whether the bytes were well-formed (a written U+FFFD is).
char32_t decode(const char*& p, const char* end, bool& well_formed) noexcept {
    const auto first = static_cast<unsigned char>(*p++);
    if (first < 0x80) return first;
    const Lead lead = lead_of(first);
    char32_t code_point = first & (0xFFu >> (lead.length + 1));
    unsigned char low = lead.low;
    unsigned char high = lead.high;
    for (unsigned i = 1; i < lead.length; ++i) {
        const auto next = p == end ? static_cast<unsigned char>(0) : static_cast<unsigned char>(*p);
        if (next < low || next > high) {
            well_formed = false;
            return replacement;
        }
        code_point = code_point << 6 | (next & 0x3F);
        low = 0x80;
        high = 0xBF;
        ++p;
    }
    if (lead.length == 0) well_formed = false;
    return lead.length == 0 ? replacement : code_point;
}

}  // namespace

char32_t fold(char32_t c) noexcept {
    if (c > last_folding) return c;
    const std::size_t offset =
        (std::size_t{page_of[c >> page_bits]} << page_bits) + (c & ((1u << page_bits) - 1));
    return static_cast<char32_t>(static_cast<std::int32_t>(c) + delta_of[offset]);
}

char32_t next_code_point(const char*& p, const char* end) noexcept {
    bool well_formed = true;
    return decode(p, end, well_formed);
}

std::optional<std::size_t> fold_into(std::string_view text, char* out, std::size_t capacity) noexcept {
    if (text.size() <= capacity && is_ascii(text)) {
        fold_ascii(text, out);
        return text.size();
    }
    return map_into(text, out, capacity, [](char32_t c) noexcept { return fold(c); });
}

std::optional<std::size_t> repair_into(std::string_view text, char* out, std::size_t capacity) noexcept {
    return map_into(text, out, capacity, [](char32_t c) noexcept { return c; });
}

bool is_well_formed(std::string_view text) noexcept {
    if (is_ascii(text)) return true;
    const char* p = text.data();
    const char* const end = p + text.size();
    bool well_formed = true;
    while (p != end && well_formed) decode(p, end, well_formed);
    return well_formed;
}

std::string folded(std::string_view text) {
    std::string out(3 * text.size(), '\0');  // an ill-formed byte becomes the three bytes of U+FFFD
    out.resize(fold_into(text, out.data(), out.size()).value_or(0));
    return out;
}

void append_utf8(char32_t code_point, std::string& out) {
    char bytes[4];
    out.append(bytes, encode(code_point, bytes));
}

}  // namespace atlascore::rule
