#include "atlascore/log/json.hpp"

#include <array>
#include <charconv>

#include "atlascore/text/unicode.hpp"

namespace atlascore::log {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

}  // namespace

std::string clean_utf8(std::string_view raw, std::size_t limit) {
    std::string out;
    std::array<char, 4> bytes;
    for (const char *at = raw.data(), *end = at + raw.size(); at != end;) {
        const auto size = static_cast<std::size_t>(
            text::encode_utf8(text::decode_utf8(at, end), bytes.data()) - bytes.data());
        if (out.size() + size > limit) {
            break;
        }
        out.append(bytes.data(), size);
    }
    return out;
}

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && c != '"' && c != '\\') {
            out += c;
            continue;
        }
        out += '\\';
        switch (c) {
            case '"':
            case '\\':
                out += c;
                break;
            case '\b':
                out += 'b';
                break;
            case '\t':
                out += 't';
                break;
            case '\n':
                out += 'n';
                break;
            case '\f':
                out += 'f';
                break;
            case '\r':
                out += 'r';
                break;
            default:
                out += "u00";
                out += hex_digits[byte >> 4];
                out += hex_digits[byte & 15];
        }
    }
    out += '"';
}

std::string json_string(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

void append_integer(std::string& out, std::int64_t value) {
    std::array<char, 24> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    out.append(buffer.data(), end);
}

void append_hex(std::string& out, const std::uint8_t* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        out += hex_digits[bytes[i] >> 4];
        out += hex_digits[bytes[i] & 15];
    }
}

void append_hex64(std::string& out, std::uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4) {
        out += hex_digits[value >> shift & 15];
    }
}

void append_real(std::string& out, double value) {
    std::array<char, 32> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    out.append(buffer.data(), end);
}

void append_object(std::string& out, const Members& members) {
    out += '{';
    bool first = true;
    for (const auto& [name, value] : members) {
        if (!first) {
            out += ',';
        }
        first = false;
        append_json_string(out, name);
        out += ':';
        out += value;
    }
    out += '}';
}

}  // namespace atlascore::log
