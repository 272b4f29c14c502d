// Where rendered entries go. The writer thread calls a sink with whole batches and knows nothing of files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace atlascore::log {

// Entries in log order.
struct Batch {
    std::string bytes;                // every entry followed by a line feed
    std::vector<std::uint32_t> ends;  // per entry, one past its line feed

    void clear() noexcept {
        bytes.clear();
        ends.clear();
    }
    // Ends the entry whose bytes were appended last.
    void end_entry() {
        bytes += '\n';
        ends.push_back(static_cast<std::uint32_t>(bytes.size()));
    }
};

class Sink {
  public:
    virtual ~Sink() = default;

    // Appends the whole batch and returns the index of its first entry in the log. On failure it throws
    // base::SystemError and nothing of the batch is in the log; the writer keeps the batch and tries again.
    virtual std::uint64_t append(const Batch& batch) = 0;

    // In the child of a fork, which shares descriptors with its parent: closes them and does nothing else.
    virtual void abandon() noexcept = 0;
};

}  // namespace atlascore::log
