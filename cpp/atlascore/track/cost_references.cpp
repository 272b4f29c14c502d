#include "atlascore/track/cost_references.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

using Contributor = CostReferences::Contributor;
using OfSize = CostReferences::OfSize;

constexpr double lowest_log2 = -24, bins_per_octave = 8;
constexpr double size_bins_per_octave = 4, size_octaves = 16;
constexpr double half_life_seconds = 24 * 3600.0;
constexpr double median_share = 0.5, rare_share = 0.999;
constexpr std::uint32_t sample_share = 100;  // once settled, one request in so many
constexpr double contributor_seconds = 60.0;
constexpr std::uint32_t fewest_samples = cost_samples / 8;
constexpr std::uint32_t fewest_of_size = 13;
constexpr std::size_t contributor_ways = 4;
constexpr double missing = std::numeric_limits<double>::quiet_NaN();

std::size_t bin_of(double log2_cost, double lowest, double per_octave, std::size_t bins) noexcept {
    return static_cast<std::size_t>(
        std::clamp((log2_cost - lowest) * per_octave, 0.0, static_cast<double>(bins - 1)));
}

double sum(std::span<const float> bins) noexcept {
    double total = 0;
    for (const float& bin : bins) total += shared_load(bin);
    return total;
}

bool share_given(const Contributor& who, std::uint32_t samples) noexcept {
    return shared_load(who.samples) >= std::max(fewest_samples, samples / 8);
}

// Adds a sample after fading the others, whose weight does not fall below `least`. Returns the new weight.
double add_sample(std::span<float> bins, std::size_t at, double& time, double now, double least) noexcept {
    const double total = sum(bins);
    const double before = shared_load(time);
    double factor = std::exp2(-std::max(0.0, now - before) / half_life_seconds);
    factor = std::max(factor, total > least ? least / total : 1.0);
    if (factor != 1) {
        for (float& bin : bins) shared_store(bin, static_cast<float>(shared_load(bin) * factor));
    }
    shared_store(bins[at], shared_load(bins[at]) + 1.0f);
    shared_store(time, std::max(before, now));
    return total * factor + 1;
}

// Where a share of the weight lies: a bin, and how far inside it, 0 to 1.
struct Place {
    std::size_t bin;
    double inside;
};
Place quantile(std::span<const float> bins, double weight) noexcept {
    double below = 0;
    for (std::size_t bin = 0; bin < bins.size(); ++bin) {
        const double part = shared_load(bins[bin]);
        if (part > 0 && below + part >= weight) return {bin, (weight - below) / part};
        below += part;
    }
    return {bins.size() - 1, 1};
}

std::size_t contributor_set(std::uint64_t principal) noexcept {
    return base::mix64(principal, 1) % (CostReferences::contributor_count / contributor_ways) *
           contributor_ways;
}

// Null: the principal has none.
const Contributor* find_contributor(const CostReferences& r, std::uint64_t principal) noexcept {
    const Contributor* first = r.contributors + contributor_set(principal);
    for (const Contributor* who = first; who != first + contributor_ways; ++who) {
        if (shared_load(who->principal) == principal) return who;
    }
    return nullptr;
}

// A new record replaces one of four. While shares are counted, that of who has given least: so whoever gives
// much stays known. Later, when a minute has to pass, that of who gave longest ago.
Contributor& contributor(CostReferences& r, std::uint64_t principal, bool settled) noexcept {
    Contributor* first = r.contributors + contributor_set(principal);
    Contributor* taken = first;
    for (Contributor* who = first; who != first + contributor_ways; ++who) {
        if (shared_load(who->principal) == principal) return *who;
        const bool less = settled ? shared_load(who->seconds) < shared_load(taken->seconds)
                                  : shared_load(who->samples) < shared_load(taken->samples);
        if (less) taken = who;
    }
    shared_store(taken->principal, principal);
    shared_store(taken->seconds, 0);
    shared_store(taken->samples, 0);
    for (std::uint8_t& count : taken->of_size) shared_store(count, 0);
    return *taken;
}

template <class T>
void add_one(T& count) noexcept {
    const T before = shared_load(count);
    if (before != std::numeric_limits<T>::max()) shared_store(count, static_cast<T>(before + 1));
}

void restart(CostReferences& r, unsigned size, double log2_cost) noexcept {
    OfSize& of_size = r.sizes[size];
    // The first cost's bin is one of a fixed grid, wherever in it the cost lies.
    const double lowest =
        std::floor(log2_cost * size_bins_per_octave) / size_bins_per_octave - size_octaves / 2;
    for (float& bin : of_size.bins) shared_store(bin, 0);
    shared_store(of_size.lowest, static_cast<float>(lowest));
    shared_store(of_size.samples, 0);
    for (Contributor& who : r.contributors) shared_store(who.of_size[size], 0);
}

void add_to_size(CostReferences& r, unsigned size, double log2_cost, Contributor& who, double now) noexcept {
    OfSize& of_size = r.sizes[size];
    const std::span<float> bins(of_size.bins);
    const std::uint32_t samples = shared_load(of_size.samples);
    const bool given = shared_load(who.of_size[size]) >= std::max(fewest_of_size, samples / 4);
    if (samples < cost_samples && given) return;
    if (samples == 0) restart(r, size, log2_cost);
    const auto add = [&] {
        const double lowest = shared_load(of_size.lowest);
        const std::size_t at = bin_of(log2_cost, lowest, size_bins_per_octave, bins.size());
        const double weight = add_sample(bins, at, of_size.time, now, cost_size_samples);
        return quantile(bins, weight * median_share);
    };
    Place median = add();
    if (median.bin == 0 || median.bin == bins.size() - 1) {
        restart(r, size, log2_cost);
        median = add();
    }
    const double place = static_cast<double>(median.bin) + median.inside;
    shared_store(of_size.median,
                 static_cast<float>(std::exp2(shared_load(of_size.lowest) + place / size_bins_per_octave)));
    add_one(of_size.samples);
    add_one(who.of_size[size]);
}

}  // namespace

unsigned cost_size(std::size_t size) noexcept {
    const auto width = static_cast<unsigned>(std::bit_width(size));
    return std::min<unsigned>(cost_sizes - 1, std::max(1u, width) - 1);
}

UsualCost CostReferences::read(unsigned size) const noexcept {
    if (shared_load(samples) < cost_samples) return {missing, missing};
    const OfSize& of_size = sizes[size];
    const bool own = shared_load(of_size.samples) >= cost_size_samples;
    const double usual = shared_load(own ? of_size.median : median);
    const double unusual = shared_load(rare);
    return {usual > 0 ? usual : missing, unusual > 0 ? unusual : missing};
}

bool CostReferences::takes_part(double cost, std::uint64_t principal, double now) const noexcept {
    const std::uint32_t before = shared_load(samples);
    const bool settled = before >= cost_learning;
    const std::uint64_t drawn =
        base::mix64(principal, std::bit_cast<std::uint64_t>(cost) ^ std::bit_cast<std::uint64_t>(now));
    if (settled && drawn % sample_share != 0) return false;
    const Contributor* who = find_contributor(*this, principal);
    if (who == nullptr) return true;
    return settled ? now - shared_load(who->seconds) >= contributor_seconds : !share_given(*who, before);
}

void CostReferences::update(unsigned size, double cost, std::uint64_t principal, double now) noexcept {
    const UpdateClaim held(claim);
    if (!held) return;
    const std::uint32_t before = shared_load(samples);
    const bool settled = before >= cost_learning;
    Contributor& who = contributor(*this, principal, settled);
    if (!settled && share_given(who, before)) return;
    const double log2_cost = std::log2(cost);
    const std::size_t at = bin_of(log2_cost, lowest_log2, bins_per_octave, std::size(bins));
    const double weight = add_sample(bins, at, time, now, cost_samples);
    const Place middle = quantile(bins, weight * median_share), edge = quantile(bins, weight * rare_share);
    const auto cost_at = [](double place) {
        return static_cast<float>(std::exp2(lowest_log2 + place / bins_per_octave));
    };
    shared_store(median, cost_at(static_cast<double>(middle.bin) + middle.inside));
    const bool beyond = edge.bin == std::size(bins) - 1;  // whose upper edge is not known
    shared_store(
        rare, beyond ? std::numeric_limits<float>::infinity() : cost_at(static_cast<double>(edge.bin) + 1));
    add_to_size(*this, size, log2_cost, who, now);
    add_one(who.samples);
    shared_store(who.seconds, static_cast<std::uint32_t>(std::clamp(now, 0.0, 4294967295.0)));
    add_one(samples);
}

}  // namespace atlascore::track
