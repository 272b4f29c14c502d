#include "atlascore/log/log.hpp"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/error.hpp"
#include "atlascore/log/jsonl_sink.hpp"
#include "atlascore/log/render.hpp"

namespace atlascore::log {
namespace {

std::uint64_t random64() {
    std::uint64_t value = 0;
    if (RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value) != 1) {
        throw base::Error("the system gives no random bytes; the log cannot name its instance");
    }
    return value;
}

void* ring_memory(std::size_t capacity) {
    void* memory = std::aligned_alloc(64, RecordRing::bytes(capacity));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

Members policy_members(const Policy& policy, const char* op) {
    std::string digest(1, '"');
    append_hex(digest, policy.hash.data(), policy.hash.size());
    digest += '"';
    std::string files;
    for (const Policy::File& file : policy.files) {
        files += files.empty() ? '[' : ',';
        append_object(files, {{"name", json_string(clean_utf8(file.name, max_name))},
                              {"sha256", json_string(file.sha256)}});
    }
    Members members{{"op", json_string(op)},
                    {"policy", digest.substr(0, 17) + '"'},
                    {"sha256", digest},
                    {"rules", std::to_string(policy.rules.size())},
                    {"mode", json_string(policy.mode)}};
    if (!policy.atlas_release.empty()) {
        members["atlas_release"] = json_string(clean_utf8(policy.atlas_release, max_name));
    }
    if (!policy.by.empty()) {
        members["by"] = json_string(clean_utf8(policy.by, max_name));
    }
    // The policy hash covers the digests of all files, so a long list can be left out.
    if (files.size() > max_entry / 2) {
        members["trimmed"] = "true";
    } else if (!files.empty()) {
        members["files"] = files + ']';
    }
    return members;
}

}  // namespace

// All logs of the process, so that a fork finds their locks free and leaves the child without descriptors.
class ForkGuard {
  public:
    static void add(Log* log) {
        static const int registered = pthread_atfork(before, in_parent, in_child);
        static_cast<void>(registered);
        const std::lock_guard lock(mutex());
        logs().push_back(log);
    }
    static void remove(Log* log) {
        const std::lock_guard lock(mutex());
        std::erase(logs(), log);
    }

  private:
    static void before() {
        mutex().lock();
        std::for_each(logs().begin(), logs().end(), [](Log* log) { log->before_fork(); });
    }
    static void in_parent() {
        std::for_each(logs().begin(), logs().end(), [](Log* log) { log->after_fork_in_parent(); });
        mutex().unlock();
    }
    static void in_child() {
        std::for_each(logs().begin(), logs().end(), [](Log* log) { log->after_fork_in_child(); });
        mutex().unlock();
    }
    // Never destroyed: a log may outlive the other statics.
    static std::mutex& mutex() {
        static auto& instance = *new std::mutex;
        return instance;
    }
    static std::vector<Log*>& logs() {
        static auto& instance = *new std::vector<Log*>;
        return instance;
    }
};

void Log::Free::operator()(void* memory) const noexcept {
    std::free(memory);
}

Log::Log(const std::string& directory, const Options& options)
    : Log(std::make_unique<JsonlSink>(directory), options) {}

Log::Log(std::unique_ptr<Sink> sink, const Options& options)
    : instance_(random64()),
      memory_(ring_memory(options.capacity)),
      ring_(memory_.get(), options.capacity),
      writer_(std::make_unique<Writer>(
          ring_, Renderer(instance_, base::monotonic_nanoseconds(), names_, policies_), std::move(sink))) {
    notice("operator", {{"op", "\"start\""},
                        {"by", "\"service\""},
                        {"data", "{\"version\":" + json_string(options.version) + "}"}});
    ForkGuard::add(this);
}

Log::~Log() {
    close();
    ForkGuard::remove(this);
}

std::uint32_t Log::add_policy(const Policy& policy) {
    auto names = std::make_unique<const PolicyNames>(policy);
    notice("policy", policy_members(policy, loaded_.exchange(true) ? "reload" : "load"));
    return policies_.add(std::move(names));
}

void Log::notice(std::string_view kind, Members members) {
    if (!closed_.load(std::memory_order_relaxed)) {
        writer_->notice(kind, std::move(members));
    }
}

std::optional<std::uint64_t> Log::index_of(std::uint64_t sequence, std::chrono::milliseconds patience) {
    return writer_ ? writer_->index_of(sequence, patience) : std::nullopt;
}

bool Log::flush(std::chrono::milliseconds patience) {
    return writer_ && writer_->flush(patience);
}

bool Log::close(std::chrono::milliseconds patience) {
    if (closed_.load(std::memory_order_relaxed)) {
        return true;
    }
    writer_->flush(patience);
    writer_->notice("operator", {{"op", "\"stop\""}, {"by", "\"service\""}});
    closed_.store(true, std::memory_order_relaxed);
    return writer_->close();
}

Log::Statistics Log::statistics() {
    const Writer::Progress progress = writer_ ? writer_->progress() : Writer::Progress{};
    const std::uint64_t unlogged = unlogged_.load(std::memory_order_relaxed);
    return {ring_.issued() + unlogged,  progress.entries, progress.lost + unlogged,
            writer_ ? ring_.size() : 0, progress.stalled, progress.error};
}

void Log::before_fork() {
    names_.mutex().lock();
    policies_.mutex().lock();
    if (writer_) {
        writer_->mutex().lock();
    }
}

void Log::after_fork_in_parent() {
    if (writer_) {
        writer_->mutex().unlock();
    }
    policies_.mutex().unlock();
    names_.mutex().unlock();
}

void Log::after_fork_in_child() {
    after_fork_in_parent();
    if (writer_) {
        writer_->abandon();
        // Left behind on purpose: its thread and those waiting on its conditions do not exist here.
        static_cast<void>(writer_.release());
    }
    instance_ = random64();
    closed_.store(true, std::memory_order_relaxed);
}

}  // namespace atlascore::log
