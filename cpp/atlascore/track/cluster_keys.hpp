// Infrastructure keys that a gateway supplies with its queries (a hash of how the caller pays, the family of
// its API key, a fingerprint of its client): which track showed a key before. Accounts that show the same key
// belong together, whatever they send.
//
// A KeyTable of its own with a record of 24 B:
//   word 0  generation
//   word 1  tag of a track that showed the key, xor the key's own tag
//   word 2  when (s, 32 bits) | 31 bits unused | whether more than one track has shown it
// It has room for one key to 64 tracks. A writer that sleeps while its record goes to another key leaves a
// track there that nobody knows, since its tag was hidden with another key's.
#pragma once

#include <cstdint>
#include <vector>

#include "atlascore/track/key_table.hpp"

namespace atlascore::track {

class ClusterKeys {
  public:
    static constexpr double lifetime = 7 * 86'400.0;  // seconds after which who showed a key is forgotten

    static std::vector<std::uint64_t> section_bytes(std::uint64_t tracks);
    // `first_section`: where section_bytes() begin in the region.
    ClusterKeys(base::Region& region, std::size_t first_section, std::uint64_t tracks) noexcept;

    struct Holder {
        std::uint64_t track = 0;  // 0: nobody showed the key within its lifetime
        double age = 0;           // seconds since
        bool shared = false;      // more than one track has shown it
    };

    struct Record {
        SlotRef slot;
        std::uint64_t tag = 0;
    };

    // `key`: a hash. Made if it is new, in the place of one that was out of use for longer; keys that were
    // shared go last.
    Record open(std::uint64_t key) noexcept;
    Holder holder(const Record& record, double now) const noexcept;
    void set(const Record& record, std::uint64_t track, bool shared, double now) noexcept;

  private:
    KeyTable keys_;
};

}  // namespace atlascore::track
