// Hard limits: at most `max` in any window, whoever counts, in however many processes.
//
// 32 buckets per limit and key, and the oldest, partly covered one counts in full: no window of that length
// ever admits more than `max`; one may refuse up to 1/31 of the window early. A query reserves first and is
// taken back when it does not fit, so two that meet at the limit may both be refused, never both admitted.
#pragma once

#include <cstdint>
#include <vector>

#include "atlascore/base/region.hpp"
#include "atlascore/track/key_table.hpp"
#include "atlascore/track/window.hpp"

namespace atlascore::track {

class LimitTable {
  public:
    static constexpr std::uint32_t buckets = 32;

    static std::vector<std::uint64_t> section_bytes(std::uint64_t capacity);
    LimitTable(base::Region& region, std::size_t first_section, std::uint64_t capacity) noexcept;

    struct Verdict {
        bool admitted = false;
        double counted_at = 0;   // when it was counted; take_back() needs it
        double retry_after = 0;  // seconds until the oldest counted bucket has left the window
    };
    static WindowShape shape(double window) noexcept { return WindowShape::make(window, buckets, ring_word); }

    Verdict reserve(std::uint64_t tag, const WindowShape& shape, double now, std::uint64_t n,
                    std::uint64_t max) noexcept;
    void take_back(std::uint64_t tag, const WindowShape& shape, double counted_at, std::uint64_t n) noexcept;

  private:
    static constexpr std::uint32_t ring_word = 2;  // after the generation and the newest time
    KeyTable keys_;
};

}  // namespace atlascore::track
