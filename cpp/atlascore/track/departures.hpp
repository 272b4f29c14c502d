// From which inputs the near ones of a track depart. Whoever estimates a gradient, or tries random steps and
// keeps the best, leaves one input again and again, each time in another direction. Films and sliders go on
// from where they are, and six-fold augmentation departs five times. Of a camera's noisy frames some are the
// nearest of more than others; but rarely of half of what follows, and not nearer by as much as a centre is:
// the steps from a centre are shorter by the root of two than those between its other neighbours.
//
// A ring of its own, so that neither time nor inputs sent to distract push out what was seen. Natural inputs
// that happen to be near are farther from each other than a search's: a departure is compared with those of
// at most twice its length, and one of more than twice the least is no observation.
//
// Any thread may write. One that sleeps between taking its place and writing leaves an older departure there
// meanwhile, or, when the slab has changed its owner, one that names no input of the new one: each stands for
// one departure in thirty.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atlascore::track {

struct Departures {
    static constexpr std::size_t count = 30;

    // Of at most twice this distance, to the next power of two.
    struct Earlier {
        bool observed = true;     // none is shorter by more than that
        std::uint32_t same = 0;   // from this input
        std::uint32_t since = 0;  // all since the first of these
    };
    // `input`: of the one departed from, the low half of its digest.
    Earlier from(std::uint32_t input, float distance) const noexcept;
    void add(std::uint32_t input, float distance, bool radial) noexcept;
    std::uint32_t radial() const noexcept;        // how many were added as such
    void adopt(const Departures& from) noexcept;  // the same ones
    void clear() noexcept;

    // Layout; only the member functions touch it.
    std::uint16_t entries[count];  // 11 bits of the input's digest | distance 4 | radial 1; 0: none
    std::uint32_t head;            // departures ever
};
static_assert(sizeof(Departures) == 64);

}  // namespace atlascore::track
