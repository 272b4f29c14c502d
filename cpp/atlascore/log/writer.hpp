// The consumer side of the log: one thread that takes records from the ring, renders them and hands batches
// to a sink. It never runs Python code and no decision waits for it.
//
// A batch ends after 10 ms, 16,384 entries or 8 MiB. When the sink fails, the batch is kept and tried again
// every second; meanwhile the ring fills, and what it refuses is written as `gap` entries, with exact counts,
// as soon as the sink works again.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "atlascore/base/ring.hpp"
#include "atlascore/log/format.hpp"
#include "atlascore/log/render.hpp"
#include "atlascore/log/sink.hpp"

namespace atlascore::log {

using RecordRing = base::Ring<Record, action_names.size()>;

class Writer {
  public:
    static constexpr std::size_t remembered = 65'536;  // records whose index is kept

    // Starts the thread. The ring outlives the writer.
    Writer(RecordRing& ring, Renderer renderer, std::unique_ptr<Sink> sink);
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Queues an entry of the writer itself; it comes before every record that is pushed after this call.
    // Throws base::Error when the entry is longer than max_entry.
    void notice(std::string_view kind, Members members);

    // Waits until everything pushed and queued before the call is in the sink; false when that took too long.
    bool flush(std::chrono::milliseconds patience);

    // The index of a record in the log. Waits for records not written yet. Nothing when the record was lost,
    // is no longer remembered, or is not written in time.
    std::optional<std::uint64_t> index_of(std::uint64_t sequence, std::chrono::milliseconds patience);

    // Tries once to write what is left, then ends the thread. False when something could not be written.
    bool close();

    // Closes the sink's descriptors in the child of a fork, where the thread does not exist.
    void abandon() noexcept { sink_->abandon(); }

    struct Progress {
        std::uint64_t entries;  // in the sink
        std::uint64_t lost;     // records named in gap entries
        bool stalled;           // the sink refused the last batch
        std::string error;      // why; empty unless stalled
    };
    Progress progress();

    std::mutex& mutex() noexcept { return mutex_; }

  private:
    struct Notice {
        std::string kind;
        Members members;
        std::int64_t t;
        std::int64_t mono;
    };

    void run();
    bool wait();
    bool write_waiting(bool everything);
    bool collect();
    void render_notice(const Notice& notice);
    void render_gap(const RecordRing::Refused& refused);
    bool commit();
    void publish(std::uint64_t first_index);
    bool stall(const std::string& what, int code);
    std::optional<std::uint64_t> find(std::uint64_t sequence) const noexcept;

    // The thread's own.
    RecordRing& ring_;
    const Renderer renderer_;
    const std::unique_ptr<Sink> sink_;
    Batch batch_;
    std::vector<std::uint64_t> sequences_;  // per entry of the batch; 0 for those of the writer itself
    std::uint64_t own_sequence_ = 0;
    std::uint64_t accounted_ = 0;  // last sequence number rendered, as a record or in a gap
    std::uint64_t batch_lost_ = 0;
    std::size_t batch_notices_ = 0;
    std::uint64_t stalled_to_ = 0;  // refusals up to this sequence number are due to a stall
    std::string stall_reason_;
    std::chrono::milliseconds interval_;

    // Index + 1 of a record (low 48 bits) and the lap of its sequence number, in the cell of the number.
    const std::unique_ptr<std::atomic<std::uint64_t>[]> indexes_;

    // Shared, under the mutex.
    std::mutex mutex_;
    std::condition_variable wake_;  // for the thread
    std::condition_variable done_;  // for those who wait for it
    std::vector<Notice> notices_;
    std::uint64_t queued_ = 0;  // notices, ever
    std::uint64_t written_notices_ = 0;
    std::uint64_t written_ = 0;  // sequence numbers accounted for in the sink
    Progress progress_{};
    bool kicked_ = false;
    bool closing_ = false;

    std::thread thread_;  // last: everything it uses exists before it starts
};

}  // namespace atlascore::log
