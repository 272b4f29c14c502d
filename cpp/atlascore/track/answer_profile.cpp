#include "atlascore/track/answer_profile.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "atlascore/base/bits.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t even_bins = 12;
constexpr double even_width = 1.0 / 16;
constexpr int tries = 16;

}  // namespace

std::size_t margin_bin(double margin) noexcept {
    constexpr double even_end = even_bins * even_width;
    if (!(margin > 0)) return 0;
    if (margin < even_end) return static_cast<std::size_t>(margin / even_width);
    std::size_t bin = even_bins;
    for (double left = (1 - even_end) / 2; bin < margin_bins - 1 && margin >= 1 - left; left /= 2) ++bin;
    return bin;
}

void AnswerProfile::reset() noexcept {
    shared_store(labelled, 0);
    shared_store(before, 0);
    for (std::uint64_t& word : labels) shared_store(word, 0);
    for (std::uint16_t& counter : margins) shared_store(counter, 0);
}

AnswerProfile::Labelled AnswerProfile::add_label(std::uint16_t label) noexcept {
    const unsigned bit = label * label_bits >> 16;
    std::uint64_t& word = labels[bit / 64];
    const std::uint64_t mask = std::uint64_t{1} << bit % 64;
    if ((shared_load(word) & mask) == 0) std::atomic_ref(word).fetch_or(mask, std::memory_order_relaxed);
    const std::uint32_t n = std::atomic_ref(labelled).fetch_add(1, std::memory_order_relaxed) + 1;
    if (!std::has_single_bit(n)) return {n, 0};
    return {n, std::atomic_ref(before).exchange(labels_set(), std::memory_order_relaxed)};
}

bool AnswerProfile::add_margin(double margin) noexcept {
    constexpr std::uint16_t full = std::numeric_limits<std::uint16_t>::max();
    const auto is_full = [](const std::uint16_t& counter) { return shared_load(counter) == full; };
    if (std::any_of(std::begin(margins), std::end(margins), is_full)) return false;
    std::uint16_t& counter = margins[margin_bin(margin)];
    for (int i = 0; i < tries; ++i) {
        const std::uint16_t seen = shared_load(counter);
        if (seen == full) return false;
        if (shared_exchange_if(counter, seen, static_cast<std::uint16_t>(seen + 1))) return true;
    }
    return false;
}

std::uint32_t AnswerProfile::answers() const noexcept {
    return shared_load(labelled);
}

unsigned AnswerProfile::labels_set() const noexcept {
    unsigned set = 0;
    for (const std::uint64_t& word : labels) set += base::count_bits(shared_load(word));
    return set;
}

MarginCounts AnswerProfile::margin_counts() const noexcept {
    MarginCounts counts;
    for (std::size_t i = 0; i < margin_bins; ++i) counts[i] = shared_load(margins[i]);
    return counts;
}

std::uint32_t AnswerProfile::margin_count() const noexcept {
    const MarginCounts counts = margin_counts();
    return std::accumulate(counts.begin(), counts.end(), std::uint32_t{0});
}

}  // namespace atlascore::track
