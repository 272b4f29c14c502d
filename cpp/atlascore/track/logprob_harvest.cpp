#include "atlascore/track/logprob_harvest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

using Registers = LogprobHarvest::Registers;

constexpr double bucket_seconds = 8.0 * 3600.0, day_seconds = 86400.0;
constexpr std::uint32_t buckets = 3, epochs = 512, most_count = 511;
constexpr std::uint32_t most_energy = 15, call_energy = 4;
constexpr int tries = 16;

// One prompt's calls.
struct Cell {
    std::uint32_t prompt = 0;  // 14 bits
    std::uint32_t tokens = 0;  // 10 bits, of the newest call
    std::uint32_t energy = 0;  // 0: nobody's
    std::uint32_t epoch = 0;   // of counts[0]
    std::uint32_t counts[buckets] = {};

    static Cell of(std::uint64_t word) noexcept {
        const auto field = [&](unsigned shift, unsigned bits) {
            return static_cast<std::uint32_t>(word >> shift & ((1u << bits) - 1));
        };
        return {field(50, 14),
                field(40, 10),
                field(36, 4),
                field(27, 9),
                {field(0, 9), field(9, 9), field(18, 9)}};
    }
    std::uint64_t word() const noexcept {
        return std::uint64_t{prompt} << 50 | std::uint64_t{tokens} << 40 | std::uint64_t{energy} << 36 |
               std::uint64_t{epoch} << 27 | std::uint64_t{counts[2]} << 18 | std::uint64_t{counts[1]} << 9 |
               counts[0];
    }

    // Buckets since the newest count; negative for what is late.
    int age(std::uint32_t now) const noexcept {
        const auto since = static_cast<int>((now - epoch) % epochs);
        return since > static_cast<int>(epochs - buckets) ? since - static_cast<int>(epochs) : since;
    }
    std::uint32_t total(std::uint32_t now) const noexcept {
        std::uint32_t sum = 0;
        for (int i = 0; i < static_cast<int>(buckets); ++i) {
            if (i + age(now) < static_cast<int>(buckets)) sum += counts[i];
        }
        return sum;
    }
    void count(std::uint32_t now) noexcept {
        const int past = age(now);
        for (int i = buckets; past > 0 && i-- > 0;) counts[i] = i >= past ? counts[i - past] : 0;
        if (past > 0) epoch = now;
        std::uint32_t& bucket = counts[past < 0 ? -past : 0];
        bucket = std::min(bucket + 1, most_count);
    }
};

std::uint32_t epoch_of(double now) noexcept {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(now / bucket_seconds) % epochs);
}

// The cell after a call.
std::uint64_t after_call(std::uint64_t word, std::uint32_t prompt, std::uint32_t tokens,
                         std::uint32_t now) noexcept {
    Cell cell = Cell::of(word);
    if (cell.energy != 0 && cell.prompt == prompt) {
        if (cell.tokens == tokens) return word;
        cell.tokens = tokens;
        cell.energy = std::min(cell.energy + call_energy, most_energy);
        cell.count(now);
        return cell.word();
    }
    if (cell.energy > 1 && cell.total(now) != 0) {
        --cell.energy;
        return cell.word();
    }
    return Cell{prompt, tokens, call_energy, now, {1, 0, 0}}.word();
}

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

double estimate(const Registers& registers) noexcept {
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
    return raw <= 160 && zeros != 0 ? 64 * std::log(64.0 / zeros) : raw;
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

void LogprobHarvest::reset() noexcept {
    for (std::uint64_t& cell : cells) shared_store(cell, 0);
    for (std::uint32_t& day : days) shared_store(day, 0);
    for (Registers& half : ranks) {
        for (std::uint64_t& word : half) shared_store(word, 0);
    }
}

LogprobHarvest LogprobHarvest::copy() const noexcept {
    LogprobHarvest out;
    for (std::size_t i = 0; i < cell_count; ++i) out.cells[i] = shared_load(cells[i]);
    for (std::size_t half = 0; half < 2; ++half) {
        // The day first: words that belong to another one are emptied before theirs is set.
        out.days[half] = shared_load(days[half], std::memory_order_acquire);
        for (std::size_t i = 0; i < 4; ++i) out.ranks[half][i] = shared_load(ranks[half][i]);
    }
    return out;
}

bool LogprobHarvest::empty() const noexcept {
    std::uint64_t any = shared_load(days[0]) | shared_load(days[1]);
    for (const std::uint64_t& cell : cells) any |= shared_load(cell);
    return any == 0;
}

void LogprobHarvest::add_call(std::uint64_t prompt, std::uint64_t tokens, std::uint64_t owner,
                              double now) noexcept {
    const std::uint64_t hash = base::mix64(prompt, owner);
    const auto short_prompt = static_cast<std::uint32_t>(hash >> 50);
    const auto short_tokens = static_cast<std::uint32_t>(base::mix64(tokens, owner) >> 54);
    std::uint64_t& cell = cells[(hash & 0xFFFFFFFF) * cell_count >> 32];
    for (int i = 0; i < tries; ++i) {
        const std::uint64_t seen = shared_load(cell);
        const std::uint64_t next = after_call(seen, short_prompt, short_tokens, epoch_of(now));
        if (next == seen || shared_exchange_if(cell, seen, next)) return;
    }
}

void LogprobHarvest::add_token(std::uint64_t hash, std::uint64_t owner, double now) noexcept {
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

double LogprobHarvest::varied_calls(double now) const noexcept {
    std::uint32_t most = 0;
    for (const std::uint64_t& word : cells) {
        most = std::max(most, Cell::of(shared_load(word)).total(epoch_of(now)));
    }
    return most;
}

double LogprobHarvest::distinct_tokens(std::uint64_t owner, double now) const noexcept {
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
    if (!of_day(today - 1, all)) return any ? estimate(current) : 0;
    for (std::size_t i = 0; i < 4; ++i) all[i] = larger(all[i], current[i]);
    const double everything = estimate(all), elapsed = now / day_seconds - static_cast<double>(today);
    return everything - elapsed * (everything - (any ? estimate(current) : 0));
}

double LogprobHarvest::value(std::uint64_t owner, double now) const noexcept {
    return std::max(varied_calls(now), distinct_tokens(owner, now) / tokens_per_call);
}

}  // namespace atlascore::track
