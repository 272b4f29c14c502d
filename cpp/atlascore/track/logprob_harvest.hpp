// How much of a language model's output layer a track has read: 112 B of its hot slab.
//
//   cells   5 words, one prompt each: prompt 14 | tokens 10 | energy 4 | epoch 9 | counts 3 x 9
//   biased  distinct tokens (distinct.hpp)
//
// Calls on one prompt. A call counts when its set of biased tokens differs from that of the call before on
// its prompt; the first call on a prompt counts, also when it comes back. Counts are of 8 h each, so a
// reading covers the last 16 to 24 h, and ends at 511 in each.
//
// A prompt has one cell, by its hash. Its counted calls give the cell 4 units of energy, at most 15; a call
// on another prompt of the cell takes one, and the one that takes the last has the cell. So a reading never
// exceeds what was sent, and falls short of it by little:
//   - calls on ever new prompts wear a prompt out when 20 of them come to each of its own, four in each of
//     five cells; 15 do not;
//   - a prompt that finds its cell taken is counted from its 15th call on at the latest, when the prompt
//     before it has ended; one that has not ended must itself have a counted call for every four of the new
//     one's, and is counted instead.
// Prompts that are equal in 14 bits, in a cell of five, are taken for one: of a caller with two sets of
// tokens one call in 16,000 counts that should not. One set in 1,024 passes for the one before it.
//
// Who may see what when
//   A cell is one word, changed by compare-exchange: it is never torn, and who is killed leaves it whole.
//   Hashes hold the owner, so that a writer that slept while the slab changed hands adds at most one token
//   and one count.
//   Time is the caller's; a late query counts where it belongs. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/distinct.hpp"

namespace atlascore::track {

struct LogprobHarvest {
    static constexpr std::size_t cell_count = 5;
    static constexpr double tokens_per_call = 20;  // so many distinct tokens weigh as one call

    void reset() noexcept;
    // To try out what a query would change.
    LogprobHarvest copy() const noexcept;
    // No call has been counted since reset().
    bool empty() const noexcept;

    // A call that asks for log-probabilities or biases tokens. prompt: hash of its prompt. tokens: hash of
    // the set of biased ones, 0 for none.
    void add_call(std::uint64_t prompt, std::uint64_t tokens, std::uint64_t owner, double now) noexcept;
    // One biased token.
    void add_token(std::uint64_t hash, std::uint64_t owner, double now) noexcept;

    double varied_calls(double now) const noexcept;  // of the prompt with most
    double distinct_tokens(std::uint64_t owner, double now) const noexcept;
    double value(std::uint64_t owner, double now) const noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t cells[cell_count];
    DailyDistinct biased;
};

static_assert(sizeof(LogprobHarvest) == 112 && std::is_trivially_copyable_v<LogprobHarvest>);

}  // namespace atlascore::track
