// The exact digest of an input's canonical bytes, as base::digest128, with the widest code that the machine
// has: the system's library is built for the oldest one, which costs three times as much on a kilobyte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atlascore/base/hash.hpp"

namespace atlascore::track {

base::Digest128 wide_digest(const void* data, std::size_t size, std::uint64_t seed) noexcept;

}  // namespace atlascore::track
