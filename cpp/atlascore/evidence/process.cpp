#include "atlascore/evidence/process.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <numbers>

namespace atlascore::evidence {
namespace {

constexpr int update_tries = 16;
constexpr float linear_from = 15.0f;  // log1p(exp(r)) is r from here on, to the last bit that counts
constexpr float packed_steps = 1024.0f;

struct Steps {
    float hit, miss;
};
const std::array<Steps, component_count> steps = [] {
    std::array<Steps, component_count> table{};
    for (const ComponentInfo& c : components()) {
        table[static_cast<std::size_t>(c.id)] = {static_cast<float>(std::log(c.p1 / c.p0)),
                                                 static_cast<float>(std::log((1 - c.p1) / (1 - c.p0)))};
    }
    return table;
}();

std::uint32_t seconds_of(double now) noexcept {
    return static_cast<std::uint32_t>(std::clamp(now, 0.0, 4294967295.0));
}

std::uint64_t make_word(float r, std::uint32_t seconds) noexcept {
    return std::uint64_t{seconds} << 32 | std::bit_cast<std::uint32_t>(r);
}

std::uint32_t time_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}

float decayed(std::uint64_t word, std::uint32_t seconds) noexcept {
    if (word == 0) return least;
    const float r = std::bit_cast<float>(static_cast<std::uint32_t>(word));
    const std::uint32_t then = time_of(word);
    if (seconds <= then) return r;
    constexpr double per_second = 0.69314718055994530942 / half_life_seconds;
    return std::max(least, r - static_cast<float>(per_second * (seconds - then)));
}

}  // namespace

std::uint64_t after(std::uint64_t word, const ComponentInfo& component, bool hit, double now) noexcept {
    const std::uint32_t seconds = std::max(seconds_of(now), time_of(word));
    const float r = decayed(word, seconds);
    const float plus_one = r < linear_from ? std::log1p(std::exp(r)) : r;
    const Steps& step = steps[static_cast<std::size_t>(component.id)];
    return make_word(std::clamp(plus_one + (hit ? step.hit : step.miss), least, most), seconds);
}

float log_r(std::uint64_t word, double now) noexcept {
    return decayed(word, seconds_of(now));
}

void update_private(std::span<std::uint64_t, component_room> words, const Observations& seen,
                    double now) noexcept {
    for (std::uint32_t left = seen.made; left != 0; left &= left - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(left));
        words[i] = after(words[i], components()[i], seen.hits >> i & 1, now);
    }
}

bool update_word(std::uint64_t& shared, Component component, bool hit, double now) noexcept {
    const ComponentInfo& info = components()[static_cast<std::size_t>(component)];
    std::atomic_ref<std::uint64_t> word(shared);
    std::uint64_t before = word.load(std::memory_order_relaxed);
    for (int i = 0; i < update_tries; ++i) {
        if (word.compare_exchange_strong(before, after(before, info, hit, now), std::memory_order_relaxed))
            return true;
    }
    return false;
}

unsigned update_shared(std::span<std::uint64_t, component_room> words, const Observations& seen,
                       double now) noexcept {
    unsigned dropped = 0;
    for (std::uint32_t left = seen.made; left != 0; left &= left - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(left));
        dropped += !update_word(words[i], static_cast<Component>(i), seen.hits >> i & 1, now);
    }
    return dropped;
}

void average(std::span<const std::uint64_t, component_room> a,
             std::span<const std::uint64_t, component_room> b, double now,
             std::span<std::uint64_t, component_room> out) noexcept {
    const std::uint32_t seconds = seconds_of(now);
    for (std::size_t i = 0; i < component_room; ++i) {
        if (a[i] == 0 && b[i] == 0) {
            out[i] = 0;
            continue;
        }
        const std::uint32_t latest = std::max({seconds, time_of(a[i]), time_of(b[i])});
        const float x = decayed(a[i], latest), y = decayed(b[i], latest);
        const float r = std::max(x, y) + std::log1p(std::exp(-std::abs(x - y))) - std::numbers::ln2_v<float>;
        out[i] = make_word(std::clamp(r, least, most), latest);
    }
}

Reading read(std::span<const std::uint64_t, component_room> words, double now, bool row,
             Components on) noexcept {
    const std::uint32_t seconds = seconds_of(now);
    double r[family_count] = {};
    bool any = false;
    for (const ComponentInfo& c : components()) {
        if (!contains(on, c.id)) continue;
        const std::uint64_t word =
            std::atomic_ref(const_cast<std::uint64_t&>(words[static_cast<std::size_t>(c.id)]))
                .load(std::memory_order_relaxed);
        any |= word != 0;
        if (word != 0) r[static_cast<std::size_t>(c.family)] += c.weight * std::exp(decayed(word, seconds));
    }
    Reading reading{};
    if (!any) return reading;
    double sum = 0;
    unsigned strict = 0;
    for (const FamilyInfo& f : families()) {
        const auto i = static_cast<std::size_t>(f.id);
        reading.family[i] = r[i] == 0 ? 0 : std::log10(1 + r[i]);
        if (!f.strict) continue;
        ++strict;
        sum += r[i];
        reading.families += reading.family[i] >= alarm;
    }
    reading.total = std::log10(1 + sum / strict);
    const double line = reading.family[static_cast<std::size_t>(Family::line_search)];
    if (line >= certain_line_search && !row) ++reading.families;
    return reading;
}

void pack(std::span<const std::uint64_t, component_room> words, std::uint32_t generation,
          std::span<std::uint64_t, packed_words> out) noexcept {
    std::uint32_t seconds = 0;
    for (std::size_t i = 0; i < component_count; ++i) seconds = std::max(seconds, time_of(words[i]));
    std::fill(out.begin(), out.end(), 0);
    out[0] = std::uint64_t{seconds} << 32 | generation;
    for (std::size_t i = 0; i < component_room; ++i) {
        const float r = decayed(words[i], seconds);
        const auto step = static_cast<std::uint64_t>(std::floor((r - least) * packed_steps));
        out[1 + i / 4] |= step << (i % 4 * 16);
    }
}

bool unpack(std::span<const std::uint64_t, packed_words> packed, std::uint32_t generation,
            std::span<std::uint64_t, component_room> out) noexcept {
    if (packed[0] == 0 || static_cast<std::uint32_t>(packed[0]) != generation) return false;
    const auto seconds = static_cast<std::uint32_t>(packed[0] >> 32);
    for (std::size_t i = 0; i < component_room; ++i) {
        const std::uint64_t step = packed[1 + i / 4] >> (i % 4 * 16) & 0xFFFF;
        out[i] = step == 0 ? 0 : make_word(least + static_cast<float>(step) / packed_steps, seconds);
    }
    return true;
}

}  // namespace atlascore::evidence
