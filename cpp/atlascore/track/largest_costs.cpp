#include "atlascore/track/largest_costs.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr int tries = 16;

std::uint32_t whole_seconds(double time) noexcept {
    return static_cast<std::uint32_t>(std::clamp(time, 0.0, 4294967295.0));
}

std::uint32_t time_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}

float value_of(std::uint64_t word) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(word));
}

bool in_window(std::uint64_t word, std::uint32_t now, double window) noexcept {
    return word != 0 && (time_of(word) >= now || now - time_of(word) < window);
}

// Whose word goes first: what has left the window, then the least value, of equals the oldest.
bool goes_before(std::uint64_t a, std::uint64_t b, std::uint32_t now, double window) noexcept {
    const bool a_in = in_window(a, now, window), b_in = in_window(b, now, window);
    if (a_in != b_in) return b_in;
    if (value_of(a) != value_of(b)) return value_of(a) < value_of(b);
    return time_of(a) < time_of(b);
}

}  // namespace

bool LargestCosts::add(double amplification, double time, double now, double window) noexcept {
    const std::uint32_t newest = whole_seconds(now);
    const auto value = static_cast<float>(std::min(amplification, double{std::numeric_limits<float>::max()}));
    const std::uint64_t mine = std::uint64_t{whole_seconds(time)} << 32 | std::bit_cast<std::uint32_t>(value);
    if (!in_window(mine, newest, window)) return true;
    for (int attempt = 0; attempt < tries; ++attempt) {
        std::size_t chosen = 0;
        std::uint64_t least = shared_load(words[0]);
        for (std::size_t i = 1; i < count; ++i) {
            const std::uint64_t word = shared_load(words[i]);
            if (!goes_before(word, least, newest, window)) continue;
            least = word;
            chosen = i;
        }
        if (!goes_before(least, mine, newest, window)) return true;
        if (shared_exchange_if(words[chosen], least, mine)) return true;
    }
    return false;
}

double LargestCosts::fifth(double now, double window) const noexcept {
    const std::uint32_t newest = whole_seconds(now);
    float least = std::numeric_limits<float>::max();
    for (const std::uint64_t& shared : words) {
        const std::uint64_t word = shared_load(shared);
        if (!in_window(word, newest, window)) return std::numeric_limits<double>::quiet_NaN();
        least = std::min(least, value_of(word));
    }
    return least;
}

void LargestCosts::reset() noexcept {
    for (std::uint64_t& word : words) shared_store(word, 0);
}

}  // namespace atlascore::track
