// How often each component was observed and hit, per model and principal: what `atlascore scan --baseline`
// bounds p0 with. In this process only, not for the hot path: it allocates, and takes a lock.
//
// Who hits a component most often is found out from the beginning of what each principal did, and how often
// it is hit from the rest: a rate taken from what it was chosen by would be too high. The beginning ends at a
// power of two, after a quarter to a half of the observations, so that two numbers keep it, however many
// come.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "atlascore/base/hash.hpp"
#include "atlascore/evidence/process.hpp"

namespace atlascore::evidence {

class Census {
  public:
    struct Count {
        std::uint32_t made = 0, hits = 0;
        std::uint32_t first_made = 0, first_hits = 0;  // of those, in the beginning
    };
    using Counts = std::array<Count, component_count>;

    // Any thread. Up to 2^32 - 1 observations of a principal and component count.
    void add(std::uint64_t model, std::uint64_t principal, const Observations& seen);
    // Zero for a principal that none was made of.
    Counts of(std::uint64_t model, std::uint64_t principal) const;

  private:
    struct Tally {
        std::uint32_t made = 0, hits = 0;
        // Hits when `made` was the last power of two, and the one before.
        std::uint32_t hits_then = 0, hits_before = 0;

        void add(bool hit) noexcept;
        Count count() const noexcept;
    };
    using Key = std::pair<std::uint64_t, std::uint64_t>;  // model, principal
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept { return base::mix64(key.first, key.second); }
    };

    mutable std::mutex mutex_;
    std::unordered_map<Key, std::array<Tally, component_count>, Hash> tallies_;
};

}  // namespace atlascore::evidence
