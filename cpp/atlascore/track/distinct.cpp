#include "atlascore/track/distinct.hpp"

#include <bit>
#include <cmath>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

using Registers = DailyDistinct::Registers;

constexpr double day_seconds = 86400.0;
constexpr int tries = 16;

std::uint32_t mark_of(std::int64_t day, std::uint64_t owner) noexcept {
    return static_cast<std::uint32_t>(day + 1) << 16 | (static_cast<std::uint32_t>(owner) & 0x7FFF) << 1;
}

constexpr std::uint32_t emptying = 1;

std::int64_t day_of(double now) noexcept {
    return static_cast<std::int64_t>(now / day_seconds);
}

// The sum of 2^-rank over the two registers of a byte, and how many of them are empty.
struct ByteSums {
    double powers[256];
    std::uint8_t zeros[256];
};
constexpr ByteSums byte_sums = [] {
    ByteSums sums{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        for (const unsigned rank : {byte & 15, byte >> 4}) {
            sums.powers[byte] += 1.0 / (1u << rank);
            sums.zeros[byte] = static_cast<std::uint8_t>(sums.zeros[byte] + (rank == 0));
        }
    }
    return sums;
}();

// Linear counting, by how many registers are empty.
const std::array<double, 65> by_zeros = [] {
    std::array<double, 65> table{};
    for (unsigned zeros = 1; zeros <= 64; ++zeros) table[zeros] = 64 * std::log(64.0 / zeros);
    return table;
}();

double number_of(const Registers& registers) noexcept {
    double powers = 0;
    unsigned zeros = 0;
    for (const std::uint64_t word : registers) {
        double of_word = 0;  // so that the words' sums do not wait for each other
        for (unsigned shift = 0; shift < 64; shift += 8) {
            of_word += byte_sums.powers[word >> shift & 255];
            zeros += byte_sums.zeros[word >> shift & 255];
        }
        powers += of_word;
    }
    const double raw = 0.709 * 64 * 64 / powers;
    return raw <= 160 && zeros != 0 ? by_zeros[zeros] : raw;
}

// The larger of each pair of registers, those in even and in odd places apart.
std::uint64_t larger(std::uint64_t a, std::uint64_t b) noexcept {
    constexpr std::uint64_t low = 0x0F0F0F0F0F0F0F0F, high = 0x8080808080808080;
    const auto of_bytes = [&](std::uint64_t x, std::uint64_t y) {
        const std::uint64_t at_least = (((x | high) - y) & high) >> 7;
        const std::uint64_t mask = at_least * 0xFF;
        return (x & mask) | (y & ~mask);
    };
    return of_bytes(a & low, b & low) | of_bytes(a >> 4 & low, b >> 4 & low) << 4;
}

}  // namespace

void DailyDistinct::reset() noexcept {
    for (std::uint32_t& day : days) shared_store(day, 0);
    for (Registers& half : ranks) {
        for (std::uint64_t& word : half) shared_store(word, 0);
    }
}

DailyDistinct DailyDistinct::copy() const noexcept {
    DailyDistinct out;
    for (std::size_t half = 0; half < 2; ++half) {
        // The day first: words that belong to another one are emptied before theirs is set.
        out.days[half] = shared_load(days[half], std::memory_order_acquire);
        for (std::size_t i = 0; i < 4; ++i) out.ranks[half][i] = shared_load(ranks[half][i]);
    }
    return out;
}

bool DailyDistinct::empty() const noexcept {
    return (shared_load(days[0]) | shared_load(days[1])) == 0;
}

void DailyDistinct::add(std::uint64_t hash, std::uint64_t owner, double now) noexcept {
    const std::int64_t today = day_of(now);
    const std::uint32_t mark = mark_of(today, owner);
    const std::size_t half = static_cast<std::size_t>(today) & 1;
    std::uint32_t& day = days[half];
    const std::uint32_t seen = shared_load(day, std::memory_order_acquire);
    if (seen != mark) {
        if (seen >> 16 > mark >> 16) return;  // late by two days
        if (!shared_exchange_if(day, seen, mark | emptying)) return;
        for (std::uint64_t& word : ranks[half]) shared_store(word, 0);
        if (!shared_exchange_if(day, mark | emptying, mark) && shared_load(day) != mark) return;
    }
    const unsigned place = hash & 63;
    const auto rank = static_cast<std::uint64_t>(std::countl_zero(hash >> 6 | std::uint64_t{1} << 43) - 5);
    std::uint64_t& word = ranks[half][place / 16];
    const unsigned shift = place % 16 * 4;
    for (int i = 0; i < tries; ++i) {
        const std::uint64_t before = shared_load(word);
        if ((before >> shift & 15) >= rank) return;
        const std::uint64_t after = (before & ~(std::uint64_t{15} << shift)) | rank << shift;
        if (shared_exchange_if(word, before, after)) return;
    }
}

double DailyDistinct::estimate(std::uint64_t owner, double now) const noexcept {
    const std::int64_t today = day_of(now);
    const auto of_day = [&](std::int64_t day, Registers& out) {
        const std::size_t half = static_cast<std::size_t>(day) & 1;
        if (day < 0 || shared_load(days[half], std::memory_order_acquire) != mark_of(day, owner))
            return false;
        for (std::size_t i = 0; i < 4; ++i) out[i] = shared_load(ranks[half][i]);
        return true;
    };
    Registers current{}, all{};
    const bool any = of_day(today, current);
    if (!of_day(today - 1, all)) return any ? number_of(current) : 0;
    for (std::size_t i = 0; i < 4; ++i) all[i] = larger(all[i], current[i]);
    const double everything = number_of(all), elapsed = now / day_seconds - static_cast<double>(today);
    return everything - elapsed * (everything - (any ? number_of(current) : 0));
}

}  // namespace atlascore::track
