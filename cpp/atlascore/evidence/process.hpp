// Evidence as an anytime-valid process: a number R per component that grows with hits and shrinks with
// misses, and that honest traffic drives high only as rarely as is promised, however often one looks.
//
//   L = p1 / p0 on a hit, (1 - p1) / (1 - p0) on a miss          E[L | past] <= 1 while P(hit | past) <= p0
//   R <- (1 + R) L, from R = 0                                   (Shiryaev-Roberts)
//
// Why Shiryaev-Roberts: the 1 + R is a new test that starts with every observation, so a long quiet history
// buys an attacker no credit. R after n observations less n is a supermartingale, hence for every threshold c
//
//   P(R reaches c within n observations) <= n / c        and       E[observations until R reaches c] >= c
//
// The same holds for weighted averages of components under any dependence between them, n being the queries
// of the track. A family's R is such an average, R_total the average of the strict families.
//
// One word of shared memory a component: ln R as float32 in the low half, seconds of the last update in the
// high half; 0 is R = 0. Updated by compare-exchange, no lock, at most 16 tries; an update that loses all of
// them is dropped, so contention can delay detection and never cause an alarm. ln R stays within [-20,
// 27.63]: R <= 1e12. It halves in 24 h, before every update and reading. Cap and decay only lower R, the
// floor adds 2e-9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "atlascore/evidence/component.hpp"

namespace atlascore::evidence {

inline constexpr double half_life_seconds = 24 * 3600.0;
inline constexpr float least = -20.0f, most = 27.63f;
// A family, and the total, is in alarm from here on: R about 1,000.
inline constexpr double alarm = 3.0;
// This much of evidence.line_search counts as a second family: no honest stream has brought it about.
inline constexpr double certain_line_search = 9.0;

// A set of components: bit per component.
using Components = std::uint32_t;
inline constexpr Components every_component = (Components{1} << component_count) - 1;

constexpr bool contains(Components set, Component component) noexcept {
    return set >> static_cast<unsigned>(component) & 1;
}

// Observations of one query, at most one a component.
struct Observations {
    Components made = 0;
    Components hits = 0;  // a subset

    void add(Component component, bool hit) noexcept {
        made |= 1u << static_cast<unsigned>(component);
        if (hit) hits |= 1u << static_cast<unsigned>(component);
    }
    // Those of a set of components.
    Observations of(Components on) const noexcept { return {made & on, hits & on}; }
    explicit operator bool() const noexcept { return made != 0; }
};

using Words = std::uint64_t[component_room];

// The word after one observation at `now` (seconds).
std::uint64_t after(std::uint64_t word, const ComponentInfo& component, bool hit, double now) noexcept;
// ln R at `now`; `least` for an empty word.
float log_r(std::uint64_t word, double now) noexcept;

// Applies the observations to words that no other thread sees.
void update_private(std::span<std::uint64_t, component_room> words, const Observations& seen,
                    double now) noexcept;
// Applies one observation to a shared word; false when it was dropped.
bool update_word(std::uint64_t& word, Component component, bool hit, double now) noexcept;
// Applies them to shared words; returns how many were dropped.
unsigned update_shared(std::span<std::uint64_t, component_room> words, const Observations& seen,
                       double now) noexcept;

// The average R of two callers, component by component: what a member of a cluster and the cluster have
// against them. `out` may be one of them.
void average(std::span<const std::uint64_t, component_room> a,
             std::span<const std::uint64_t, component_room> b, double now,
             std::span<std::uint64_t, component_room> out) noexcept;

// What the words say. log10(1 + R): 3 stands for R = 1,000.
struct Reading {
    double family[family_count];
    double total;
    unsigned families;  // strict families in alarm, and one more for a certain line search
};
// `row`: the input is a row; people bisect sliders, so a certain line search is no second family there.
// `on`: the components that count; what the words say of the others is left out, as if they had seen nothing.
Reading read(std::span<const std::uint64_t, component_room> words, double now, bool row,
             Components on) noexcept;

// Cold form, for a record that outlives the hot track: 1/1,024 steps of ln R, rounded down, and
// the time of the latest update.
inline constexpr std::size_t packed_words = 6;
void pack(std::span<const std::uint64_t, component_room> words, std::uint32_t generation,
          std::span<std::uint64_t, packed_words> out) noexcept;
// False when they were packed for another generation, or hold nothing.
bool unpack(std::span<const std::uint64_t, packed_words> packed, std::uint32_t generation,
            std::span<std::uint64_t, component_room> out) noexcept;

}  // namespace atlascore::evidence
