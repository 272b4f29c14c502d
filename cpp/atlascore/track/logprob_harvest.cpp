#include "atlascore/track/logprob_harvest.hpp"

#include <algorithm>
#include <cmath>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr double bucket_seconds = 8.0 * 3600.0;
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

}  // namespace

void LogprobHarvest::reset() noexcept {
    for (std::uint64_t& cell : cells) shared_store(cell, 0);
    biased.reset();
}

LogprobHarvest LogprobHarvest::copy() const noexcept {
    LogprobHarvest out;
    for (std::size_t i = 0; i < cell_count; ++i) out.cells[i] = shared_load(cells[i]);
    out.biased = biased.copy();
    return out;
}

bool LogprobHarvest::empty() const noexcept {
    std::uint64_t any = 0;
    for (const std::uint64_t& cell : cells) any |= shared_load(cell);
    return any == 0 && biased.empty();
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
    biased.add(hash, owner, now);
}

double LogprobHarvest::varied_calls(double now) const noexcept {
    std::uint32_t most = 0;
    for (const std::uint64_t& word : cells) {
        most = std::max(most, Cell::of(shared_load(word)).total(epoch_of(now)));
    }
    return most;
}

double LogprobHarvest::distinct_tokens(std::uint64_t owner, double now) const noexcept {
    return biased.estimate(owner, now);
}

double LogprobHarvest::value(std::uint64_t owner, double now) const noexcept {
    return std::max(varied_calls(now), distinct_tokens(owner, now) / tokens_per_call);
}

}  // namespace atlascore::track
