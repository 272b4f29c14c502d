// The low-level AES calls are deprecated in OpenSSL 3 in favour of EVP, whose contexts are on the heap and
// not shared between threads; the expanded keys here are read-only.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "atlascore/log/decision_id.hpp"

#include <algorithm>
#include <array>

namespace atlascore::log {
namespace {

constexpr std::string_view prefix = "dec_";
constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";  // RFC 4648, lower case
constexpr std::size_t digits = 26;  // of 128 bits; the last two bits are 0

using Block = std::array<std::uint8_t, 16>;

std::string base32(const Block& block) {
    std::string text;
    std::uint32_t bits = 0;
    int held = 0;
    for (const std::uint8_t byte : block) {
        bits = bits << 8 | byte;
        for (held += 8; held >= 5; held -= 5) {
            text += alphabet[bits >> (held - 5) & 31];
        }
    }
    text += alphabet[bits << (5 - held) & 31];
    return text;
}

std::optional<Block> from_base32(std::string_view text) {
    Block block;
    std::size_t size = 0;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
        const std::size_t digit = alphabet.find(c);
        if (digit == std::string_view::npos) {
            return std::nullopt;
        }
        bits = bits << 5 | static_cast<std::uint32_t>(digit);
        held += 5;
        if (held >= 8) {
            held -= 8;
            block[size++] = static_cast<std::uint8_t>(bits >> held);
        }
    }
    return (bits & ((1u << held) - 1)) == 0 ? std::optional(block) : std::nullopt;
}

// RFC 5869 with an empty salt and one block of output.
Block derive_key(const Salt& secret) {
    const Hmac::Digest extracted = Hmac(Salt{})(secret);
    constexpr std::string_view info = "atlascore decision id\x01";
    const Hmac::Digest expanded =
        Hmac(extracted)({reinterpret_cast<const std::uint8_t*>(info.data()), info.size()});
    Block key;
    std::copy_n(expanded.begin(), key.size(), key.begin());
    return key;
}

void put(std::uint8_t* to, std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) {
        *to++ = static_cast<std::uint8_t>(value >> (8 * i));
    }
}

std::uint64_t get(const std::uint8_t* from, int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
        value = value << 8 | from[i];
    }
    return value;
}

}  // namespace

DecisionIds::DecisionIds(const Salt& salt) {
    const Block key = derive_key(salt);
    AES_set_encrypt_key(key.data(), 128, &encrypt_);
    AES_set_decrypt_key(key.data(), 128, &decrypt_);
}

std::string DecisionIds::id(const DecisionName& name) const {
    Block block;
    put(block.data(), name.instance, 8);
    put(block.data() + 8, name.producer, 2);
    put(block.data() + 10, name.sequence, 6);
    AES_encrypt(block.data(), block.data(), &encrypt_);
    return std::string(prefix) + base32(block);
}

std::optional<DecisionName> DecisionIds::name(std::string_view id) const {
    if (id.size() != prefix.size() + digits || !id.starts_with(prefix)) {
        return std::nullopt;
    }
    std::optional<Block> block = from_base32(id.substr(prefix.size()));
    if (!block) {
        return std::nullopt;
    }
    AES_decrypt(block->data(), block->data(), &decrypt_);
    return DecisionName{get(block->data(), 8), static_cast<std::uint16_t>(get(block->data() + 8, 2)),
                        get(block->data() + 10, 6)};
}

}  // namespace atlascore::log
