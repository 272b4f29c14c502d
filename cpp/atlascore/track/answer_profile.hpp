// What a track has been answered: which labels, and how sure the model was. 80 B of its hot slab.
//
//   labelled   answers with a label, 32 bits
//   before     bits of `labels` when there were half as many answers, or fewer: the last power of two
//   labels     linear counting: one of 192 bits for each
//   margins    24 counters of the best score less the second, for scores that add up to 1: twelve of 1/16
//   each,
//              then each covers half of what is left to 1; a full counter stops them all
//
// Concurrency: words and counters change by themselves, and no reading needs two of them to agree. A writer
// that slept while the slab changed hands adds at most one answer. All-zero memory is valid and empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace atlascore::track {

inline constexpr std::size_t margin_bins = 24;
using MarginCounts = std::array<std::uint32_t, margin_bins>;

std::size_t margin_bin(double margin) noexcept;

struct AnswerProfile {
    static constexpr unsigned label_bits = 192;

    void reset() noexcept;
    // An answer with a label, 1 to 65,535. Returns how many there are now, and if that is a power of two, the
    // bits that were set at half as many.
    struct Labelled {
        std::uint32_t answers;
        unsigned before;
    };
    Labelled add_label(std::uint16_t label) noexcept;
    // False: it is not counted any more.
    bool add_margin(double margin) noexcept;

    std::uint32_t answers() const noexcept;
    unsigned labels_set() const noexcept;  // bits
    MarginCounts margin_counts() const noexcept;
    std::uint32_t margin_count() const noexcept;

    // Layout; only the member functions touch it.
    std::uint32_t labelled;
    std::uint32_t before;
    std::uint64_t labels[label_bits / 64];
    std::uint16_t margins[margin_bins];
};
static_assert(sizeof(AnswerProfile) == 80 && std::is_trivially_copyable_v<AnswerProfile>);

}  // namespace atlascore::track
