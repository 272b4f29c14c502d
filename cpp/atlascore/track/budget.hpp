// What a track has taken of a model: the sum of its queries that were not sent before, half of it forgotten
// in 30 days. One word of the cold record, so it outlives the hot slab: seconds of the newest query in the
// high half, float32 sum in the low half. 0 is empty.
//
// Concurrency: the word is replaced by compare-exchange, at most 16 tries; then the queries are not counted.
// A float32 counts single queries up to 16 million.
#pragma once

#include <cstdint>

namespace atlascore::track {

double budget_spent(const std::uint64_t& word, double now) noexcept;
// False: lost to other writers.
bool spend_budget(std::uint64_t& word, double now, double queries) noexcept;

}  // namespace atlascore::track
