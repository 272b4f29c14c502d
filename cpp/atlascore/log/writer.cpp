#include "atlascore/log/writer.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/error.hpp"

namespace atlascore::log {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t batch_entries = 16'384;
constexpr std::size_t batch_bytes = 8 << 20;
constexpr std::size_t turn_records = 256;  // between two looks at the size of the batch
constexpr milliseconds idle_interval{5};   // half of the 10 ms that a record may wait
constexpr milliseconds busy_interval{1};
constexpr milliseconds retry_interval{1'000};
constexpr std::size_t busy_records = 256;   // in a batch: sleep for the busy interval
constexpr std::size_t large_batch = 1'024;  // in a batch: do not sleep
constexpr std::uint64_t index_mask = (std::uint64_t{1} << 48) - 1;

// Signals are for the threads of the program that embeds the log.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

}  // namespace

Writer::Writer(RecordRing& ring, Renderer renderer, std::unique_ptr<Sink> sink)
    : ring_(ring),
      renderer_(std::move(renderer)),
      sink_(std::move(sink)),
      interval_(idle_interval),
      indexes_(std::make_unique<std::atomic<std::uint64_t>[]>(remembered)) {
    const SignalsBlocked blocked;
    thread_ = std::thread(&Writer::run, this);
}

Writer::~Writer() {
    close();
}

void Writer::notice(std::string_view kind, Members members) {
    std::string entry;
    const std::int64_t t = base::wall_microseconds();
    const std::int64_t mono = base::monotonic_nanoseconds();
    renderer_.notice(entry, 0, kind, t, mono, members);
    if (entry.size() + 20 > max_entry) {
        throw base::Error("a log entry of kind " + std::string(kind) + " takes " +
                          std::to_string(entry.size()) + " bytes; at most " + std::to_string(max_entry) +
                          " fit");
    }
    const std::lock_guard lock(mutex_);
    notices_.push_back({std::string(kind), std::move(members), t, mono});
    ++queued_;
}

bool Writer::flush(milliseconds patience) {
    std::unique_lock lock(mutex_);
    const std::uint64_t sequence = ring_.issued();
    const std::uint64_t notice = queued_;
    kicked_ = true;
    wake_.notify_one();
    return done_.wait_for(lock, patience, [&] { return written_ >= sequence && written_notices_ >= notice; });
}

std::optional<std::uint64_t> Writer::index_of(std::uint64_t sequence, milliseconds patience) {
    if (const auto index = find(sequence)) {
        return index;
    }
    std::unique_lock lock(mutex_);
    if (sequence > ring_.issued()) {
        return std::nullopt;
    }
    kicked_ = true;
    wake_.notify_one();
    done_.wait_for(lock, patience, [&] { return written_ >= sequence || closing_; });
    return find(sequence);
}

bool Writer::close() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) {
        thread_.join();
    }
    const std::lock_guard lock(mutex_);
    return written_ >= ring_.issued() && written_notices_ >= queued_;
}

Writer::Progress Writer::progress() {
    const std::lock_guard lock(mutex_);
    return progress_;
}

void Writer::run() {
    pthread_setname_np(pthread_self(), "atlascore-log");
    for (bool closing = false; !closing;) {
        closing = wait();
        if (!write_waiting(closing)) {
            break;
        }
    }
    done_.notify_all();
}

// Writes a batch, and goes on while batches are large, or until nothing is left. False when the log closed
// while the sink refused a batch.
bool Writer::write_waiting(bool everything) {
    while (collect()) {
        if (!commit()) {
            return false;
        }
        if (!everything && batch_.ends.size() < large_batch) {
            break;
        }
    }
    return true;
}

// Sleeps for one interval, or until somebody waits for the writer. True when the log is closing.
bool Writer::wait() {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, interval_, [&] { return kicked_ || closing_; });
    kicked_ = false;
    return closing_;
}

// Fills the batch; false when there is nothing to write. The ring is looked at before the notices are taken:
// a notice that was queued before a record was pushed is thus taken no later than that record.
bool Writer::collect() {
    const std::size_t waiting = ring_.size();
    batch_.clear();
    sequences_.clear();
    batch_lost_ = 0;
    std::vector<Notice> notices;
    {
        const std::lock_guard lock(mutex_);
        notices.swap(notices_);
    }
    batch_notices_ = notices.size();
    for (const Notice& notice : notices) {
        render_notice(notice);
    }
    const auto take = [&](std::uint64_t sequence, const Record& record) {
        renderer_.decision(batch_.bytes, sequence, record);
        batch_.end_entry();
        sequences_.push_back(sequence);
        accounted_ = sequence;
    };
    const auto lose = [&](const RecordRing::Refused& refused) { render_gap(refused); };
    std::size_t taken = 0;
    while (taken < waiting && batch_.ends.size() < batch_entries && batch_.bytes.size() < batch_bytes) {
        const std::size_t got = ring_.drain(std::min(turn_records, waiting - taken), take, lose);
        if (got == 0) {
            break;
        }
        taken += got;
    }
    ring_.drain_refused(lose);
    interval_ = taken >= busy_records ? busy_interval : idle_interval;
    return !batch_.ends.empty();
}

void Writer::render_notice(const Notice& notice) {
    renderer_.notice(batch_.bytes, ++own_sequence_, notice.kind, notice.t, notice.mono, notice.members);
    batch_.end_entry();
    sequences_.push_back(0);
}

void Writer::render_gap(const RecordRing::Refused& refused) {
    const std::uint64_t count = refused.to - refused.from + 1;
    Members lost;
    for (std::size_t i = 0; i < action_names.size(); ++i) {
        lost[std::string(action_names[i])] = std::to_string(refused.counts[i]);
    }
    Members members;
    members["of"] = std::to_string(producer);
    members["from"] = std::to_string(refused.from);
    members["to"] = std::to_string(refused.to);
    members["count"] = std::to_string(count);
    members["reason"] = json_string(refused.from <= stalled_to_ ? stall_reason_ : "ring_full");
    members["exact"] = "true";
    append_object(members["lost"], lost);
    render_notice({"gap", std::move(members), base::wall_microseconds(), base::monotonic_nanoseconds()});
    accounted_ = refused.to;
    batch_lost_ += count;
}

// Writes the batch, however long it takes; false when the log closes first.
bool Writer::commit() {
    for (;;) {
        try {
            publish(sink_->append(batch_));
            return true;
        } catch (const base::SystemError& error) {
            if (stall(error.what(), error.code)) {
                return false;
            }
        }
    }
}

void Writer::publish(std::uint64_t first_index) {
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
        if (const std::uint64_t sequence = sequences_[i]) {
            const std::uint64_t lap = sequence / remembered << 48;
            indexes_[sequence % remembered].store(lap | ((first_index + i + 1) & index_mask),
                                                  std::memory_order_release);
        }
    }
    const std::lock_guard lock(mutex_);
    if (progress_.stalled) {
        stalled_to_ = ring_.issued();
    }
    progress_ = {progress_.entries + batch_.ends.size(), progress_.lost + batch_lost_, false, {}};
    written_ = accounted_;
    written_notices_ += batch_notices_;
    done_.notify_all();
}

// Notes the failure and sleeps until the next attempt. True when the log closed before this attempt.
bool Writer::stall(const std::string& what, int code) {
    stall_reason_ = code == ENOSPC || code == EDQUOT ? "disk_full" : "io_error";
    std::unique_lock lock(mutex_);
    progress_.stalled = true;
    progress_.error = what;
    done_.notify_all();
    return closing_ || (wake_.wait_for(lock, retry_interval, [&] { return closing_; }), false);
}

std::optional<std::uint64_t> Writer::find(std::uint64_t sequence) const noexcept {
    const std::uint64_t cell = indexes_[sequence % remembered].load(std::memory_order_acquire);
    if ((cell & index_mask) == 0 || cell >> 48 != (sequence / remembered & 0xFFFF)) {
        return std::nullopt;
    }
    return (cell & index_mask) - 1;
}

}  // namespace atlascore::log
