// What a track does with prompts: 144 B of its hot slab.
//
//   claim      of who updates the shares (update_claim.hpp)
//   last       hash of the newest prompt's template; 0 none, or one that the policy allows
//   before     outline of the newest prompt (template_hash.hpp), 16 bits a gram
//   span       length of a generation as float32 | number of the generation 32
//   totals     prompts of the current and of the previous generation, 32 each
//   names      two generations of four templates, 32 bits of their hashes each, oldest first
//   counts     of these, two generations of 4 x 16
//   probes     four words of two hits: entry of the dictionary + 1 (12 bits) | minute (20 bits)
//
// Share of the top template. Each generation is a space-saving summary of four counters: a new template takes
// the smallest and goes on from its count. A template's weight is its current count plus that part of its
// previous one which the window still covers; totals likewise. Below 20 prompts there is no share. Rules over
// several windows share the summaries; the shortest window is the generations' length.
//
// Known probes. The last eight distinct entries of the dictionary that prompts have hit; those of the last
// 24 h count, to the minute.
//
// Who may see what when
//   One query at a time updates the shares; one that finds another at work is not counted. A reader may see a
//   share in between, wrong by a prompt or two; no share is evidence. Probes change by compare-exchange of
//   two at a time. A writer that slept while the slab changed hands adds a prompt and a probe at most.
//   All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "atlascore/track/template_hash.hpp"

namespace atlascore::track {

struct PromptUse {
    static constexpr std::size_t slots = 4, probe_words = 4;
    static constexpr std::uint32_t fewest_prompts = 20;

    void reset() noexcept;
    PromptUse copy() const noexcept;

    // A prompt of a template, given by its hash. `window`: seconds, at least 1.
    void add_template(std::uint64_t hash, double window, double now) noexcept;
    // The same in a copy that no other thread has, to try out what a query would change.
    void try_template(std::uint64_t hash, double window, double now) noexcept;
    double template_share(double now) const noexcept;  // NaN below 20 prompts

    void set_newest(std::uint64_t hash) noexcept;
    std::uint64_t newest() const noexcept;
    void set_before(const OutlineMarks& marks) noexcept;
    OutlineMarks marks_before() const noexcept;

    void add_probe(std::uint32_t entry, double now) noexcept;
    // Distinct entries of one family hit within 24 h, the most of all families. families[entry].
    double known_probes(std::span<const std::uint16_t> families, double now) const noexcept;

    // The same over all families.
    std::uint32_t distinct_probes(double now) const noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t claim;
    std::uint64_t last;
    std::uint64_t before[Outline::size / 4];
    std::uint64_t span;
    std::uint64_t totals;
    std::uint64_t names[2][slots / 2];
    std::uint64_t counts[2];
    std::uint64_t probes[probe_words];

  private:
    struct Hits {
        std::uint32_t entries[2 * probe_words];
        std::uint32_t count = 0;
    };
    Hits recent_hits(double now) const noexcept;  // distinct ones within 24 h
};
static_assert(sizeof(PromptUse) == 144 && std::is_trivially_copyable_v<PromptUse>);

}  // namespace atlascore::track
