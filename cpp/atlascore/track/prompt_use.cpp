#include "atlascore/track/prompt_use.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "atlascore/track/sketch_slot.hpp"
#include "atlascore/track/update_claim.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t slots = PromptUse::slots;
constexpr std::uint32_t most_count = 0xFFFF;
constexpr std::uint32_t minute_mask = 0xFFFFF, minutes_of_a_day = 1440;
constexpr unsigned minute_bits = 20;
constexpr int tries = 16;

std::uint32_t name_of(std::uint64_t hash) noexcept {
    return std::max(static_cast<std::uint32_t>(hash ^ hash >> 32), 1u);
}

// One generation. A name of 0 is a free slot; those in use come first, oldest first.
struct Summary {
    std::uint32_t total = 0;
    std::uint32_t names[slots] = {};
    std::uint32_t counts[slots] = {};

    std::uint32_t count_of(std::uint32_t name) const noexcept {
        const auto found = std::find(names, names + slots, name);
        return found == names + slots ? 0 : counts[found - names];
    }

    void add(std::uint32_t name) noexcept {
        auto place = static_cast<std::size_t>(std::find(names, names + slots, name) - names);
        if (place == slots) place = static_cast<std::size_t>(std::find(names, names + slots, 0u) - names);
        if (place == slots) {
            const auto least = static_cast<std::size_t>(std::min_element(counts, counts + slots) - counts);
            std::rotate(names + least, names + least + 1, names + slots);
            std::rotate(counts + least, counts + least + 1, counts + slots);
            place = slots - 1;
        }
        names[place] = name;
        ++counts[place];
        ++total;
        if (counts[place] < most_count) return;
        for (std::uint32_t& count : counts) count /= 2;  // shares stay
        total /= 2;
    }
};

struct Shares {
    float window = 0;
    std::uint32_t generation = 0;
    Summary summaries[2];  // current, previous

    static Shares of(const PromptUse& use) noexcept {
        Shares out;
        const std::uint64_t span = shared_load(use.span), totals = shared_load(use.totals);
        out.window = std::bit_cast<float>(static_cast<std::uint32_t>(span >> 32));
        out.generation = static_cast<std::uint32_t>(span);
        for (std::size_t age = 0; age < 2; ++age) {
            Summary& summary = out.summaries[age];
            summary.total = static_cast<std::uint32_t>(totals >> 32 * age);
            const std::uint64_t counts = shared_load(use.counts[age]);
            for (std::size_t i = 0; i < slots; ++i) {
                summary.names[i] =
                    static_cast<std::uint32_t>(shared_load(use.names[age][i / 2]) >> i % 2 * 32);
                summary.counts[i] = static_cast<std::uint32_t>(counts >> 16 * i & 0xFFFF);
            }
        }
        return out;
    }

    void store(PromptUse& use) const noexcept {
        shared_store(use.span, std::uint64_t{std::bit_cast<std::uint32_t>(window)} << 32 | generation);
        shared_store(use.totals, std::uint64_t{summaries[1].total} << 32 | summaries[0].total);
        for (std::size_t age = 0; age < 2; ++age) {
            const Summary& summary = summaries[age];
            std::uint64_t counts = 0;
            for (std::size_t i = 0; i < slots; ++i) counts |= std::uint64_t{summary.counts[i]} << 16 * i;
            shared_store(use.counts[age], counts);
            for (std::size_t i = 0; i < slots / 2; ++i) {
                shared_store(use.names[age][i],
                             std::uint64_t{summary.names[2 * i + 1]} << 32 | summary.names[2 * i]);
            }
        }
    }

    void move_to(double now) noexcept {
        const auto target = static_cast<std::uint32_t>(now / double{window});
        if (target <= generation) return;
        summaries[1] = target == generation + 1 ? summaries[0] : Summary{};
        summaries[0] = {};
        generation = target;
    }

    void add(std::uint64_t hash, double length, double now) noexcept {
        if (window != static_cast<float>(length)) *this = {static_cast<float>(length), 0, {}};
        move_to(now);
        summaries[0].add(name_of(hash));
    }
};

std::uint32_t minute_of(double now) noexcept {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(now / 60)) & minute_mask;
}

// Minutes since the hit; what is later is new.
std::uint32_t age_of(std::uint32_t hit, std::uint32_t now) noexcept {
    const std::uint32_t age = (now - hit) & minute_mask;
    return age > minute_mask / 2 ? 0 : age;
}

std::uint32_t hit_of(std::uint64_t word, std::size_t half) noexcept {
    return static_cast<std::uint32_t>(word >> 32 * half);
}

}  // namespace

void PromptUse::reset() noexcept {
    for (std::uint64_t* word : {&claim, &last, &span, &totals}) shared_store(*word, 0);
    for (auto& generation : names) {
        for (std::uint64_t& word : generation) shared_store(word, 0);
    }
    for (std::uint64_t& word : counts) shared_store(word, 0);
    for (std::uint64_t& word : before) shared_store(word, 0);
    for (std::uint64_t& word : probes) shared_store(word, 0);
}

PromptUse PromptUse::copy() const noexcept {
    PromptUse out{};
    Shares::of(*this).store(out);
    out.last = shared_load(last);
    for (std::size_t i = 0; i < std::size(before); ++i) out.before[i] = shared_load(before[i]);
    for (std::size_t i = 0; i < probe_words; ++i) out.probes[i] = shared_load(probes[i]);
    return out;
}

void PromptUse::add_template(std::uint64_t hash, double window, double now) noexcept {
    const UpdateClaim mine(claim);
    if (mine) try_template(hash, window, now);
}

void PromptUse::try_template(std::uint64_t hash, double window, double now) noexcept {
    Shares shares = Shares::of(*this);
    shares.add(hash, window, now);
    shares.store(*this);
}

double PromptUse::template_share(double now) const noexcept {
    Shares shares = Shares::of(*this);
    const auto& [current, previous] = shares.summaries;
    if (!(shares.window > 0)) return std::numeric_limits<double>::quiet_NaN();
    shares.move_to(now);
    if (current.total + previous.total < fewest_prompts) return std::numeric_limits<double>::quiet_NaN();
    const double rest = 1 - std::clamp(now / double{shares.window} - shares.generation, 0.0, 1.0);
    const double total = current.total + rest * previous.total;
    double top = 0;
    for (const Summary& summary : shares.summaries) {
        for (const std::uint32_t name : summary.names) {
            if (name != 0) top = std::max(top, current.count_of(name) + rest * previous.count_of(name));
        }
    }
    return total > 0 ? std::min(1.0, top / total) : std::numeric_limits<double>::quiet_NaN();
}

void PromptUse::set_newest(std::uint64_t hash) noexcept {
    shared_store(last, hash);
}

std::uint64_t PromptUse::newest() const noexcept {
    return shared_load(last);
}

void PromptUse::set_before(const OutlineMarks& marks) noexcept {
    const auto words = std::bit_cast<std::array<std::uint64_t, Outline::size / 4>>(marks);
    for (std::size_t i = 0; i < words.size(); ++i) shared_store(before[i], words[i]);
}

OutlineMarks PromptUse::marks_before() const noexcept {
    std::array<std::uint64_t, Outline::size / 4> words;
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = shared_load(before[i]);
    return std::bit_cast<OutlineMarks>(words);
}

void PromptUse::add_probe(std::uint32_t entry, double now) noexcept {
    const std::uint32_t minute = minute_of(now), mine = (entry + 1) << minute_bits | minute;
    for (int attempt = 0; attempt < tries; ++attempt) {
        // Its own hit, else an empty place, else the oldest hit.
        std::size_t chosen = 0;
        std::uint32_t longest = 0;
        for (std::size_t i = 0; i < 2 * probe_words; ++i) {
            const std::uint32_t hit = hit_of(shared_load(probes[i / 2]), i % 2);
            const bool same = hit >> minute_bits == entry + 1;
            const std::uint32_t age = same       ? minute_mask + 2
                                      : hit == 0 ? minute_mask + 1
                                                 : age_of(hit, minute);
            if (age < longest) continue;
            longest = age;
            chosen = i;
            if (same) break;
        }
        std::uint64_t& word = probes[chosen / 2];
        const std::uint64_t seen = shared_load(word);
        const std::uint64_t kept = seen & std::uint64_t{0xFFFFFFFF} << (chosen % 2 == 0 ? 32 : 0);
        if (shared_exchange_if(word, seen, kept | std::uint64_t{mine} << 32 * (chosen % 2))) return;
    }
}

PromptUse::Hits PromptUse::recent_hits(double now) const noexcept {
    Hits hits;
    for (const std::uint64_t& word : probes) {
        for (std::size_t half = 0; half < 2; ++half) {
            const std::uint32_t hit = hit_of(shared_load(word), half);
            if (hit == 0 || age_of(hit, minute_of(now)) >= minutes_of_a_day) continue;
            const std::uint32_t entry = (hit >> minute_bits) - 1;
            const auto end = hits.entries + hits.count;
            if (std::find(hits.entries, end, entry) == end) hits.entries[hits.count++] = entry;
        }
    }
    return hits;
}

std::uint32_t PromptUse::distinct_probes(double now) const noexcept {
    return recent_hits(now).count;
}

double PromptUse::known_probes(std::span<const std::uint16_t> families, double now) const noexcept {
    const Hits hits = recent_hits(now);
    std::ptrdiff_t most = 0;
    for (std::uint32_t i = 0; i < hits.count; ++i) {
        if (hits.entries[i] >= families.size()) continue;
        const auto same = [&](std::uint32_t entry) {
            return entry < families.size() && families[entry] == families[hits.entries[i]];
        };
        most = std::max(most, std::count_if(hits.entries, hits.entries + hits.count, same));
    }
    return static_cast<double>(most);
}

}  // namespace atlascore::track
