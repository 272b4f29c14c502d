// One updater of a shared structure at a time, and nobody waits: who finds another at work goes on without. A
// claim that is a second old belongs to a process that was killed and is taken over.
#pragma once

#include <cstdint>

#include "atlascore/base/clock.hpp"
#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {

class UpdateClaim {
  public:
    explicit UpdateClaim(std::uint64_t& word) noexcept
        : word_(word), mine_(static_cast<std::uint64_t>(base::monotonic_nanoseconds()) | 1) {
        constexpr std::uint64_t lifetime_nanoseconds = 1'000'000'000;
        const std::uint64_t held = shared_load(word_);
        // A claim from the future is from before a restart of the machine.
        const bool free = held == 0 || held > mine_ || mine_ - held > lifetime_nanoseconds;
        held_ = free && shared_exchange_if(word_, held, mine_);
    }
    ~UpdateClaim() {
        if (held_) shared_exchange_if(word_, mine_, 0);
    }
    UpdateClaim(const UpdateClaim&) = delete;
    UpdateClaim& operator=(const UpdateClaim&) = delete;
    explicit operator bool() const noexcept { return held_; }

  private:
    std::uint64_t& word_;
    std::uint64_t mine_;
    bool held_;
};

}  // namespace atlascore::track
