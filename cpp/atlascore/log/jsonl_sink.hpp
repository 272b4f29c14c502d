// A sink that appends entries to one file of JSON lines. Several processes may append to the same file.
//
// Each batch is written under flock(), so that lines of two processes never mix even when a write is cut
// short. A batch that cannot be written whole is cut off again. A line torn by the death of a process is
// ended with a line feed by the next writer, and readers skip it.
//
// An index is a line number from 0. A process learns what others appended since its own last batch by
// counting the line feeds in between, so every process knows the indexes of its entries. The file must not be
// rotated, edited or truncated while a process has it open.
#pragma once

#include <cstdint>
#include <string>

#include "atlascore/log/sink.hpp"

namespace atlascore::log {

class JsonlSink final : public Sink {
  public:
    static constexpr const char* file_name = "decisions.jsonl";

    // Opens directory/decisions.jsonl, making directories (mode 0750) and file (0640) as needed. Throws
    // base::SystemError.
    explicit JsonlSink(const std::string& directory);
    ~JsonlSink() override;
    JsonlSink(const JsonlSink&) = delete;
    JsonlSink& operator=(const JsonlSink&) = delete;

    std::uint64_t append(const Batch& batch) override;
    void abandon() noexcept override;

  private:
    std::uint64_t size() const;
    void count_lines(std::uint64_t end);
    void write_all(const char* data, std::size_t bytes);

    std::string path_;
    int file_ = -1;
    std::uint64_t known_ = 0;  // bytes of the file whose lines are counted
    std::uint64_t lines_ = 0;  // line feeds among them
    bool torn_ = false;        // they do not end with a line feed
    std::string buffer_;
};

}  // namespace atlascore::log
