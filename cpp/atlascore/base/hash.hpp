// Seeded hashing. Every hash of caller-chosen bytes goes through here, so that a caller who does not know the
// region's seed cannot steer keys into one bucket.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace atlascore::base {

struct Digest128 {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    friend bool operator==(const Digest128&, const Digest128&) = default;
};

inline std::uint64_t hash64(const void* data, std::size_t size, std::uint64_t seed) noexcept {
    return XXH3_64bits_withSeed(data, size, seed);
}

inline std::uint64_t hash64(std::string_view text, std::uint64_t seed) noexcept {
    return hash64(text.data(), text.size(), seed);
}

// The exact digest of an input's canonical bytes (xxh3-128).
inline Digest128 digest128(const void* data, std::size_t size, std::uint64_t seed) noexcept {
    const XXH128_hash_t h = XXH3_128bits_withSeed(data, size, seed);
    return {h.low64, h.high64};
}

// One 64-bit word mixed into another: for keys made of parts that are hashes already.
inline std::uint64_t mix64(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t x = a ^ (b * 0x9E3779B97F4A7C15ull);
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93ull;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93ull;
    x ^= x >> 32;
    return x;
}

}  // namespace atlascore::base
