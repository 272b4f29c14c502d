// Which tracks belong together: those whose inputs were found near each other's too often for strangers. A
// cluster has a tag of its own, under which its members' inputs are remembered as if one caller sent them.
//
// Union-find in a hash table: the entry of a member names its cluster, that of a cluster itself, or the one
// that it was joined to when the two met.
//
//   entry, 16 B   member's tag | cluster's tag without its low 16 bits, day of the last match 16
//
// Four entries to a set, 64 B; the one without a match for longest is replaced. A membership ends 7 days
// after the last match.
//
// Who may see what when
//   Can anyone wait? No. An entry is claimed while it changes hands, and a claimed one does not exist for
//   others; who finds no entry to claim goes on without. A killed writer leaves a claim behind, which the
//   next writer of the set takes over. A writer that sleeps while its claim is taken over may give a member
//   the wrong cluster until its next match. All-zero memory is valid and empty.
#pragma once

#include <cstdint>
#include <span>

namespace atlascore::track {

class PrincipalClusters {
  public:
    static constexpr std::uint64_t days = 7;

    // One entry for sixteen tracks, at least 1,024, a power of two; words() of them.
    static std::uint64_t words_for(std::uint64_t capacity) noexcept;
    explicit PrincipalClusters(std::span<std::uint64_t> words) noexcept;

    void prefetch(std::uint64_t track) const noexcept { __builtin_prefetch(set_of(track)); }
    // The cluster that a track belongs to; 0 none.
    std::uint64_t find(std::uint64_t track, double now) const noexcept;
    // `track` was found to belong with `other`, a track; their clusters are one from now on, `prefer` (0 for
    // either) being the one that stays. Returns its tag.
    std::uint64_t link(std::uint64_t track, std::uint64_t other, std::uint64_t prefer, double now) noexcept;

  private:
    struct Entry {
        std::uint64_t member;
        std::uint64_t cluster;
    };
    Entry* set_of(std::uint64_t track) const noexcept;
    std::uint64_t direct(std::uint64_t track, std::uint64_t today) const noexcept;
    void set(std::uint64_t track, std::uint64_t cluster, std::uint64_t today) noexcept;

    Entry* entries_;
    std::uint64_t sets_;
};

}  // namespace atlascore::track
