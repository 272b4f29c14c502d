// Lines in the order of their time, ties in input order. Only references to lines are moved, never their
// bytes or decoded events. A log that is in order, or nearly so, costs a push and a pop at the ends of one
// array; lines that come out of order go through a heap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace atlascore::scan {

struct LineRef {
    double time;
    std::uint64_t number;  // 1-based line number
    std::uint32_t chunk;   // where its bytes are (LineSource)
    std::uint32_t offset;
    std::uint32_t size;

    friend bool operator<(const LineRef& a, const LineRef& b) noexcept {
        return a.time != b.time ? a.time < b.time : a.number < b.number;
    }
};

class LineOrder {
  public:
    void push(const LineRef& line) {
        if (sorted_size_ == 0 || sorted(sorted_size_ - 1).time <= line.time) {
            if (sorted_size_ == sorted_.size()) {
                grow();
            }
            sorted(sorted_size_++) = line;
        } else {
            heap_.push_back(line);
            std::push_heap(heap_.begin(), heap_.end(), later);
        }
    }

    bool empty() const noexcept { return size() == 0; }
    std::size_t size() const noexcept { return sorted_size_ + heap_.size(); }

    // The earliest line.
    const LineRef& front() const noexcept {
        const bool from_heap = sorted_size_ == 0 || (!heap_.empty() && heap_.front() < sorted(0));
        return from_heap ? heap_.front() : sorted(0);
    }

    LineRef pop() noexcept {
        const LineRef line = front();
        if (!heap_.empty() && heap_.front().number == line.number) {
            std::pop_heap(heap_.begin(), heap_.end(), later);
            heap_.pop_back();
        } else {
            sorted_first_ = (sorted_first_ + 1) & (sorted_.size() - 1);
            --sorted_size_;
        }
        return line;
    }

  private:
    static bool later(const LineRef& a, const LineRef& b) noexcept { return b < a; }

    // The i-th line of the run that came in order; it wraps round.
    LineRef& sorted(std::size_t i) noexcept { return sorted_[(sorted_first_ + i) & (sorted_.size() - 1)]; }
    const LineRef& sorted(std::size_t i) const noexcept {
        return sorted_[(sorted_first_ + i) & (sorted_.size() - 1)];
    }

    void grow() {
        std::rotate(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(sorted_first_),
                    sorted_.end());
        sorted_first_ = 0;
        sorted_.resize(std::max<std::size_t>(1'024, sorted_.size() * 2));
    }

    std::vector<LineRef> sorted_;  // a power of two of them, or none
    std::size_t sorted_first_ = 0;
    std::size_t sorted_size_ = 0;
    std::vector<LineRef> heap_;
};

}  // namespace atlascore::scan
