#include "atlascore/track/principal_use.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr int tries = 16;
constexpr unsigned hour_shift = 48, made_bits = 24;
constexpr std::uint64_t content = (std::uint64_t{1} << hour_shift) - 1;
constexpr std::uint64_t one_refused = std::uint64_t{1} << made_bits, most = one_refused - 1;

std::uint64_t hour_of(double now) noexcept {
    return static_cast<std::uint64_t>(now / PrincipalUse::generation_seconds);
}

std::size_t half_of(std::uint64_t hour) noexcept {
    return hour & 1;
}

std::uint64_t mark_of(std::uint64_t hour) noexcept {
    return (hour + 1) << hour_shift;  // the first hour's is not that of empty memory
}

// What the word holds of its hour; 0 when it is of another.
std::uint64_t of_hour(const std::uint64_t& word, std::uint64_t hour) noexcept {
    const std::uint64_t seen = shared_load(word);
    return (seen & ~content) == mark_of(hour) ? seen & content : 0;
}

// `change` gives the new content from the old; a word of a later hour stays as it is.
template <class Change>
void change_word(std::uint64_t& word, std::uint64_t hour, const Change& change) noexcept {
    for (int i = 0; i < tries; ++i) {
        const std::uint64_t seen = shared_load(word);
        const bool mine = (seen & ~content) == mark_of(hour);
        const auto behind = static_cast<std::int16_t>((mark_of(hour) - (seen & ~content)) >> hour_shift);
        if (!mine && seen != 0 && behind < 0) return;
        const std::uint64_t next = mark_of(hour) | change(mine ? seen & content : 0);
        if (next == seen || shared_exchange_if(word, seen, next)) return;
    }
}

// Linear counting, by how many of the bits are set.
template <unsigned bits>
const std::array<double, bits + 1> counts_of = [] {
    std::array<double, bits + 1> table{};
    for (unsigned set = 1; set <= bits; ++set)
        table[set] = bits * std::log(static_cast<double>(bits) / std::max(1u, bits - set));
    return table;
}();

// A bit after the other: there are few, and the portable instruction set has no faster way.
unsigned count_bits(std::uint64_t bits) noexcept {
    unsigned count = 0;
    for (; bits != 0; bits &= bits - 1) ++count;
    return count;
}

struct Bits {
    unsigned all = 0, current = 0;
    void add(std::uint64_t now, std::uint64_t before) noexcept {
        all += count_bits(now | before);
        current += count_bits(now);
    }
};

// How much of the hour has elapsed.
double elapsed(double now) noexcept {
    return now / PrincipalUse::generation_seconds - static_cast<double>(hour_of(now));
}

template <unsigned bits>
double distinct(const Bits& set, double now) noexcept {
    const double all = counts_of<bits>[set.all];
    return set.all == set.current ? all : all - elapsed(now) * (all - counts_of<bits>[set.current]);
}

Bits bits_of(const std::uint64_t& even, const std::uint64_t& odd, double now) noexcept {
    const std::uint64_t hour = hour_of(now);
    Bits bits;
    bits.add(of_hour(half_of(hour) == 0 ? even : odd, hour),
             of_hour(half_of(hour) == 0 ? odd : even, hour - 1));
    return bits;
}

Bits endpoint_bits(const PrincipalUse& use, double now) noexcept {
    Bits bits;
    for (std::size_t i = 0; i < PrincipalUse::endpoint_words; ++i) {
        const Bits more = bits_of(use.endpoints[0][i], use.endpoints[1][i], now);
        bits.all += more.all;
        bits.current += more.current;
    }
    return bits;
}

std::uint8_t bit_of(std::uint64_t hash, unsigned bits) noexcept {
    return static_cast<std::uint8_t>((hash >> 32) * bits >> 32);
}

}  // namespace

Place Place::of(std::uint64_t model, std::uint64_t endpoint) noexcept {
    constexpr unsigned bits = PrincipalUse::word_bits;
    return {model == 0 ? nowhere : bit_of(model, bits),
            endpoint == 0 ? nowhere : bit_of(endpoint, bits * PrincipalUse::endpoint_words)};
}

void PrincipalUse::add_request(Place place, double now, std::uint64_t rows) noexcept {
    const std::uint64_t hour = hour_of(now);
    const auto set = [&](std::uint64_t& word, unsigned bit) {
        change_word(word, hour, [&](std::uint64_t bits) { return bits | std::uint64_t{1} << bit; });
    };
    const std::size_t half = half_of(hour);
    if (place.model != Place::nowhere) set(models[half], place.model);
    if (place.endpoint != Place::nowhere)
        set(endpoints[half][place.endpoint / word_bits], place.endpoint % word_bits);
    change_word(requests[half], hour,
                [&](std::uint64_t counts) { return counts + std::min(rows, most - (counts & most)); });
}

void PrincipalUse::add_error(double made, std::uint64_t rows) noexcept {
    const std::uint64_t hour = hour_of(made);
    // Never more refused than made: what was made in an hour that is forgotten is so as well.
    change_word(requests[half_of(hour)], hour, [&](std::uint64_t counts) {
        return counts + std::min(rows, (counts & most) - (counts >> made_bits)) * one_refused;
    });
}

double PrincipalUse::distinct_models(double now) const noexcept {
    return distinct<word_bits>(bits_of(models[0], models[1], now), now);
}

double PrincipalUse::distinct_endpoints(double now) const noexcept {
    return distinct<word_bits * endpoint_words>(endpoint_bits(*this, now), now);
}

double PrincipalUse::error_ratio(double now) const noexcept {
    const std::uint64_t hour = hour_of(now);
    const std::uint64_t current = of_hour(requests[half_of(hour)], hour);
    const std::uint64_t previous = of_hour(requests[half_of(hour - 1)], hour - 1);
    if ((current & most) + (previous & most) < fewest_requests)
        return std::numeric_limits<double>::quiet_NaN();
    const double weight = 1 - elapsed(now);
    const auto sum = [&](std::uint64_t of_now, std::uint64_t of_before) {
        return static_cast<double>(of_now) + weight * static_cast<double>(of_before);
    };
    return sum(current >> made_bits, previous >> made_bits) / sum(current & most, previous & most);
}

unsigned PrincipalUse::places(double now) const noexcept {
    const std::uint64_t hour = hour_of(now);
    const std::size_t half = half_of(hour);
    const auto both = [&](const std::uint64_t& current, const std::uint64_t& before) {
        return count_bits(of_hour(current, hour) | of_hour(before, hour - 1));
    };
    unsigned count = both(models[half], models[half ^ 1]);
    for (std::size_t i = 0; i < endpoint_words; ++i)
        count += both(endpoints[half][i], endpoints[half ^ 1][i]);
    return count;
}

PrincipalUse PrincipalUse::copy() const noexcept {
    PrincipalUse out;
    const auto* from = reinterpret_cast<const std::uint64_t*>(this);
    auto* to = reinterpret_cast<std::uint64_t*>(&out);
    for (std::size_t i = 0; i < sizeof out / sizeof *to; ++i) to[i] = shared_load(from[i]);
    return out;
}

}  // namespace atlascore::track
