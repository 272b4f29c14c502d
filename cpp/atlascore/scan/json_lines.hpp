// Events from a file of JSON lines, in the order of their time.
//
//     bytes -- LineSource --> lines -- time --> LineOrder -- earliest --> JsonEventParser --> ScanEvent
//
// Lines are ordered before they are decoded: only the time of a line is read when it comes in, and the rest,
// in place, when it goes out. A line goes out when a line at least `lateness` younger was seen, when too many
// wait, or at the end of the input; ties keep the input order. What comes later than that still comes out,
// flagged late.
//
// A bad line is reported, counted and skipped. Memory: the bytes of the lines that wait, in chunks of 1 MiB,
// and the largest line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "atlascore/scan/field_table.hpp"
#include "atlascore/scan/json_event.hpp"
#include "atlascore/scan/line_order.hpp"
#include "atlascore/scan/line_source.hpp"
#include "atlascore/scan/scan_event.hpp"

namespace atlascore::scan {

struct OrderLimits {
    double lateness = 60;           // seconds
    std::size_t lines = 1'000'000;  // that wait
    std::size_t bytes = std::size_t{1} << 30;
};

class JsonLinesReader {
  public:
    struct Counts {
        std::uint64_t lines = 0;   // read, without empty ones
        std::uint64_t events = 0;  // given out
        std::uint64_t bad = 0;
        std::uint64_t late = 0;  // of the events
    };
    // Told of each bad line: its 1-based number and what is wrong with it.
    using BadLine = std::function<void(std::uint64_t line, std::string_view reason)>;

    // Opens the file at `path`, "-" for the standard input. `fields` are the event fields to read; the index
    // of each is its index in ScanEvent::fields. Throws base::SystemError when the file cannot be opened.
    JsonLinesReader(const std::string& path, std::span<const std::string> fields, BadLine bad_line,
                    const OrderLimits& limits = {});

    // The next event, valid until the next call; null at the end. Throws base::SystemError when reading
    // fails, base::Error when the input is compressed.
    const ScanEvent* next();

    // The time of the line that next() will decode first; nothing at the end. For merging readers. It ends
    // the life of the last event, as next() does.
    std::optional<double> next_time();

    const Counts& counts() const noexcept { return counts_; }

  private:
    void fill();
    bool ready() const noexcept;
    void read_line(const LineSource::Line& line);
    void refuse(std::uint64_t line, std::string_view reason);

    LineSource source_;
    FieldTable table_;
    JsonEventParser parser_;
    LineOrder order_;
    BadLine bad_line_;
    OrderLimits limits_;
    Counts counts_;
    ScanEvent event_;
    std::optional<std::uint32_t> decoded_;  // chunk of the line that the event views
    double newest_;
    double given_;  // time of the last event
    bool ended_ = false;
};

}  // namespace atlascore::scan
