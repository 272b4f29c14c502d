// Counting bits without the instruction for it, which the portable build does not have; the library's
// function costs twice as much.
#pragma once

#include <cstdint>

namespace atlascore::base {

constexpr unsigned count_bits(std::uint64_t bits) noexcept {
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return static_cast<unsigned>(bits * 0x0101010101010101u >> 56);
}

}  // namespace atlascore::base
