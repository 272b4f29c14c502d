// The one memory region that holds all state, addressed by offsets.
//
//   0        4 KiB header: magic, layout version, sizes, seeds, checksum         (written once, then read
//   only) 4 KiB    64 KiB counters: 64 shards of 1 KiB, one per thread by round robin  (relaxed adds) 68 KiB
//   sections, in the order the caller asked for them, each 4 KiB aligned
//
// Questions and answers
//   Who makes it?      The first process that opens the name. It holds flock() on the file while it does; a
//                      process that dies in between loses the lock and the next one starts over.
//   Who may attach?    A process that asks for the same configuration (sections, sizes, horizons). Another
//                      configuration is an error: two views of one limit would be worse than none.
//   What is damaged?   A wrong magic, layout version, size or checksum. Such a region is set aside (a file is
//                      renamed to NAME.refused, a shared-memory name is unlinked: processes that still have
//                      it mapped keep it), and a fresh one is made. `refused()` says why.
//   Who is alive?      Each attached process holds an open-file-description lock on one byte of the file. The
//                      kernel drops it at any death, in any PID namespace. Claims of the dead are taken over.
//   When is it freed?  The mapping goes with its process; a named region stays until unlink().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace atlascore::base {

inline constexpr std::uint32_t region_layout_version = 13;

struct RegionSpec {
    std::string name;                          // "" anonymous, "shm:NAME", or a file path
    std::vector<std::uint64_t> section_bytes;  // what the caller will find at section(i)
    std::uint64_t configuration = 0;           // hash of everything that decides the sections' inner layout
    std::string configuration_text;            // the same for a person, for the error on mismatch
    std::optional<std::uint64_t> seed;         // fixed for reproducible runs; random otherwise
};

// Counters that only grow. One shard per thread keeps them off each other's cache lines; stats() adds them
// up.
enum class Counter : std::uint8_t {
    decisions_allow,
    decisions_log,
    decisions_constrain,
    decisions_block,
    simulated,
    queries,          // rows, so that a batch of N is N
    records,          // answers reported by record()
    records_dropped,  // answers for a track that is gone
    late,             // events too old to count where they belong
    overflow,         // additions refused because a bucket is full (2^28 - 1)
    tracks_created,
    evictions_cold,      // class 0: no evidence
    evictions_hot,       // class 1
    evictions_suspect,   // class 2: evidence
    evictions_standing,  // class 3: standing decision
    hot_assigned,
    hot_recycled,
    claims_recovered,  // slots left claimed by a dead process
    limit_refusals,
    guard_errors,      // queries on which no decision could be made
    evidence_dropped,  // updates lost to contention
    clusters_linked,   // principals found to belong with others
    // Of the hot pool, as the evictions are of the tracks: slabs that left the main part for another track.
    demotions_hot,       // class 1
    demotions_suspect,   // class 2
    demotions_standing,  // class 3
    count_,
};
inline constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::count_);

class Region {
  public:
    explicit Region(const RegionSpec& spec);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    std::byte* section(std::size_t index) const noexcept { return data_ + section_offsets_[index]; }
    std::uint64_t bytes() const noexcept { return size_; }
    std::uint64_t seed() const noexcept { return seed_; }
    std::uint64_t instance() const noexcept { return instance_; }
    std::span<const std::uint8_t, 32> salt() const noexcept;
    bool fresh() const noexcept { return fresh_; }
    const std::string& refused() const noexcept { return refused_; }

    void add(Counter counter, std::uint64_t n = 1) const noexcept;
    std::array<std::uint64_t, counter_count> counters() const noexcept;

    // What this process writes into a word of the region to claim it for a short while. The top 16 bits are
    // set, the rest is the process's number and a nonce of this life. After fork() the child gets its own.
    std::uint64_t claim() noexcept;
    static bool is_claim(std::uint64_t word) noexcept { return word >> 48 == 0xFFFF; }
    // Whether the process that wrote the claim still runs. Slow path only: it asks the kernel.
    bool claim_alive(std::uint64_t claim) const noexcept;

    // Remove a named region; attached processes keep their mapping. Returns false if there was none.
    static bool unlink(const std::string& name);

  private:
    void map_anonymous();
    void open_named();
    bool try_open();
    std::string damage(int fd, std::uint64_t file_size) const;
    void initialise(std::byte* data) const;
    void attach(int fd);
    bool take_worker_number() noexcept;

    RegionSpec spec_;
    std::vector<std::uint64_t> section_offsets_;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    std::uint64_t seed_ = 0;
    std::uint64_t instance_ = 0;
    int file_ = -1;
    std::atomic<std::uint64_t> claim_{~std::uint64_t{0}};
    std::atomic<std::uint32_t> fork_generation_{0};
    bool fresh_ = false;
    std::string refused_;
};

}  // namespace atlascore::base
