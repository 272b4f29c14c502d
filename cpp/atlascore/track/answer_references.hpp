// What answers of one model are usual: how sure it is, and how many labels principals come to see.
//
//   margins   histogram over the bins of answer_profile.hpp. Missing below 1,000 samples
//   labels    for principals with 16, 32, ... 1,024 labelled answers each a histogram of how many label bits
//             they had set by then: 32 bins of one, then 20 of eight. The 99th percentile is the upper edge
//             of its bin; between two numbers of answers it is interpolated over their logarithm. Missing
//             where fewer than 32 principals have come so far. A principal counts at n when it has reached
//             2 n, so that none is compared with itself
//
// Upkeep, against poisoning: of a track the first 64 margins are samples, and each number of answers once, so
// one caller moves neither by much; a thousand margins take sixteen of them. The engine tells of tracks under
// constraint nothing. A histogram that has grown to 65,536 samples, 4,096 for labels, is halved, so that old
// ones fade.
//
// Concurrency: counters change by themselves. Who finds one full halves them all, one at a time, under a
// claim (update_claim.hpp); a reader may see some halved and some not yet, once in tens of thousands of
// answers. All-zero memory is valid and empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "atlascore/track/answer_profile.hpp"

namespace atlascore::track {

struct AnswerReferences {
    static constexpr std::uint32_t track_margins = 64;     // of a track are samples
    static constexpr std::uint32_t margin_samples = 1000;  // before which nothing is known
    static constexpr std::uint32_t least_margins = 200;    // of a track, for a comparison
    static constexpr std::uint32_t least_principals = 32;
    static constexpr std::uint32_t first_answers = 16;
    static constexpr std::size_t checkpoints = 7, label_bins = 52;

    void add_margin(double margin) noexcept;
    // A principal that has `set` bits of labels after `answers` answers.
    void add_labels(std::uint32_t answers, unsigned set) noexcept;

    // -log10 of the probability that a track's margins, if they were the model's usual ones, would differ as
    // much (two-sided Kolmogorov-Smirnov test, asymptotic), at most 30. NaN below 200 margins.
    double confidence_shift(const AnswerProfile& profile) const noexcept;
    // Labels over the 99th percentile of principals with as many answers. NaN below 16.
    double label_discovery(const AnswerProfile& profile) const noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t claim;
    std::uint32_t margins[margin_bins];
    std::uint16_t labels[checkpoints][label_bins];
    std::uint8_t usual[checkpoints + 1];  // 99th percentiles in bits; 0 not known

  private:
    std::uint8_t usual_labels(std::size_t checkpoint) const noexcept;
};
static_assert(sizeof(AnswerReferences) == 840 && std::is_trivially_copyable_v<AnswerReferences>);

}  // namespace atlascore::track
