#include "atlascore/scan/field_slots.hpp"

#include <algorithm>

namespace atlascore::scan {

using event::Value;
using event::ValueKind;

void FieldSlots::begin() {
    ++line_;
    std::fill(values_.begin(), values_.end(), Value{});
    arrays_.clear();
    nodes_.clear();
}

void FieldSlots::begin_array(std::int32_t index, Place place) {
    claim(index, place);
}

// The slot, made ready for a value at this place; null when a flatter key has filled it.
FieldSlots::Slot* FieldSlots::claim(std::int32_t index, Place place) {
    Slot& slot = slots_[static_cast<std::size_t>(index)];
    const bool filled = slot.line == line_;
    if (filled && slot.segments < place.segments) {
        return nullptr;
    }
    if (filled && slot.segments == place.segments && slot.array == place.array && place.array != 0) {
        return &slot;
    }
    if (place.array != 0 && slot.listed != line_) {
        slot.listed = line_;
        arrays_.push_back(index);
    }
    slot = {line_, slot.listed, place.segments, place.array, -1, -1, 0};
    return &slot;
}

void FieldSlots::store(std::int32_t index, Place place, const Value& value) {
    Slot* slot = claim(index, place);
    if (slot == nullptr) {
        return;
    }
    if (place.array == 0) {
        values_[static_cast<std::size_t>(index)] = value;
        return;
    }
    const auto node = static_cast<std::int32_t>(nodes_.size());
    nodes_.push_back({value, -1});
    (slot->first < 0 ? slot->first : nodes_[static_cast<std::size_t>(slot->last)].next) = node;
    slot->last = node;
    ++slot->count;
}

// Lays out the arrays, whose items came in any order, one after the other.
std::span<const Value> FieldSlots::finish() {
    items_.clear();
    items_.reserve(nodes_.size());
    for (const std::int32_t index : arrays_) {
        const Slot& slot = slots_[static_cast<std::size_t>(index)];
        if (slot.array == 0) {
            continue;
        }
        Value& value = values_[static_cast<std::size_t>(index)];
        value.kind = ValueKind::array;
        value.size = slot.count;
        value.items = items_.data() + items_.size();
        for (std::int32_t node = slot.first; node >= 0; node = nodes_[static_cast<std::size_t>(node)].next) {
            items_.push_back(nodes_[static_cast<std::size_t>(node)].value);
        }
    }
    return values_;
}

}  // namespace atlascore::scan
