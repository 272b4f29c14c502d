// The wanted fields of one line, filled in the order in which the line gives them.
//
// The flatter key wins; of equally flat ones the last, except that all values within one array belong
// together: a field inside an array has the values of all elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "atlascore/event/event.hpp"

namespace atlascore::scan {

class FieldSlots {
  public:
    // Where a value stands.
    struct Place {
        int segments = 0;         // keys of its path, as the line nests them
        std::uint32_t array = 0;  // the outermost array around it, numbered within the line; 0 none
    };

    explicit FieldSlots(std::size_t fields) : values_(fields), slots_(fields) {}

    void begin();
    void store(std::int32_t index, Place place, const event::Value& value);
    // An array is there even if it has no elements.
    void begin_array(std::int32_t index, Place place);

    // The values, valid until begin().
    std::span<const event::Value> finish();

  private:
    struct Slot {
        std::uint64_t line = 0;    // an older one means nothing
        std::uint64_t listed = 0;  // line in which the slot is among arrays_
        int segments = 0;
        std::uint32_t array = 0;
        std::int32_t first = -1;  // nodes of an array
        std::int32_t last = -1;
        std::uint32_t count = 0;
    };
    struct Node {
        event::Value value;
        std::int32_t next;
    };

    Slot* claim(std::int32_t index, Place place);

    std::vector<event::Value> values_;
    std::vector<Slot> slots_;
    std::vector<std::int32_t> arrays_;  // slots that hold or held one
    std::vector<Node> nodes_;
    std::vector<event::Value> items_;
    std::uint64_t line_ = 0;
};

}  // namespace atlascore::scan
