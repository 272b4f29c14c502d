#include "atlascore/track/outcome.hpp"

#include <algorithm>
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

// Of a trait word; values in 1/255.
constexpr std::uint32_t rank_known = 1u << 16, off_grid_known = 1u << 17;

std::uint32_t in_steps(float value) noexcept {
    return static_cast<std::uint32_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f));
}

float distance_in(std::uint64_t pair) noexcept {
    return simd::from_half(static_cast<std::uint16_t>(pair >> 40));
}

double ratio(double part, double whole, std::uint32_t minimum) noexcept {
    return whole < minimum ? missing : part / whole;
}

unsigned bit_of(OutcomeFlag flag) noexcept {
    return static_cast<unsigned>(std::countr_zero(static_cast<std::uint32_t>(flag)));
}

WindowSummary summary_of(const simd::OutcomeTally& t) noexcept {
    const auto count = [&t](OutcomeFlag flag) { return static_cast<double>(t.flags[bit_of(flag)]); };
    return {
        .similarity_score = ratio(t.values / 255.0, count(compared), minimum_outcomes),
        .near_ratio = ratio(count(near_pair), count(original), minimum_outcomes),
        .duplicate_ratio = ratio(count(duplicate), t.queries, minimum_outcomes),
        .label_flip_rate = ratio(count(flip), count(tested), minimum_outcomes),
        .near_margin_share = ratio(count(near_low_margin), count(near_margin), minimum_margins),
        .halving_hits = count(halving),
        .collinear_flips = count(between_labels),
        .score_ascents = std::max(count(descent), count(ascent)),
    };
}

// Which outcomes of a ring count.
struct Window {
    simd::OutcomeTags tags;
    std::uint32_t now;  // in ticks, as the length
    std::uint32_t length;
};

// As unsigned numbers, outcomes of the future are too old. A pending one takes the place of the oldest.
Window window_of(std::uint32_t last, std::uint64_t owner, double now, double seconds, bool pending) noexcept {
    Window window;
    window.tags.current = static_cast<std::uint8_t>(tag_of(last, owner));
    window.tags.before = static_cast<std::uint8_t>(tag_of(last - outcome_count, owner));
    window.tags.split = last % outcome_count;
    window.tags.valid = std::min(last, static_cast<std::uint32_t>(outcome_count));
    window.tags.omitted =
        pending && last >= outcome_count ? window.tags.split : static_cast<std::uint32_t>(outcome_count);
    window.now = ticks(now);
    window.length =
        static_cast<std::uint32_t>(std::ceil(std::clamp(seconds * ticks_per_second, 0.0, 2147483647.0)));
    return window;
}

#if defined(__SANITIZE_THREAD__)
// The kernels read words that may be written meanwhile, each of them whole. The thread sanitizer cannot know
// that, so under it they are copied one by one.
template <class T>
struct Copied {
    T words[outcome_count];
    explicit Copied(const T* from) noexcept {
        for (std::size_t i = 0; i < outcome_count; ++i) words[i] = shared_load(from[i]);
    }
    operator const T*() const noexcept { return words; }
};
#else
template <class T>
using Copied = const T*;
#endif

simd::OutcomeTally tally(const OutcomeRing& ring, const Window& over) noexcept {
    return simd::tally_outcomes(Copied<std::uint64_t>(ring.flags), Copied<std::uint64_t>(ring.labels),
                                over.tags, over.now, over.length, bit_of(compared));
}

}  // namespace

std::uint32_t OutcomeRing::take(std::uint32_t n) noexcept {
    return std::atomic_ref<std::uint32_t>(head).fetch_add(n, std::memory_order_acq_rel);
}

void OutcomeRing::write(std::uint32_t ticket, std::uint64_t owner, const Entry& entry, double now) noexcept {
    const std::uint64_t tag = tag_of(ticket, owner);
    const std::size_t at = ticket % outcome_count;
    shared_store(traits[at], static_cast<std::uint32_t>(tag << 24 | entry.traits));
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
    if (!simd::any_low_half(Copied<std::uint64_t>(labels), digest)) return false;
    const std::uint32_t last = end(), count = std::min(last, static_cast<std::uint32_t>(outcome_count));
    for (std::uint32_t at = 0; at < count; ++at) {
        const std::uint64_t word = shared_load(labels[at]);
        if (static_cast<std::uint32_t>(word) != digest) continue;
        const std::uint32_t ticket = last - 1 - (last - 1 - at) % outcome_count;  // of this place
        if (word >> 56 == tag_of(ticket, owner)) return true;
    }
    return false;
}

WindowSummary OutcomeRing::summary(std::uint64_t owner, double now, double window,
                                   const Entry* pending) const noexcept {
    const Window over = window_of(end(), owner, now, window, pending != nullptr);
    simd::OutcomeTally sum = tally(*this, over);
    if (pending != nullptr) {
        for (unsigned bit = 0; bit < std::size(sum.flags); ++bit) {
            sum.flags[bit] = static_cast<std::uint8_t>(sum.flags[bit] + (pending->flags >> bit & 1));
        }
        sum.values += (pending->flags & compared) != 0 ? pending->survival : 0;
        ++sum.queries;
    }
    return summary_of(sum);
}

std::uint32_t OutcomeRing::traits_of(float rank, float off_grid) noexcept {
    std::uint32_t word = 0;
    if (!std::isnan(rank)) word |= rank_known | in_steps(rank);
    if (!std::isnan(off_grid)) word |= off_grid_known | in_steps(off_grid) << 8;
    return word;
}

TraitSummary OutcomeRing::traits_summary(std::uint64_t owner, double now, double window,
                                         const Entry* pending) const noexcept {
    const Window over = window_of(end(), owner, now, window, pending != nullptr);
    simd::TraitTally sum = simd::tally_traits(Copied<std::uint64_t>(flags), Copied<std::uint32_t>(traits),
                                              over.tags, over.now, over.length);
    if (pending != nullptr) {
        sum.ranks += (pending->traits & rank_known) != 0;
        sum.rank_sum += pending->traits & 0xFF;
        sum.off_grids += (pending->traits & off_grid_known) != 0;
        sum.off_grid_sum += pending->traits >> 8 & 0xFF;
    }
    return {.off_grid_ratio = ratio(sum.off_grid_sum / 255.0, sum.off_grids, minimum_outcomes),
            .manifold_rank = ratio(sum.rank_sum / 255.0, sum.ranks, minimum_ranks)};
}

BlockMeans OutcomeRing::block_means(std::uint64_t owner, double from, double until) const noexcept {
    const Window over = window_of(end(), owner, until - 1 / ticks_per_second, until - from, false);
    const simd::OutcomeTally sum = tally(*this, over);
    const simd::TraitTally where = simd::tally_traits(
        Copied<std::uint64_t>(flags), Copied<std::uint32_t>(traits), over.tags, over.now, over.length);
    BlockMeans out;
    const auto set = [&out](BlockMeans::Series series, double total, std::uint32_t count) {
        out.count[series] = count;
        out.mean[series] = count == 0 ? 0 : total / count;
    };
    set(BlockMeans::similarity, sum.values / 255.0, sum.flags[bit_of(compared)]);
    set(BlockMeans::low_margin, sum.flags[bit_of(low_margin)], sum.flags[bit_of(margin)]);
    set(BlockMeans::manifold_rank, where.rank_sum / 255.0, where.ranks);
    return out;
}

double OutcomeRing::timing_regularity(std::uint64_t owner, double now, double window,
                                      bool pending) const noexcept {
    const std::uint32_t last = end();
    const Window over = window_of(last, owner, now, window, pending);
    std::uint32_t ages[outcome_count + 1];
    std::size_t count = 0;
    for (std::uint32_t ticket = first(); ticket != last; ++ticket) {
        const std::uint64_t flag = shared_load(flags[ticket % outcome_count]);
        if (flag >> 56 != tag_of(ticket, owner) || ticket % outcome_count == over.tags.omitted) continue;
        const std::uint32_t age = over.now - static_cast<std::uint32_t>(flag);
        if (age < over.length) ages[count++] = age;
    }
    if (pending) ages[count++] = 0;
    if (count < minimum_times) return missing;
    std::sort(ages, ages + count);
    if (ages[0] == ages[count - 1]) return missing;
    const auto gaps = static_cast<double>(count - 1);
    const double mean = (ages[count - 1] - ages[0]) / gaps;
    double squares = 0;
    for (std::size_t i = 1; i < count; ++i) {
        const double off = ages[i] - ages[i - 1] - mean;
        squares += off * off;
    }
    return 1 - std::min(1.0, std::sqrt(squares / gaps) / mean);
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
        shared_store(traits[i], 0);
    }
    shared_store(head, 0);
}

}  // namespace atlascore::track
