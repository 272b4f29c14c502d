#include "atlascore/track/principal_use.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "atlascore/base/bits.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

namespace {

constexpr int tries = 16;
constexpr unsigned endpoint_bits = PrincipalUse::word_bits * PrincipalUse::endpoint_words;
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

// Linear counting: how many names so many set bits of so many stand for.
double names_of(unsigned set, unsigned bits) noexcept {
    return bits * std::log(static_cast<double>(bits) / std::max(1u, bits - set));
}

template <unsigned bits>
const std::array<double, bits + 1> counts_of = [] {
    std::array<double, bits + 1> table{};
    for (unsigned set = 1; set <= bits; ++set) table[set] = names_of(set, bits);
    return table;
}();

// Most callers use one model and one endpoint.
unsigned count_bits(std::uint64_t bits) noexcept {
    return (bits & (bits - 1)) == 0 ? static_cast<unsigned>(bits != 0) : base::count_bits(bits);
}

// How many names, when `all` bits are set of both hours and `current` of them of this one.
template <unsigned bits>
double distinct(unsigned all, unsigned current, double elapsed) noexcept {
    const double of_all = counts_of<bits>[all];
    return all == current ? of_all : of_all - elapsed * (of_all - counts_of<bits>[current]);
}

std::uint64_t with_request(std::uint64_t counts, std::uint64_t rows) noexcept {
    return counts + std::min(rows, most - (counts & most));
}

// The name's bit in the word of its hour, which most requests find set.
void set_bit(std::uint64_t& word, std::uint64_t hour, unsigned bit) noexcept {
    const std::uint64_t set = std::uint64_t{1} << bit, wanted = mark_of(hour) | set;
    if ((shared_load(word) & (~content | set)) == wanted) return;
    change_word(word, hour, [&](std::uint64_t bits) { return bits | set; });
}

std::uint8_t bit_of(std::uint64_t hash, unsigned bits) noexcept {
    return static_cast<std::uint8_t>((hash >> 32) * bits >> 32);
}

}  // namespace

Place Place::of(std::uint64_t model, std::uint64_t endpoint) noexcept {
    constexpr unsigned bits = PrincipalUse::word_bits;
    return {model == 0 ? nowhere : bit_of(model, bits),
            endpoint == 0 ? nowhere : bit_of(endpoint, endpoint_bits)};
}

void PrincipalUse::add_request(Place place, double now, std::uint64_t rows) noexcept {
    const std::uint64_t hour = hour_of(now);
    const std::size_t half = half_of(hour);
    if (place.model != Place::nowhere) set_bit(models[half], hour, place.model);
    if (place.endpoint != Place::nowhere)
        set_bit(endpoints[half][place.endpoint / word_bits], hour, place.endpoint % word_bits);
    change_word(requests[half], hour, [&](std::uint64_t counts) { return with_request(counts, rows); });
}

void PrincipalUse::add_error(double made, std::uint64_t rows) noexcept {
    const std::uint64_t hour = hour_of(made);
    // Never more refused than made: what was made in an hour that is forgotten is so as well.
    change_word(requests[half_of(hour)], hour, [&](std::uint64_t counts) {
        return counts + std::min(rows, (counts & most) - (counts >> made_bits)) * one_refused;
    });
}

PrincipalUse::Reading PrincipalUse::reading(double now) const noexcept {
    Reading out;
    const std::uint64_t hour = hour_of(now);
    const std::size_t half = half_of(hour);
    out.elapsed = now / generation_seconds - static_cast<double>(hour);
    const auto read = [&](const std::uint64_t& current, const std::uint64_t& before, std::uint64_t(&to)[2]) {
        to[0] = of_hour(current, hour);
        to[1] = to[0] | of_hour(before, hour - 1);
    };
    read(models[half], models[half ^ 1], out.models);
    for (std::size_t i = 0; i < endpoint_words; ++i)
        read(endpoints[half][i], endpoints[half ^ 1][i], out.endpoints[i]);
    out.requests[0] = of_hour(requests[half], hour);
    out.requests[1] = of_hour(requests[half ^ 1], hour - 1);
    for (std::size_t i = 0; i < evidence_words; ++i) out.evidence[i] = shared_load(evidence[i]);
    return out;
}

const double PrincipalUse::one_model{names_of(1, word_bits)};
const double PrincipalUse::one_endpoint{names_of(1, endpoint_bits)};

std::optional<std::uint64_t> PrincipalUse::quiet(Place place, double now) const noexcept {
    if (place.model == Place::nowhere || place.endpoint == Place::nowhere) return std::nullopt;
    const std::uint64_t hour = hour_of(now);
    const std::size_t half = half_of(hour), at = place.endpoint / word_bits;
    const std::uint64_t model = std::uint64_t{1} << place.model,
                        endpoint = std::uint64_t{1} << place.endpoint % word_bits;
    if (shared_load(models[half]) != (mark_of(hour) | model)) return std::nullopt;
    if (shared_load(endpoints[half][at]) != (mark_of(hour) | endpoint)) return std::nullopt;
    std::uint64_t elsewhere = of_hour(endpoints[half][at ^ 1], hour);
    elsewhere |= of_hour(models[half ^ 1], hour - 1) & ~model;
    elsewhere |= of_hour(endpoints[half ^ 1][at], hour - 1) & ~endpoint;
    elsewhere |= of_hour(endpoints[half ^ 1][at ^ 1], hour - 1);
    for (const std::uint64_t& word : evidence) elsewhere |= shared_load(word);
    const std::uint64_t current = of_hour(requests[half], hour),
                        before = of_hour(requests[half ^ 1], hour - 1);
    if ((elsewhere | current >> made_bits | before >> made_bits) != 0) return std::nullopt;
    return current + before;
}

bool PrincipalUse::Reading::add_request(Place place, std::uint64_t rows) noexcept {
    const auto set = [](std::uint64_t(&words)[2], unsigned bit) {
        const bool is_new = (words[1] >> bit & 1) == 0;
        for (std::uint64_t& word : words) word |= std::uint64_t{1} << bit;
        return is_new;
    };
    requests[0] = with_request(requests[0], rows);
    bool is_new = place.model != Place::nowhere && set(models, place.model);
    if (place.endpoint != Place::nowhere)
        is_new |= set(endpoints[place.endpoint / word_bits], place.endpoint % word_bits);
    return is_new;
}

double PrincipalUse::Reading::distinct_models() const noexcept {
    return distinct<word_bits>(count_bits(models[1]), count_bits(models[0]), elapsed);
}

double PrincipalUse::Reading::distinct_endpoints() const noexcept {
    unsigned all = 0, current = 0;
    for (const auto& word : endpoints) {
        all += count_bits(word[1]);
        current += count_bits(word[0]);
    }
    return distinct<endpoint_bits>(all, current, elapsed);
}

double PrincipalUse::Reading::error_ratio() const noexcept {
    if ((requests[0] & most) + (requests[1] & most) < fewest_requests)
        return std::numeric_limits<double>::quiet_NaN();
    if (((requests[0] | requests[1]) >> made_bits) == 0) return 0;
    const auto sum = [&](std::uint64_t now, std::uint64_t before) {
        return static_cast<double>(now) + (1 - elapsed) * static_cast<double>(before);
    };
    return sum(requests[0] >> made_bits, requests[1] >> made_bits) /
           sum(requests[0] & most, requests[1] & most);
}

unsigned PrincipalUse::Reading::places() const noexcept {
    unsigned count = count_bits(models[1]);
    for (const auto& word : endpoints) count += count_bits(word[1]);
    return count;
}

}  // namespace atlascore::track
