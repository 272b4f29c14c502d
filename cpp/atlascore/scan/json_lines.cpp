#include "atlascore/scan/json_lines.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace atlascore::scan {
namespace {

constexpr double never = -std::numeric_limits<double>::infinity();

bool is_blank(std::string_view line) noexcept {
    return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

JsonLinesReader::JsonLinesReader(const std::string& path, std::span<const std::string> fields,
                                 BadLine bad_line, const OrderLimits& limits)
    : source_(path),
      table_(fields),
      parser_(table_),
      bad_line_(std::move(bad_line)),
      limits_(limits),
      newest_(never),
      given_(never) {}

const ScanEvent* JsonLinesReader::next() {
    for (;;) {
        if (decoded_) {
            source_.release(*decoded_);
            decoded_.reset();
        }
        fill();
        if (order_.empty()) {
            return nullptr;
        }
        const LineRef line = order_.pop();
        decoded_ = line.chunk;
        if (!parser_.parse(source_.bytes(line.chunk, line.offset, line.size), event_)) {
            refuse(line.number, parser_.reason());
            continue;
        }
        const std::optional<double> time = parser_.counting_time(line.time);
        if (!time) {
            refuse(line.number, parser_.reason());
            continue;
        }
        if (*time > line.time) {  // it came too early: the line repeats its time
            newest_ = std::max(newest_, *time);
            order_.push({*time, line.number, line.chunk, line.offset, line.size});
            source_.hold(line.chunk);
            continue;
        }
        event_.line = line.number;
        event_.time = *time;
        event_.late = *time < given_;
        given_ = std::max(given_, *time);
        ++counts_.events;
        counts_.late += event_.late;
        return &event_;
    }
}

std::optional<double> JsonLinesReader::next_time() {
    fill();
    return order_.empty() ? std::nullopt : std::optional(order_.front().time);
}

// Reads lines until the earliest may go out.
void JsonLinesReader::fill() {
    LineSource::Line line;
    while (!ended_ && !ready()) {
        if (source_.next(line)) {
            read_line(line);
        } else {
            ended_ = true;
        }
    }
}

bool JsonLinesReader::ready() const noexcept {
    return !order_.empty() && (order_.front().time + limits_.lateness <= newest_ ||
                               order_.size() >= limits_.lines || source_.memory() >= limits_.bytes);
}

void JsonLinesReader::read_line(const LineSource::Line& line) {
    const std::string_view bytes = source_.bytes(line.chunk, line.offset, line.size);
    if (line.too_long) {
        ++counts_.lines;
        refuse(line.number, "the line is longer than 16 MiB");
        return;
    }
    if (is_blank(bytes)) {
        return;
    }
    ++counts_.lines;
    const std::optional<double> time = parser_.time(bytes);
    if (!time) {
        refuse(line.number, parser_.reason());
        return;
    }
    newest_ = std::max(newest_, *time);
    order_.push({*time, line.number, line.chunk, line.offset, line.size});
    source_.hold(line.chunk);
}

void JsonLinesReader::refuse(std::uint64_t line, std::string_view reason) {
    ++counts_.bad;
    bad_line_(line, reason);
}

}  // namespace atlascore::scan
