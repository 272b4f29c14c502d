// The decision log: what the engine holds. The producer side is push(); everything else is slow and rare.
//
//     decide() -- Record --> ring -- Writer thread: render --> Sink (a file of JSON lines)
//
// Several threads push into one log. Several processes open a log each, on the same directory; their entries
// share the file and are told apart by `inst`.
//
// After fork() the child's log is closed: what is pushed there counts as lost in its statistics, nothing of
// it reaches the file, and its decisions get numbers of a new instance. A child that decides opens a log of
// its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "atlascore/log/format.hpp"
#include "atlascore/log/names.hpp"
#include "atlascore/log/sink.hpp"
#include "atlascore/log/writer.hpp"

namespace atlascore::log {

struct Options {
    std::size_t capacity = 8'192;  // records in the ring, 512 bytes each; a power of two
    std::string version;           // of the product, for the start entry
};

class Log {
  public:
    // Opens the log in `directory` (see JsonlSink) and writes an `operator` entry, op start. Throws
    // base::SystemError, or base::Error for a wrong capacity.
    Log(const std::string& directory, const Options& options);
    Log(std::unique_ptr<Sink> sink, const Options& options);
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    // Random, for this life of the log; `inst` of its entries.
    std::uint64_t instance() const noexcept { return instance_; }

    // The number of a name; for routes and policies, not for the hot path. 0 when the table is full.
    std::uint32_t intern(std::string_view name) { return names_.intern(name); }

    // Makes a policy known and writes its `policy` entry: op load for the first one, then reload. Returns the
    // number for Record::policy. Throws base::Error when the policy does not fit (names.hpp).
    std::uint32_t add_policy(const Policy& policy);

    // Writes an entry of another kind (operator, approval, key ...). Throws base::Error when it is too long.
    void notice(std::string_view kind, Members members);

    // Hands over one decision and returns its sequence number, whether or not the record was lost. Any
    // thread; never waits.
    std::uint64_t push(const Record& record) noexcept {
        if (closed_.load(std::memory_order_relaxed)) {
            return ring_.issued() + 1 + unlogged_.fetch_add(1, std::memory_order_relaxed);
        }
        const auto copy = [&record](std::byte* to) { std::memcpy(to, &record, record.used_bytes()); };
        return ring_.push(static_cast<std::size_t>(record.action), copy).sequence;
    }

    // The index of a decision in the log: see Writer::index_of.
    std::optional<std::uint64_t> index_of(std::uint64_t sequence,
                                          std::chrono::milliseconds patience = std::chrono::milliseconds(20));

    bool flush(std::chrono::milliseconds patience = std::chrono::seconds(5));

    // Writes what is left and an `operator` entry, op stop. False when something could not be written.
    // Nothing happens the second time.
    bool close(std::chrono::milliseconds patience = std::chrono::seconds(5));

    struct Statistics {
        std::uint64_t issued;   // sequence numbers given
        std::uint64_t entries;  // written
        std::uint64_t lost;     // records that are in no decision entry and will not be
        std::uint64_t waiting;  // records in the ring
        bool stalled;           // the sink refuses; see error
        std::string error;
    };
    Statistics statistics();

  private:
    friend class ForkGuard;
    void before_fork();
    void after_fork_in_parent();
    void after_fork_in_child();

    struct Free {
        void operator()(void* memory) const noexcept;
    };

    std::uint64_t instance_;
    Names names_;
    Policies policies_;
    std::unique_ptr<void, Free> memory_;
    RecordRing ring_;
    std::unique_ptr<Writer> writer_;  // null in the child of a fork
    std::atomic<bool> closed_{false};
    std::atomic<std::uint64_t> unlogged_{0};
    std::atomic<bool> loaded_{false};  // a policy was added
};

}  // namespace atlascore::log
