#include "atlascore/track/outcome.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double ticks_per_second = 64.0;
constexpr std::uint32_t all_flags = 0xFFFFFF;
constexpr std::uint32_t minimum_near = 8, last_near = 32;

std::uint32_t ticks(double now) noexcept {
    constexpr double limit = 1e15;
    return static_cast<std::uint32_t>(
        static_cast<std::int64_t>(std::floor(std::clamp(now * ticks_per_second, -limit, limit))));
}

std::uint64_t tag_of(std::uint32_t ticket, std::uint64_t owner) noexcept {
    return static_cast<std::uint8_t>((ticket / outcome_count + 1) ^ (owner >> 56) ^ (owner >> 28));
}

std::uint64_t flag_word(std::uint64_t tag, const OutcomeRing::Entry& e, std::uint32_t time) noexcept {
    return tag << 56 | static_cast<std::uint64_t>(e.flags & all_flags) << 32 | time;
}
std::uint64_t label_word(std::uint64_t tag, const OutcomeRing::Entry& e) noexcept {
    return tag << 56 | std::uint64_t{e.survival} << 48 | std::uint64_t{e.label} << 32 | e.digest;
}
std::uint64_t pair_word(std::uint64_t tag, const OutcomeRing::Entry& e) noexcept {
    return tag << 56 | std::uint64_t{simd::to_half(e.distance)} << 40 |
           static_cast<std::uint64_t>(e.neighbour & 0xFFFFFF) << 16 | e.best_score;
}

float distance_in(std::uint64_t pair) noexcept {
    return simd::from_half(static_cast<std::uint16_t>(pair >> 40));
}

// One counter of 8 bits a flag, side by side in two words, so that an outcome costs two additions and no
// branch; what an outcome is follows no pattern that a processor could learn.
constexpr std::array<std::uint64_t, 256> spread = [] {
    std::array<std::uint64_t, 256> table{};
    for (std::uint64_t byte = 0; byte < 256; ++byte) {
        for (unsigned bit = 0; bit < 8; ++bit) table[byte] |= (byte >> bit & 1) << 8 * bit;
    }
    return table;
}();

// What follows from several flags is counted in the place of `calibrated`: queries that are comparable and no
// duplicates.
constexpr std::array<std::uint8_t, 256> first_flags = [] {
    std::array<std::uint8_t, 256> table{};
    for (unsigned flags = 0; flags < 256; ++flags) {
        const bool original = (flags & comparable) != 0 && (flags & duplicate) == 0;
        table[flags] = static_cast<std::uint8_t>((flags & ~std::uint32_t{calibrated}) |
                                                 (original ? std::uint32_t{calibrated} : 0));
    }
    return table;
}();

struct Tally {
    std::uint64_t first = 0, second = 0, survival = 0, queries = 0;

    void add(std::uint64_t flag_bits, std::uint64_t survival_byte, std::uint64_t mask) noexcept {
        first += spread[first_flags[flag_bits & 255]] & mask;
        second += spread[flag_bits >> 8 & 255] & mask;
        survival += survival_byte & (0 - (flag_bits >> 2 & 1)) & mask;
        queries += 1 & mask;
    }
    double count(OutcomeFlag flag) const noexcept {
        const auto bit = static_cast<unsigned>(std::countr_zero(static_cast<std::uint32_t>(flag)));
        return static_cast<double>((bit < 8 ? first : second) >> 8 * (bit % 8) & 255);
    }
};
static_assert(compared == 1u << 2);

double ratio(double part, double whole, std::uint32_t minimum) noexcept {
    return whole < minimum ? missing : part / whole;
}

WindowSummary summary_of(const Tally& t) noexcept {
    return {
        .similarity_score =
            ratio(static_cast<double>(t.survival) / 255.0, t.count(compared), minimum_outcomes),
        .near_ratio = ratio(t.count(near_pair), t.count(calibrated), minimum_outcomes),
        .duplicate_ratio = ratio(t.count(duplicate), static_cast<double>(t.queries), minimum_outcomes),
        .label_flip_rate = ratio(t.count(flip), t.count(tested), minimum_outcomes),
        .near_margin_share = ratio(t.count(near_low_margin), t.count(near_margin), minimum_margins),
        .halving_hits = t.count(halving),
        .collinear_flips = t.count(between_labels),
        .score_ascents = std::max(t.count(descent), t.count(ascent)),
        .near_pairs = t.count(near_pair),
    };
}

}  // namespace

std::uint32_t OutcomeRing::take(std::uint32_t n) noexcept {
    return std::atomic_ref<std::uint32_t>(head).fetch_add(n, std::memory_order_acq_rel);
}

void OutcomeRing::write(std::uint32_t ticket, std::uint64_t owner, const Entry& entry, double now) noexcept {
    const std::uint64_t tag = tag_of(ticket, owner);
    const std::size_t at = ticket % outcome_count;
    shared_store(pairs[at], pair_word(tag, entry));
    shared_store(labels[at], label_word(tag, entry), std::memory_order_release);
    shared_store(flags[at], flag_word(tag, entry, ticks(now)), std::memory_order_release);
}

std::optional<OutcomeRing::Entry> OutcomeRing::read(std::uint32_t ticket,
                                                    std::uint64_t owner) const noexcept {
    const std::uint64_t tag = tag_of(ticket, owner);
    const std::size_t at = ticket % outcome_count;
    const std::uint64_t flag = shared_load(flags[at], std::memory_order_acquire);
    const std::uint64_t label = shared_load(labels[at], std::memory_order_acquire);
    const std::uint64_t pair = shared_load(pairs[at], std::memory_order_acquire);
    if (end() - ticket > outcome_count) return std::nullopt;
    if (flag >> 56 != tag || label >> 56 != tag || pair >> 56 != tag) return std::nullopt;
    Entry entry;
    entry.flags = static_cast<std::uint32_t>(flag >> 32) & all_flags;
    entry.survival = static_cast<std::uint8_t>(label >> 48);
    entry.label = static_cast<std::uint16_t>(label >> 32);
    entry.digest = static_cast<std::uint32_t>(label);
    entry.distance = distance_in(pair);
    entry.neighbour = static_cast<std::uint32_t>(pair >> 16 & 0xFFFFFF);
    entry.best_score = static_cast<std::uint16_t>(pair);
    return entry;
}

bool OutcomeRing::set_label(std::uint32_t ticket, std::uint64_t owner, std::uint16_t label) noexcept {
    std::uint64_t& word = labels[ticket % outcome_count];
    std::uint64_t before = shared_load(word);
    if (before >> 56 != tag_of(ticket, owner) || (before >> 32 & 0xFFFF) != 0) return false;
    return shared_exchange_if(word, before, before | std::uint64_t{label} << 32);
}

void OutcomeRing::set_best_score(std::uint32_t ticket, std::uint64_t owner, std::uint16_t place) noexcept {
    std::uint64_t& word = pairs[ticket % outcome_count];
    const std::uint64_t before = shared_load(word);
    if (before >> 56 != tag_of(ticket, owner)) return;
    shared_exchange_if(word, before, (before & ~std::uint64_t{0xFFFF}) | place);
}

std::optional<std::uint32_t> OutcomeRing::add_flags(std::uint32_t ticket, std::uint64_t owner,
                                                    std::uint32_t more) noexcept {
    std::atomic_ref<std::uint64_t> word(flags[ticket % outcome_count]);
    std::uint64_t before = word.load(std::memory_order_relaxed);
    do {
        if (before >> 56 != tag_of(ticket, owner)) return std::nullopt;
    } while (!word.compare_exchange_weak(before, before | static_cast<std::uint64_t>(more) << 32,
                                         std::memory_order_acq_rel, std::memory_order_relaxed));
    return static_cast<std::uint32_t>(before >> 32) & all_flags;
}

bool OutcomeRing::holds_digest(std::uint64_t owner, std::uint32_t digest) const noexcept {
    const std::uint32_t last = end();
    for (std::uint32_t ticket = first(); ticket != last; ++ticket) {
        const std::uint64_t word = shared_load(labels[ticket % outcome_count]);
        if (static_cast<std::uint32_t>(word) == digest && word >> 56 == tag_of(ticket, owner)) return true;
    }
    return false;
}

WindowSummary OutcomeRing::summary(std::uint64_t owner, double now, double window,
                                   const Entry* pending) const noexcept {
    const std::uint32_t last = end();
    const std::uint32_t most = outcome_count - (pending != nullptr);
    const std::uint32_t count = std::min<std::uint32_t>(last, most);
    const std::uint32_t now_ticks = ticks(now);
    const auto window_ticks =
        static_cast<std::uint32_t>(std::ceil(std::clamp(window * ticks_per_second, 0.0, 2147483647.0)));
    Tally tally;
    if (pending != nullptr) tally.add(pending->flags, pending->survival, ~std::uint64_t{0});
    for (std::uint32_t ticket = last - count; ticket != last; ++ticket) {
        const std::size_t at = ticket % outcome_count;
        const std::uint64_t flag = shared_load(flags[at]), label = shared_load(labels[at]);
        const std::uint64_t tag = tag_of(ticket, owner);
        // As unsigned numbers, outcomes of the future are too old.
        const bool counts = (flag >> 56 == tag) & (label >> 56 == tag) &
                            (now_ticks - static_cast<std::uint32_t>(flag) < window_ticks);
        tally.add(flag >> 32, label >> 48 & 255, 0 - static_cast<std::uint64_t>(counts));
    }
    return summary_of(tally);
}

float OutcomeRing::median_near_distance(std::uint32_t before, std::uint64_t owner) const noexcept {
    float distances[last_near];
    std::uint32_t count = 0;
    const std::uint32_t oldest = first();
    if (before - oldest > outcome_count) return std::numeric_limits<float>::quiet_NaN();
    for (std::uint32_t ticket = before; ticket != oldest && count < last_near;) {
        --ticket;
        const std::uint64_t tag = tag_of(ticket, owner);
        const std::uint64_t flag = shared_load(flags[ticket % outcome_count]);
        const std::uint64_t pair = shared_load(pairs[ticket % outcome_count]);
        if (flag >> 56 != tag || pair >> 56 != tag || (flag >> 32 & near_pair) == 0) continue;
        distances[count++] = distance_in(pair);
    }
    if (count < minimum_near) return std::numeric_limits<float>::quiet_NaN();
    std::nth_element(distances, distances + count / 2, distances + count);
    const float upper = distances[count / 2];
    return count % 2 == 1 ? upper : 0.5f * (upper + *std::max_element(distances, distances + count / 2));
}

void OutcomeRing::clear() noexcept {
    for (std::size_t i = 0; i < outcome_count; ++i) {
        shared_store(flags[i], 0);
        shared_store(labels[i], 0);
        shared_store(pairs[i], 0);
    }
    shared_store(head, 0);
}

}  // namespace atlascore::track
