#include "atlascore/track/departures.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::uint32_t radial_bit = 1, length_bits = 4, length_mask = (1 << length_bits) - 1;

std::uint32_t tag_of(std::uint32_t input) noexcept {
    return input & 0x7FF;
}

// Its power of two from 2^-12 on; from 1 to 15, so that no entry is 0.
std::uint32_t length_of(float distance) noexcept {
    return static_cast<std::uint32_t>(std::clamp(std::ilogb(distance) + 13, 1, 15));
}

}  // namespace

Departures::Earlier Departures::from(std::uint32_t input, float distance) const noexcept {
    const std::uint32_t last = shared_load(head, std::memory_order_acquire);
    const std::uint32_t tag = tag_of(input), length = length_of(distance);
    Earlier found;
    std::uint32_t counted = 0;
    const std::uint32_t known = std::min(last, static_cast<std::uint32_t>(count));
    for (std::uint32_t back = 1; back <= known; ++back) {
        const std::uint32_t entry = shared_load(entries[(last - back) % count]);
        const std::uint32_t other = entry >> 1 & length_mask;
        if (entry != 0 && length > other + 1) found.observed = false;
        if (other > length + 1) continue;
        ++counted;
        if (entry >> (1 + length_bits) != tag) continue;
        ++found.same;
        found.since = counted;
    }
    return found;
}

void Departures::add(std::uint32_t input, float distance, bool radial) noexcept {
    const std::uint32_t ticket = std::atomic_ref(head).fetch_add(1, std::memory_order_acq_rel);
    const std::uint32_t entry =
        tag_of(input) << (1 + length_bits) | length_of(distance) << 1 | (radial ? radial_bit : 0);
    shared_store(entries[ticket % count], static_cast<std::uint16_t>(entry));
}

std::uint32_t Departures::radial() const noexcept {
    std::uint32_t sum = 0;
    for (const std::uint16_t& entry : entries) sum += shared_load(entry) & radial_bit;
    return sum;
}

void Departures::adopt(const Departures& from) noexcept {
    for (std::size_t i = 0; i < count; ++i) shared_store(entries[i], shared_load(from.entries[i]));
    shared_store(head, shared_load(from.head));
}

void Departures::clear() noexcept {
    for (std::uint16_t& entry : entries) shared_store(entry, 0);
    shared_store(head, 0);
}

}  // namespace atlascore::track
