#include "atlascore/track/answer_references.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "atlascore/track/sketch_slot.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint64_t full_margins = 65'536, full_labels = 4'096;
constexpr double percentile = 0.99, most_shift = 30;
constexpr unsigned single_bins = 32, wide = 8;

std::size_t label_bin(unsigned set) noexcept {
    return set < single_bins
               ? set
               : single_bins + (std::min(set, AnswerProfile::label_bits - 1) - single_bins) / wide;
}

unsigned upper_edge(std::size_t bin) noexcept {
    const auto b = static_cast<unsigned>(bin);
    return b < single_bins ? b : single_bins + (b - single_bins + 1) * wide - 1;
}

// Linear counting, by how many of the bits are set.
const std::array<double, AnswerProfile::label_bits + 1> label_counts = [] {
    constexpr unsigned bits = AnswerProfile::label_bits;
    std::array<double, bits + 1> table{};
    for (unsigned set = 1; set <= bits; ++set)
        table[set] = bits * std::log(static_cast<double>(bits) / std::max(1u, bits - set));
    return table;
}();

template <class T, std::size_t n>
std::uint64_t sum_of(std::span<T, n> counters) noexcept {
    std::uint64_t sum = 0;
    for (const T& counter : counters) sum += shared_load(counter);
    return sum;
}

template <class T, std::size_t n>
void count(std::span<T, n> counters, std::size_t bin, std::uint64_t full, std::uint64_t& claim) noexcept {
    if (sum_of(counters) >= full) {
        const UpdateClaim held(claim);
        if (!held) return;
        for (T& counter : counters) shared_store(counter, static_cast<T>(shared_load(counter) / 2));
    }
    std::atomic_ref(counters[bin]).fetch_add(1, std::memory_order_relaxed);
}

// -log10 p of Kolmogorov's distribution.
double kolmogorov(double scaled) noexcept {
    // Below, the series converges slowly, and the probability is 1 to nine digits.
    if (scaled < 0.2) return 0;
    double p = 0;
    for (int k = 1; k <= 100; ++k) {
        const double term = std::exp(-2 * (k * scaled) * (k * scaled));
        p += k % 2 == 1 ? 2 * term : -2 * term;
        if (term < 1e-17 * p) break;
    }
    return p > 0 ? std::clamp(-std::log10(p), 0.0, most_shift) : most_shift;
}

}  // namespace

void AnswerReferences::add_margin(double margin) noexcept {
    count(std::span(margins), margin_bin(margin), full_margins, claim);
}

void AnswerReferences::add_labels(std::uint32_t answers, unsigned set) noexcept {
    if (answers < first_answers || !std::has_single_bit(answers)) return;
    const auto checkpoint =
        static_cast<std::size_t>(std::countr_zero(answers) - std::countr_zero(first_answers));
    if (checkpoint >= checkpoints) return;
    count(std::span(labels[checkpoint]), label_bin(set), full_labels, claim);
    shared_store(usual[checkpoint], usual_labels(checkpoint));
}

double AnswerReferences::confidence_shift(const AnswerProfile& profile) const noexcept {
    const MarginCounts counts = profile.margin_counts();
    const double n = std::accumulate(counts.begin(), counts.end(), 0.0);
    if (n < least_margins) return missing;
    const auto samples = static_cast<double>(sum_of(std::span(margins)));
    if (samples < margin_samples) return missing;
    double mine = 0, theirs = 0, farthest = 0;
    for (std::size_t i = 0; i + 1 < margin_bins; ++i) {
        mine += counts[i];
        theirs += shared_load(margins[i]);
        farthest = std::max(farthest, std::abs(mine / n - theirs / samples));
    }
    const double root = std::sqrt(n);
    return kolmogorov((root + 0.12 + 0.11 / root) * farthest);
}

// 99th percentile of the bits that are set; 0 while it is not known.
std::uint8_t AnswerReferences::usual_labels(std::size_t checkpoint) const noexcept {
    const std::span bins(labels[checkpoint]);
    const std::uint64_t principals = sum_of(bins);
    if (principals < least_principals) return 0;
    std::size_t bin = 0;
    double below = shared_load(bins[0]);
    while (below < percentile * static_cast<double>(principals) && bin + 1 < label_bins)
        below += shared_load(bins[++bin]);
    return static_cast<std::uint8_t>(upper_edge(bin));
}

double AnswerReferences::label_discovery(const AnswerProfile& profile) const noexcept {
    const std::uint32_t answers = profile.answers();
    if (answers < first_answers) return missing;
    const auto checkpoint = static_cast<std::size_t>(std::bit_width(answers) - std::bit_width(first_answers));
    const bool between = !std::has_single_bit(answers);
    if (checkpoint + between >= checkpoints) return missing;
    const std::uint8_t below = shared_load(usual[checkpoint]);
    const std::uint8_t above = between ? shared_load(usual[checkpoint + 1]) : below;
    if (below == 0 || above == 0) return missing;
    double most = label_counts[below];
    if (above != below) {
        const double part = std::log2(static_cast<double>(answers) / std::bit_floor(answers));
        most += part * (label_counts[above] - most);
    }
    return label_counts[profile.labels_set()] / most;
}

}  // namespace atlascore::track
