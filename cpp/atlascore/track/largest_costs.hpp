// The five largest cost amplifications of one track: what a request has cost over what is usual for an input
// of its size. The fifth largest in a window says that five requests were at least that dear, so that one
// dear answer is nothing.
//
// A word each: the amplification as float32 in the low half, the seconds of its request in the high half; 0
// is empty. A value takes an empty word or one whose request has left the window, else the word of the least
// value if it is larger, or as large and newer. So nothing old keeps newer values out, and nothing that comes
// too late to be in the window pushes one out that is.
//
// The first time that a window's fifth largest value reaches a threshold, the words show it: a value at or
// above the threshold is left out or replaced only when five others that are no smaller are there. Later they
// may show less than there was, until those have left.
//
// Rules over several windows share the words; the shortest window decides what has left. A longer one may
// then be shown less, never more.
//
// Concurrency: a word is replaced by compare-exchange, at most 16 tries, so contention can lose a value and
// never make one up. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace atlascore::track {

struct LargestCosts {
    static constexpr std::size_t count = 5;

    // A request of `time`; `now` is the track's newest time. Seconds. False: lost to other writers.
    bool add(double amplification, double time, double now, double window) noexcept;
    // The least of five in (now - window, now]; NaN when there are fewer.
    double fifth(double now, double window) const noexcept;
    void reset() noexcept;

    std::uint64_t words[count];
};
static_assert(sizeof(LargestCosts) == 40 && std::is_trivially_copyable_v<LargestCosts>);

}  // namespace atlascore::track
