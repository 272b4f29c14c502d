// The lines of a file or pipe, read in chunks. A chunk stays as long as a line of it is held, so that lines
// can be decoded later, in place, in another order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace atlascore::scan {

class LineSource {
  public:
    static constexpr std::size_t max_line = 16 << 20;  // bytes
    static constexpr std::size_t padding = 64;         // readable bytes after every line, for vector loads

    // "-" is the standard input. Throws base::SystemError when the file cannot be opened.
    explicit LineSource(const std::string& path);
    ~LineSource();
    LineSource(const LineSource&) = delete;
    LineSource& operator=(const LineSource&) = delete;

    struct Line {
        std::uint64_t number;  // 1-based
        std::uint32_t chunk;
        std::uint32_t offset;
        std::uint32_t size;  // without the line feed
        bool too_long;       // longer than max_line; the bytes are not kept
    };

    // The next line; false at the end of the input. Throws base::SystemError when reading fails, base::Error
    // when the input is compressed.
    bool next(Line& line);

    std::string_view bytes(std::uint32_t chunk, std::uint32_t offset, std::uint32_t size) const noexcept {
        return {chunks_[chunk].data.get() + offset, size};
    }

    // Every held line is released once.
    void hold(std::uint32_t chunk) noexcept { ++chunks_[chunk].held; }
    void release(std::uint32_t chunk);

    std::size_t memory() const noexcept { return memory_; }  // bytes of chunks that hold lines

  private:
    struct Chunk {
        std::unique_ptr<char[]> data;
        std::size_t capacity = 0;
        std::size_t size = 0;
        std::size_t held = 0;
    };

    bool refill();
    void refuse_compressed(std::string_view head) const;
    std::uint32_t take_chunk(std::size_t capacity);
    void give_back(std::uint32_t chunk);

    std::string path_;
    int file_;
    bool ended_ = false;
    std::vector<Chunk> chunks_;
    std::vector<std::uint32_t> free_;
    std::uint32_t current_;
    std::size_t start_ = 0;    // of the line that is being read, in the current chunk
    std::size_t scanned_ = 0;  // no line feed in [start_, scanned_)
    std::uint64_t number_ = 0;
    bool skipping_ = false;  // in a line that is too long
    std::size_t memory_ = 0;
};

}  // namespace atlascore::scan
