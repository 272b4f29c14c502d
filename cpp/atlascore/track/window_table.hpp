// Sliding-window counters for any keys: the lock-free table by itself, without the detector.
//
// One slot per key: | generation | newest time | ring of horizon 0 | ring of horizon 1 | ... |. Memory is
// reserved at once from `capacity`; more keys than that evict the least recently used.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "atlascore/base/region.hpp"
#include "atlascore/track/key_table.hpp"
#include "atlascore/track/window.hpp"

namespace atlascore::track {

inline constexpr std::size_t horizon_limit = 8;

class WindowTable {
  public:
    // Buckets per horizon; the reading's error is described in window.hpp.
    static constexpr std::uint32_t buckets = 20;

    // capacity: keys; horizons: seconds, 1 to 8 of them, each at least 1 ms. `state` as for a region.
    WindowTable(std::uint64_t capacity, std::span<const double> horizons, const std::string& state = "");

    std::size_t horizons() const noexcept { return shapes_.size(); }
    std::uint64_t bytes() const noexcept { return region_.bytes(); }
    base::Region& region() noexcept { return region_; }
    KeyTable& keys() noexcept { return keys_; }
    std::uint64_t tag(std::string_view key) const noexcept;
    std::uint64_t tag(std::uint64_t key) const noexcept;

    // Count n events of the key at time `now` and read all windows: counts[i] of horizon i, interpolated.
    // `now` in [0, latest_time]. A late event is counted where it belongs, if its bucket is still there.
    void hit(std::uint64_t tag, double now, std::uint64_t n, double* counts) noexcept;
    // Read without counting; an unknown key reads as zeros.
    void read(std::uint64_t tag, double now, double* counts) const noexcept;

  private:
    bool hit_once(std::uint64_t tag, double now, std::uint64_t n, double* counts) noexcept;
    static base::RegionSpec spec(std::uint64_t capacity, std::span<const double> horizons,
                                 const std::string& state);

    base::Region region_;
    std::vector<WindowShape> shapes_;
    KeyTable keys_;
};

// The latest time an owner has seen, in a word of the region. Returns the later of it and `now`.
inline double newest_time(std::uint64_t& word, double now) noexcept {
    std::atomic_ref<std::uint64_t> stored(word);
    std::uint64_t seen = stored.load();
    for (;;) {
        const double newest = std::bit_cast<double>(seen);
        if (!(now > newest)) return newest;
        if (stored.compare_exchange_weak(seen, std::bit_cast<std::uint64_t>(now))) return now;
    }
}

}  // namespace atlascore::track
