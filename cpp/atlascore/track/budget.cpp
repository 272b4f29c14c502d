#include "atlascore/track/budget.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr int tries = 16;
constexpr double half_life = 30.0 * 24 * 3600;

std::uint32_t time_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}

double decayed(std::uint64_t word, double now) noexcept {
    const double sum = std::bit_cast<float>(static_cast<std::uint32_t>(word));
    const double age = now - time_of(word);
    return word == 0 || age <= 0 ? sum : sum * std::exp2(-age / half_life);
}

}  // namespace

double budget_spent(const std::uint64_t& word, double now) noexcept {
    return decayed(shared_load(word), now);
}

bool spend_budget(std::uint64_t& word, double now, double queries) noexcept {
    const auto seconds = static_cast<std::uint32_t>(std::clamp(now, 0.0, 4294967295.0));
    for (int i = 0; i < tries; ++i) {
        const std::uint64_t seen = shared_load(word);
        const std::uint32_t newest = std::max(time_of(seen), seconds);
        const auto sum = static_cast<float>(decayed(seen, newest) + queries);
        const std::uint64_t next = std::uint64_t{newest} << 32 | std::bit_cast<std::uint32_t>(sum);
        if (shared_exchange_if(word, seen, next)) return true;
    }
    return false;
}

}  // namespace atlascore::track
