#include "atlascore/track/prompt_windows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

#include "atlascore/base/hash.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/sketch_slot.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

// Widths of the kernel, in distances between two unrelated texts.
constexpr double widths[] = {0.5, 1, 2, 4};
constexpr std::size_t frequencies_each = fourier_frequencies / std::size(widths);
constexpr double unrelated = 1.4;

constexpr double day_seconds = 86'400;
constexpr double tail = 0.9, allowance = 1.25;
constexpr double extrapolation = 3.0902 / 1.2816;  // of a normal distribution, 99.9 % over 90 %
constexpr double half_life = 7 * day_seconds, unusual_half_life = 70 * day_seconds;
constexpr double lowest_octave = -12;  // of the distances that are told apart
constexpr std::uint32_t halved_at = 4000;

std::size_t bin_of(double distance) noexcept {
    const double place =
        (std::log2(std::max(distance, 1e-9)) - lowest_octave) * PromptWindows::bins_per_octave;
    return static_cast<std::size_t>(
        std::clamp(place, 0.0, static_cast<double>(PromptWindows::bin_count - 1)));
}

// The distance that this share of the blocks does not exceed, interpolated in its logarithm.
double quantile(const PromptWindows::Blocks& blocks, std::uint32_t total, double share) noexcept {
    const double rank = share * total;
    double below = 0;
    std::size_t bin = 0;
    while (bin + 1 < PromptWindows::bin_count && below + blocks.distances[bin] < rank)
        below += blocks.distances[bin++];
    const double within = (rank - below) / std::max<double>(1, blocks.distances[bin]);
    const double place = static_cast<double>(bin) + std::clamp(within, 0.0, 1.0);
    return std::exp2(place / PromptWindows::bins_per_octave + lowest_octave);
}

// 0 before there are blocks enough.
double limit_of(const PromptWindows::Blocks& blocks) noexcept {
    const auto total = std::accumulate(std::begin(blocks.distances), std::end(blocks.distances), 0u);
    if (total < PromptWindows::fewest_blocks) return 0;
    const double median = std::cbrt(quantile(blocks, total, 0.5));
    const double root = median + extrapolation * (std::cbrt(quantile(blocks, total, tail)) - median);
    return allowance * root * root * root;
}

void note_distance(PromptWindows::Blocks& blocks, double distance) noexcept {
    ++blocks.distances[bin_of(distance)];
    if (std::accumulate(std::begin(blocks.distances), std::end(blocks.distances), 0u) < halved_at) return;
    for (std::uint16_t& count : blocks.distances) count /= 2;
}

}  // namespace

FourierMap::FourierMap(std::uint64_t from) noexcept : seed_(base::mix64(from, 0x666F7572)) {
    const auto uniform = [&](std::size_t i) {
        return (static_cast<double>(base::mix64(seed_, i) >> 11) + 0.5) * 0x1p-53;
    };
    for (std::size_t i = 0; i < frequencies_.size(); ++i) {
        const std::size_t column = i % fourier_frequencies;
        const double normal =
            std::sqrt(-2 * std::log(uniform(2 * i))) * std::cos(2 * std::numbers::pi * uniform(2 * i + 1));
        frequencies_[i] = static_cast<float>(normal / (widths[column / frequencies_each] * unrelated));
    }
}

void FourierMap::apply(const float* linear, FourierFeatures& out) const noexcept {
    alignas(64) float angles[fourier_frequencies];
    simd::project(frequencies_.data(), linear, linear_size, fourier_frequencies, angles);
    static const float scale = 1 / std::sqrt(static_cast<float>(fourier_frequencies));
    simd::cos_sin(angles, fourier_frequencies, scale, out.data(), out.data() + fourier_frequencies);
}

bool FourierMap::counts(std::uint64_t digest, std::uint32_t n) const noexcept {
    return base::mix64(seed_ ^ n, digest) <= ~std::uint64_t{0} / std::max(n, 1u);
}

PromptWindows::Finding PromptWindows::newest(double now) const noexcept {
    Finding found;
    for (const Blocks* blocks : {&small, &large}) {
        const std::uint32_t before = shared_load(blocks->sequence, std::memory_order_acquire);
        const double times = shared_load(blocks->times, std::memory_order_acquire);
        const double end = shared_load(blocks->end, std::memory_order_acquire);
        if (before % 2 != 0 || shared_load(blocks->sequence) != before) continue;
        if (times > found.times && end > now - day_seconds) found = {blocks, times};
    }
    return found;
}

bool PromptWindows::alike(const Blocks& blocks, const FourierFeatures& features) noexcept {
    const std::uint32_t before = shared_load(blocks.sequence, std::memory_order_acquire);
    FourierFeatures towards;
    for (std::size_t i = 0; i < fourier_size; ++i)
        towards[i] = shared_load(blocks.towards[i], std::memory_order_acquire);
    const float side = shared_load(blocks.side, std::memory_order_acquire);
    if (before % 2 != 0 || shared_load(blocks.sequence) != before) return false;
    return simd::dot(towards.data(), features.data(), fourier_size) >= side;
}

// One in twenty accounts shares its bit with another and does not count in this block.
bool PromptWindows::is_first_of(std::uint64_t account) noexcept {
    const std::uint64_t hash = base::mix64(account, 0x73656E64);
    std::uint64_t& word = accounts[hash / 64 % std::size(accounts)];
    const std::uint64_t bit = std::uint64_t{1} << hash % 64;
    if ((word & bit) != 0) return false;
    word |= bit;
    return true;
}

void PromptWindows::learn(const FourierFeatures& features) noexcept {
    ++learned;
    if (learned % block_prompts == 0) std::memset(accounts, 0, sizeof accounts);
    const float share = 1 / static_cast<float>(learned);
    for (std::size_t i = 0; i < fourier_size; ++i) reference[i] += share * (features[i] - reference[i]);
}

void PromptWindows::add(const FourierFeatures& features, std::uint64_t account, double now,
                        bool ordinary) noexcept {
    const UpdateClaim mine(claim);
    const bool learning = learned < reference_prompts;
    if (!mine || (learning && !ordinary) || !is_first_of(account)) return;
    if (learning) return learn(features);
    for (std::size_t i = 0; i < fourier_size; ++i) sum[i] += features[i];
    if (++in_block < block_prompts) return;
    FourierFeatures mean, large_mean;
    for (std::size_t i = 0; i < fourier_size; ++i) {
        mean[i] = sum[i] / block_prompts;
        large_sum[i] += mean[i];
        large_mean[i] = large_sum[i] / large_blocks;
    }
    in_block = 0;
    std::memset(sum, 0, sizeof sum);
    std::memset(accounts, 0, sizeof accounts);
    if (++in_large >= large_blocks) {
        end_block(large, large_mean, now);
        in_large = 0;
        std::memset(large_sum, 0, sizeof large_sum);
    }
    const double before = small.end;
    end_block(small, mean, now);
    const double since = before > 0 ? std::max(0.0, now - before) : 0;
    const double step = 1 - std::exp2(-since / (small.times >= 1 ? unusual_half_life : half_life));
    for (std::size_t i = 0; i < fourier_size; ++i)
        reference[i] += static_cast<float>(step) * (mean[i] - reference[i]);
}

void PromptWindows::end_block(Blocks& blocks, const FourierFeatures& mean, double now) noexcept {
    FourierFeatures towards;
    double distance = 0, product = 0;
    for (std::size_t i = 0; i < fourier_size; ++i) {
        towards[i] = mean[i] - reference[i];
        distance += static_cast<double>(towards[i]) * static_cast<double>(towards[i]);
        product += static_cast<double>(towards[i]) * static_cast<double>(reference[i]);
    }
    const double limit = limit_of(blocks);
    if (limit == 0 || distance < limit) note_distance(blocks, distance);
    const double times = limit > 0 ? distance / limit : 0;
    const double part = times > 0 ? std::clamp(1.5 / std::sqrt(times), 0.5, 1.0) : 1;
    const std::uint32_t publishing = shared_load(blocks.sequence) | 1;
    shared_store(blocks.sequence, publishing, std::memory_order_release);
    shared_store(blocks.times, static_cast<float>(times), std::memory_order_release);
    shared_store(blocks.end, now, std::memory_order_release);
    shared_store(blocks.side, static_cast<float>(product + part * distance), std::memory_order_release);
    for (std::size_t i = 0; i < fourier_size; ++i)
        shared_store(blocks.towards[i], towards[i], std::memory_order_release);
    shared_store(blocks.sequence, publishing + 1, std::memory_order_release);
}

}  // namespace atlascore::track
