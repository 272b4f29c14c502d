// Salted commitments: names enter the log only as HMAC-SHA-256(salt, bytes), cut to 16 bytes.
#pragma once

#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "atlascore/log/format.hpp"

namespace atlascore::log {

using Salt = std::array<std::uint8_t, 32>;

// HMAC-SHA-256 with the two key blocks hashed once. Copies nothing to the heap; const members may run in any
// number of threads.
class Hmac {
  public:
    using Digest = std::array<std::uint8_t, 32>;

    explicit Hmac(std::span<const std::uint8_t> key);
    Digest operator()(std::span<const std::uint8_t> message) const noexcept;

    // The commitment of a principal or session: about 0.2 us, once per track.
    Commitment commit(std::string_view name) const noexcept;

  private:
    SHA256_CTX inner_;
    SHA256_CTX outer_;
};

// The 32 bytes of the file at `path`, which is made with fresh random bytes (mode 0600) when it does not
// exist. Throws base::Error when it has another size or is open to group or others, base::SystemError when it
// cannot be read or made.
Salt load_salt(const std::string& path);

}  // namespace atlascore::log
