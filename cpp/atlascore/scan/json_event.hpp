// One JSON line to a ScanEvent: one pass over the line, straight into the event, no allocation once the
// buffers have grown. AtlasCore's own keys are those of FieldTable; every other key is an event field.
//
//   - Nested objects are flattened with dots. The flatter key wins ("a.b" over a -> b); of equally flat ones
//   the
//     last. A path through an array yields the values of all its elements; arrays in arrays are joined.
//   - A JSON null is a null value, different from a missing one. An object has no value of its own.
//   - Integers beyond 64 bits and reals beyond a double keep their text.
//   - Ill-formed UTF-8 and lone surrogates become U+FFFD.
//   - The first of the top-level keys `time` and `now` with a value is the time.
//   - Of a repeated key the last value counts, whatever it is, as in Python's json.
//   - What no rule and no argument reads is skipped: its brackets and strings are checked, its values are
//   not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "atlascore/event/event.hpp"
#include "atlascore/scan/field_slots.hpp"
#include "atlascore/scan/field_table.hpp"
#include "atlascore/scan/json_scalars.hpp"
#include "atlascore/scan/scan_event.hpp"

namespace atlascore::scan {

class JsonEventParser {
  public:
    static constexpr int max_depth = 64;

    // The table outlives the parser.
    explicit JsonEventParser(const FieldTable& table);

    // The time of a line. Nothing when it has none or cannot be read; reason() then says why.
    // LineSource::padding bytes after the line can be read, here and below.
    std::optional<double> time(std::string_view line);

    // Decodes everything else. False when the line is bad; reason() says why. Views in the event point into
    // the line and the parser and are valid until the next call.
    bool parse(std::string_view line, ScanEvent& event);

    // After parse(): the time of a line, of which time() may have found a value that does not count, because
    // the line repeats a key. `found` is what it found.
    std::optional<double> counting_time(double found) const noexcept {
        return is_repeated_ ? repeated_time_ : found;
    }

    const std::string& reason() const noexcept { return scalars_.reason(); }

  private:
    using Object = JsonScalars::Object;
    using Array = JsonScalars::Array;
    using JsonField = JsonScalars::JsonField;
    using JsonValue = JsonScalars::JsonValue;

    struct Place {
        int depth = 1;  // objects and arrays around the value
        FieldSlots::Place slot;
        bool known = true;  // keys with a meaning of their own are looked for
    };

    // The lines of a log have the same keys in the same order, so the n-th key of the line before is a good
    // guess for the n-th of this one: comparing sixteen bytes saves finding the key's end, its path and its
    // entry.
    struct Guess {
        static constexpr std::size_t size = 16;  // of the longest key that is guessed, with its closing quote

        Guess() = default;
        Guess(const char* raw, std::size_t bytes, const FieldTable::Entry* of,
              const FieldTable::Entry* found) noexcept;
        bool is(const char* raw) const noexcept;

        const FieldTable::Entry* parent = nullptr;
        const FieldTable::Entry* entry = nullptr;
        std::array<std::uint64_t, 2> words{};
        std::array<std::uint64_t, 2> mask{~std::uint64_t{0}, ~std::uint64_t{0}};
    };
    static constexpr std::size_t max_guesses = 64;  // keys of a line

    std::optional<double> first_time(std::string_view line);
    bool drop_repeated();
    bool parse_line(std::string_view line, ScanEvent& event);
    void begin(ScanEvent& event);

    bool read_object(Object& object, const FieldTable::Entry* parent, Place place);
    bool find(JsonField& field, const FieldTable::Entry* parent, const FieldTable::Entry*& entry);
    bool look_up(JsonField& field, const FieldTable::Entry* parent, const FieldTable::Entry*& entry,
                 Guess& guess);
    bool read_array(Array& array, const FieldTable::Entry& entry, Place place);
    bool read_value(JsonValue& value, const FieldTable::Entry& entry, Place place);
    bool read_known(JsonValue& value, const FieldTable::Entry& entry, Place place);
    bool read_part(JsonValue& value, const FieldTable::Entry& entry, const FieldTable::Entry* parent,
                   Place place);
    bool read_text(JsonValue& value, const FieldTable::Entry& entry, Place place, std::string_view& to);
    bool read_input_text(JsonValue& value, const FieldTable::Entry& entry);
    bool read_content(JsonValue& value, const FieldTable::Entry& entry, bool& has, std::string_view& to);
    bool read_cost(JsonValue& value, const FieldTable::Entry& entry, Place place, double& to);
    bool read_status(JsonValue& value, const FieldTable::Entry& entry, Place place);
    bool read_label(JsonValue& value, const FieldTable::Entry& entry);
    bool read_time(JsonValue& value, std::optional<double>& to);
    template <class Number>
    bool read_tensor(JsonValue& value, const FieldTable::Entry& entry, Tensor<Number>& to);
    bool read_row(JsonValue& value, const FieldTable::Entry& entry);
    bool read_cells(JsonValue& value, const FieldTable::Entry& entry);
    bool read_named_cells(JsonValue& value, const FieldTable::Entry& entry);
    bool read_cell(JsonValue& value, const FieldTable::Entry& entry, std::uint32_t row,
                   std::string_view name);

    const FieldTable& table_;
    JsonScalars scalars_;
    FieldSlots slots_;
    std::vector<Guess> guesses_;
    std::size_t keys_ = 0;             // of the line so far
    std::vector<std::uint64_t> seen_;  // per entry: the last object that had its key
    std::uint64_t objects_ = 0;        // so far, in all lines
    bool is_repeated_ = false;         // the line repeats a key that is read
    std::optional<double> repeated_time_;
    std::string unrepeated_;  // a line without its repeated keys
    std::string path_;
    std::vector<event::Value> labels_;
    std::uint32_t arrays_ = 0;  // outermost ones so far
    ScanEvent* event_ = nullptr;
};

}  // namespace atlascore::scan
