#include "atlascore/scan/line_source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "atlascore/base/error.hpp"

namespace atlascore::scan {
namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// How compressed files begin, and what prints their content.
constexpr std::pair<std::string_view, std::string_view> compressed[] = {
    {"\x1F\x8B", "zcat"},
    {"\x28\xB5\x2F\xFD", "zstdcat"},
    {"BZh", "bzcat"},
    {"\xFD"
     "7zXZ",
     "xzcat"},
};

}  // namespace

LineSource::LineSource(const std::string& path)
    : path_(path), file_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) {
        const int code = errno;
        throw base::SystemError("cannot open " + path + ": " + std::strerror(code), code);
    }
    current_ = take_chunk(chunk_bytes);
}

LineSource::~LineSource() {
    if (file_ != STDIN_FILENO) {
        ::close(file_);
    }
}

bool LineSource::next(Line& line) {
    for (;;) {
        const Chunk& chunk = chunks_[current_];
        const char* data = chunk.data.get();
        const void* found = std::memchr(data + scanned_, '\n', chunk.size - scanned_);
        if (found == nullptr && !ended_) {
            scanned_ = chunk.size;
            ended_ = !refill();
            continue;
        }
        if (found == nullptr && start_ == chunk.size && !skipping_) {
            return false;
        }
        std::size_t end =
            found ? static_cast<std::size_t>(static_cast<const char*>(found) - data) : chunk.size;
        const std::size_t next_start = std::min(end + 1, chunk.size);
        if (++number_ == 1 && std::string_view(data + start_, end - start_).starts_with(byte_order_mark)) {
            start_ += byte_order_mark.size();
        }
        const bool too_long = skipping_ || end - start_ > max_line;
        line = {number_, current_, static_cast<std::uint32_t>(start_),
                static_cast<std::uint32_t>(end - start_), too_long};
        start_ = scanned_ = next_start;
        skipping_ = false;
        return true;
    }
}

void LineSource::release(std::uint32_t chunk) {
    if (--chunks_[chunk].held == 0 && chunk != current_) {
        give_back(chunk);
    }
}

// Reads more bytes after the unfinished line; false at the end of the input.
bool LineSource::refill() {
    const std::size_t begun = chunks_[current_].size - start_;
    if (begun > max_line || skipping_) {
        skipping_ = true;
        start_ = scanned_ = chunks_[current_].size;
    }
    if (chunks_[current_].size == chunks_[current_].capacity) {
        const std::size_t keep = chunks_[current_].size - start_;
        const std::uint32_t fresh =
            take_chunk(std::max(chunk_bytes, std::min(keep * 2, max_line + chunk_bytes)));
        std::memcpy(chunks_[fresh].data.get(), chunks_[current_].data.get() + start_, keep);
        chunks_[fresh].size = keep;
        const std::uint32_t before = std::exchange(current_, fresh);
        if (chunks_[before].held == 0) {
            give_back(before);
        }
        scanned_ -= start_;
        start_ = 0;
    }
    Chunk& chunk = chunks_[current_];
    for (;;) {
        const ssize_t got = ::read(file_, chunk.data.get() + chunk.size, chunk.capacity - chunk.size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            const int code = errno;
            throw base::SystemError("cannot read " + path_ + ": " + std::strerror(code), code);
        }
        chunk.size += static_cast<std::size_t>(got);
        if (number_ == 0 && !skipping_) {
            refuse_compressed({chunk.data.get(), chunk.size});
        }
        return got != 0;
    }
}

void LineSource::refuse_compressed(std::string_view head) const {
    for (const auto& [magic, program] : compressed) {
        if (head.starts_with(magic)) {
            throw base::Error(
                path_ + ": compressed; this version reads plain JSON lines: decompress it first, e.g. `" +
                std::string(program) + " FILE | atlascore scan -`");
        }
    }
}

std::uint32_t LineSource::take_chunk(std::size_t capacity) {
    const auto fits = std::find_if(free_.begin(), free_.end(),
                                   [&](std::uint32_t i) { return chunks_[i].capacity >= capacity; });
    std::uint32_t taken = static_cast<std::uint32_t>(chunks_.size());
    if (fits != free_.end()) {
        taken = *fits;
        free_.erase(fits);
    } else {
        chunks_.push_back({std::make_unique_for_overwrite<char[]>(capacity + padding), capacity, 0, 0});
    }
    memory_ += chunks_[taken].capacity;
    return taken;
}

void LineSource::give_back(std::uint32_t chunk) {
    memory_ -= chunks_[chunk].capacity;
    chunks_[chunk].size = 0;
    free_.push_back(chunk);
}

}  // namespace atlascore::scan
