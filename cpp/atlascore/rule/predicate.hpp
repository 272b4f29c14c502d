// Predicates: leaves compiled to 40-byte records that are tested against one event value or signal.
//
// What a test needs from a value (its folded text, its text as is, its number) is worked out at most once per
// event and kept in the Scratch. Texts live in an arena of fixed size; a value too long for it is folded
// while it is compared, which is slower and never wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "atlascore/event/event.hpp"
#include "atlascore/rule/ast.hpp"

namespace atlascore::rule {

enum class Test : std::uint8_t {
    exists,
    null,
    number_equal,
    lt,
    lte,
    gt,
    gte,
    text_anything,
    text_exact,
    text_prefix,
    text_suffix,
    text_substring,
    text_glob,
    text_regex,
};

struct Predicate {
    Test test = Test::exists;
    bool on_signal = false;
    bool cased = false;
    bool expected = true;    // operand of `exists`
    std::uint16_t slot = 0;  // of the field, or of the signal in its phase's list
    std::uint32_t text = 0;  // literal: offset and size in the table's texts
    std::uint32_t text_size = 0;
    std::uint32_t pattern = 0;  // glob: index of the code points (text tests always have one); regex: index
    Number number;
};

// Relative cost of one test; conditions try the cheapest first.
std::uint32_t cost(const Predicate& predicate) noexcept;

// Predicates and what they refer to.
struct PredicateTable {
    std::vector<Predicate> predicates;
    std::string texts;
    std::vector<std::u32string> globs;
    std::vector<std::shared_ptr<const re2::RE2>> regexes;

    // Appends the leaf's predicate and returns its index. Throws base::Error where operator and operand, or
    // operator and signal, do not go together.
    std::uint32_t add(const Leaf& leaf, std::uint16_t slot, bool on_signal);
};

// Per-event memory of predicate tests for up to `fields` fields; reset by begin_event.
class ValueCache {
  public:
    explicit ValueCache(std::size_t fields);

    void begin_event() noexcept;
    std::size_t fields() const noexcept { return slots_.size(); }

    // The scalar texts of a value, arrays flattened. `complete` is false when the arena was too small.
    struct Texts {
        const std::string_view* views = nullptr;
        std::uint32_t count = 0;
        bool complete = true;
    };
    const Texts& folded(std::uint16_t slot, const event::Value& value) noexcept;
    const Texts& plain(std::uint16_t slot, const event::Value& value) noexcept;
    // The number of a text value; nullptr when the text is not a decimal literal.
    const Number* number(std::uint16_t slot, std::string_view text) noexcept;

  private:
    struct Stamped {
        std::uint32_t stamp = 0;
        Texts texts;
        std::string_view single;
    };
    struct Slot {
        Stamped folded;
        Stamped plain;
        std::uint32_t number_stamp = 0;
        bool numeric = false;
        Number number;
    };
    void fill(Stamped& entry, const event::Value& value, bool fold) noexcept;
    bool flatten(const event::Value& array, bool fold, std::string_view* views,
                 std::uint32_t& count) noexcept;
    bool store(std::string_view text, bool fold, std::string_view& stored) noexcept;
    std::byte* allocate(std::size_t size) noexcept;

    static constexpr std::size_t arena_capacity = std::size_t{1} << 20;
    std::vector<Slot> slots_;
    std::unique_ptr<std::byte[]> arena_;
    std::size_t used_ = 0;
    std::uint32_t stamp_ = 0;
};

bool holds(const PredicateTable& table, const Predicate& predicate, const event::Value& value,
           ValueCache& cache) noexcept;
bool holds(const Predicate& predicate, double signal) noexcept;

}  // namespace atlascore::rule
