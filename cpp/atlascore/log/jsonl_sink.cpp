#include "atlascore/log/jsonl_sink.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "atlascore/base/error.hpp"

namespace atlascore::log {
namespace {

constexpr std::size_t read_bytes = 1 << 18;
constexpr auto lock_patience = std::chrono::seconds(1);
constexpr auto lock_interval = std::chrono::milliseconds(1);

[[noreturn]] void fail(const std::string& doing, const std::string& path) {
    const int code = errno;
    throw base::SystemError("cannot " + doing + " " + path + ": " + std::strerror(code), code);
}

void make_directories(const std::filesystem::path& path) {
    if (path.empty() || std::filesystem::is_directory(path)) {
        return;
    }
    make_directories(path.parent_path());
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) {
        fail("make the log directory", path);
    }
}

// Other processes hold the lock for one write; one that was stopped while holding it must not stop this one.
class Lock {
  public:
    Lock(int file, const std::string& path) : file_(file) {
        const auto deadline = std::chrono::steady_clock::now() + lock_patience;
        while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
            if ((errno != EWOULDBLOCK && errno != EINTR) || std::chrono::steady_clock::now() > deadline) {
                fail("lock", path);
            }
            std::this_thread::sleep_for(lock_interval);
        }
    }
    ~Lock() { ::flock(file_, LOCK_UN); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    int file_;
};

}  // namespace

JsonlSink::JsonlSink(const std::string& directory) : path_(directory + '/' + file_name) {
    make_directories(std::filesystem::path(directory).lexically_normal());
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (file_ < 0) {
        fail("open the decision log", path_);
    }
    buffer_.resize(read_bytes);
    try {
        count_lines(size());
    } catch (...) {
        ::close(file_);
        throw;
    }
}

JsonlSink::~JsonlSink() {
    abandon();
}

void JsonlSink::abandon() noexcept {
    if (file_ >= 0) {
        ::close(file_);
        file_ = -1;
    }
}

std::uint64_t JsonlSink::append(const Batch& batch) {
    const Lock lock(file_, path_);
    const std::uint64_t before = size();
    count_lines(before);
    try {
        if (torn_) {
            write_all("\n", 1);
        }
        write_all(batch.bytes.data(), batch.bytes.size());
    } catch (const base::SystemError&) {
        // Failing to cut leaves a torn line, which the next batch ends.
        static_cast<void>(::ftruncate(file_, static_cast<off_t>(before)) == 0);
        throw;
    }
    const std::uint64_t first = lines_ + (torn_ ? 1 : 0);
    known_ = before + batch.bytes.size() + (torn_ ? 1 : 0);
    lines_ = first + batch.ends.size();
    torn_ = false;
    return first;
}

std::uint64_t JsonlSink::size() const {
    struct stat status;
    if (::fstat(file_, &status) != 0) {
        fail("examine", path_);
    }
    return static_cast<std::uint64_t>(status.st_size);
}

// Brings known_, lines_ and torn_ up to the byte `end`.
void JsonlSink::count_lines(std::uint64_t end) {
    if (end < known_) {
        known_ = lines_ = 0;
        torn_ = false;
    }
    while (known_ < end) {
        const std::size_t want = std::min<std::uint64_t>(buffer_.size(), end - known_);
        const ssize_t got = ::pread(file_, buffer_.data(), want, static_cast<off_t>(known_));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            fail("read", path_);
        }
        lines_ += static_cast<std::uint64_t>(std::count(buffer_.data(), buffer_.data() + got, '\n'));
        known_ += static_cast<std::uint64_t>(got);
        torn_ = buffer_[static_cast<std::size_t>(got) - 1] != '\n';
    }
}

void JsonlSink::write_all(const char* data, std::size_t bytes) {
    while (bytes > 0) {
        const ssize_t written = ::write(file_, data, bytes);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail("write", path_);
        }
        data += written;
        bytes -= static_cast<std::size_t>(written);
    }
}

}  // namespace atlascore::log
