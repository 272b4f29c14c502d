#include "atlascore/rule/predicate.hpp"

#include <re2/re2.h>

#include <cmath>
#include <cstring>

#include "atlascore/base/error.hpp"
#include "atlascore/rule/fold.hpp"
#include "atlascore/rule/pattern.hpp"

namespace atlascore::rule {
namespace {

// A double that equals the number, where there is one: the comparison with signals and doubles is then plain.
Number simplest(const Number& number) noexcept {
    const double real = number.kind == Number::Kind::real    ? number.real
                        : number.kind == Number::Kind::int64 ? static_cast<double>(number.int64)
                                                             : static_cast<double>(number.uint64);
    const Number rounded = Number::of(real);
    return compare(rounded, number) == 0 ? rounded : number;
}

Test test_of(Pattern::Shape shape) noexcept {
    switch (shape) {
        case Pattern::Shape::exact:
            return Test::text_exact;
        case Pattern::Shape::prefix:
            return Test::text_prefix;
        case Pattern::Shape::suffix:
            return Test::text_suffix;
        case Pattern::Shape::substring:
            return Test::text_substring;
        case Pattern::Shape::anything:
            return Test::text_anything;
        case Pattern::Shape::glob:
            break;
    }
    return Test::text_glob;
}

Test comparison_of(Operator op) noexcept {
    switch (op) {
        case Operator::lt:
            return Test::lt;
        case Operator::lte:
            return Test::lte;
        case Operator::gt:
            return Test::gt;
        case Operator::gte:
            return Test::gte;
        default:
            return Test::number_equal;
    }
}

[[noreturn]] void reject(const Leaf& leaf, const char* why) {
    throw base::Error(leaf.subject + "|" + std::string(operator_name(leaf.op)) + ": " + why);
}

void add_text(PredicateTable& table, Predicate& predicate, const Leaf& leaf, std::string_view text) {
    const bool open_start = leaf.op == Operator::contains || leaf.op == Operator::endswith;
    const bool open_end = leaf.op == Operator::contains || leaf.op == Operator::startswith;
    Pattern pattern = parse_pattern(text, open_start, open_end, leaf.cased);
    predicate.test = test_of(pattern.shape);
    predicate.cased = leaf.cased;
    predicate.text = static_cast<std::uint32_t>(table.texts.size());
    predicate.text_size = static_cast<std::uint32_t>(pattern.literal.size());
    table.texts += pattern.literal;
    predicate.pattern = static_cast<std::uint32_t>(table.globs.size());
    table.globs.push_back(std::move(pattern.glob));
}

void add_operand(PredicateTable& table, Predicate& predicate, const Leaf& leaf) {
    const bool is_ordering = leaf.op >= Operator::lt;
    if (const auto* number = std::get_if<Number>(&leaf.operand)) {
        if (!is_ordering && leaf.op != Operator::equal) reject(leaf, "needs a text");
        predicate.test = comparison_of(leaf.op);
        predicate.number = simplest(*number);
    } else if (is_ordering) {
        reject(leaf, "needs a number");
    } else if (predicate.on_signal) {
        reject(leaf, "a signal is a number and has no text");
    } else if (const auto* text = std::get_if<std::string>(&leaf.operand)) {
        add_text(table, predicate, leaf, *text);
    } else if (const auto* boolean = std::get_if<bool>(&leaf.operand);
               boolean && leaf.op == Operator::equal) {
        add_text(table, predicate, leaf, *boolean ? "true" : "false");
    } else {
        reject(leaf, "needs a text");
    }
}

// The text of a scalar in `buffer` or in the event; no text for missing, null, NaN and infinities.
struct ScalarText {
    bool exists = false;
    std::string_view view;
};

ScalarText scalar_text(const event::Value& value, char (&buffer)[number_text_capacity]) noexcept {
    using enum event::ValueKind;
    switch (value.kind) {
        case text:
            return {true, value.as_text()};
        case boolean:
            return {true, value.boolean ? "true" : "false"};
        case int64:
            return {true, number_text(Number::of(value.int64), buffer)};
        case uint64:
            return {true, number_text(Number::of(value.uint64), buffer)};
        case real: {
            const std::string_view view = number_text(Number::of(value.real), buffer);
            return {!view.empty(), view};
        }
        default:
            return {};
    }
}

std::size_t count_scalars(const event::Value& value) noexcept {
    if (value.kind != event::ValueKind::array) return 1;
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < value.size; ++i) count += count_scalars(value.items[i]);
    return count;
}

// True if `check` is true of the value, or of any element of an array at any depth (V10).
template <class Check>
bool any_scalar(const event::Value& value, const Check& check) noexcept {
    if (value.kind != event::ValueKind::array) return check(value);
    for (std::uint32_t i = 0; i < value.size; ++i) {
        if (any_scalar(value.items[i], check)) return true;
    }
    return false;
}

bool orders(const Predicate& predicate, const Number& observed) noexcept {
    const std::partial_ordering order = compare(observed, predicate.number);
    switch (predicate.test) {
        case Test::lt:
            return order < 0;
        case Test::lte:
            return order <= 0;
        case Test::gt:
            return order > 0;
        case Test::gte:
            return order >= 0;
        default:
            return order == 0;
    }
}

bool number_holds(const Predicate& predicate, const event::Value& value, ValueCache& cache) noexcept {
    const bool is_scalar = value.kind != event::ValueKind::array;
    return any_scalar(value, [&](const event::Value& v) noexcept {
        using enum event::ValueKind;
        switch (v.kind) {
            case int64:
                return orders(predicate, Number::of(v.int64));
            case uint64:
                return orders(predicate, Number::of(v.uint64));
            case real:
                return orders(predicate, Number::of(v.real));
            case text: {
                if (is_scalar) {
                    const Number* number = cache.number(predicate.slot, v.as_text());
                    return number != nullptr && orders(predicate, *number);
                }
                const std::optional<Number> number = parse_number(v.as_text());
                return number && orders(predicate, *number);
            }
            default:
                return false;
        }
    });
}

// Texts in the form the predicate compares: folded, or as they are if it is cased.
bool text_matches(const PredicateTable& table, const Predicate& predicate, std::string_view text) noexcept {
    const std::string_view literal(table.texts.data() + predicate.text, predicate.text_size);
    switch (predicate.test) {
        case Test::text_anything:
            return true;
        case Test::text_exact:
            return text == literal;
        case Test::text_prefix:
            return text.starts_with(literal);
        case Test::text_suffix:
            return text.ends_with(literal);
        case Test::text_substring:
            return memmem(text.data(), text.size(), literal.data(), literal.size()) != nullptr;
        case Test::text_glob:
            return glob_matches(table.globs[predicate.pattern], text, false);
        case Test::text_regex:
            return table.regexes[predicate.pattern]->Match({text.data(), text.size()}, 0, text.size(),
                                                           RE2::UNANCHORED, nullptr, 0);
        default:
            return false;
    }
}

// For values that do not fit the arena.
bool long_text_holds(const PredicateTable& table, const Predicate& predicate,
                     const event::Value& value) noexcept {
    return any_scalar(value, [&](const event::Value& v) noexcept {
        char buffer[number_text_capacity];
        const ScalarText text = scalar_text(v, buffer);
        if (!text.exists) return false;
        if (predicate.test == Test::text_regex) return text_matches(table, predicate, text.view);
        return glob_matches(table.globs[predicate.pattern], text.view, !predicate.cased);
    });
}

bool text_holds(const PredicateTable& table, const Predicate& predicate, const event::Value& value,
                ValueCache& cache) noexcept {
    const ValueCache::Texts& texts =
        predicate.cased ? cache.plain(predicate.slot, value) : cache.folded(predicate.slot, value);
    if (!texts.complete) return long_text_holds(table, predicate, value);
    for (std::uint32_t i = 0; i < texts.count; ++i) {
        if (text_matches(table, predicate, texts.views[i])) return true;
    }
    return false;
}

}  // namespace

std::uint32_t cost(const Predicate& predicate) noexcept {
    switch (predicate.test) {
        case Test::exists:
        case Test::null:
            return 1;
        case Test::number_equal:
        case Test::lt:
        case Test::lte:
        case Test::gt:
        case Test::gte:
            return predicate.on_signal ? 1 : 2;
        case Test::text_anything:
            return 3;
        case Test::text_exact:
            return 4;
        case Test::text_prefix:
        case Test::text_suffix:
            return 5;
        case Test::text_substring:
            return 12;
        case Test::text_glob:
            return 40;
        case Test::text_regex:
            break;
    }
    return 200;
}

std::uint32_t PredicateTable::add(const Leaf& leaf, std::uint16_t slot, bool on_signal) {
    Predicate predicate;
    predicate.slot = slot;
    predicate.on_signal = on_signal;
    if (leaf.op == Operator::exists) {
        const auto* expected = std::get_if<bool>(&leaf.operand);
        if (expected == nullptr) reject(leaf, "needs true or false");
        predicate.test = Test::exists;
        predicate.expected = *expected;
    } else if (leaf.op == Operator::null) {
        predicate.test = Test::null;
    } else if (leaf.op == Operator::regex) {
        if (on_signal) reject(leaf, "a signal is a number and has no text");
        if (!leaf.regex) reject(leaf, "needs a compiled regular expression");
        predicate.test = Test::text_regex;
        predicate.cased = true;
        predicate.pattern = static_cast<std::uint32_t>(regexes.size());
        regexes.push_back(leaf.regex);
    } else {
        add_operand(*this, predicate, leaf);
    }
    predicates.push_back(predicate);
    return static_cast<std::uint32_t>(predicates.size() - 1);
}

bool holds(const Predicate& predicate, double signal) noexcept {
    if (predicate.test == Test::exists) return std::isnan(signal) != predicate.expected;
    if (predicate.test == Test::null) return std::isnan(signal);
    return orders(predicate, Number::of(signal));
}

bool holds(const PredicateTable& table, const Predicate& predicate, const event::Value& value,
           ValueCache& cache) noexcept {
    if (predicate.test == Test::exists) {
        return (value.kind != event::ValueKind::missing) == predicate.expected;
    }
    if (predicate.test == Test::null) {
        return any_scalar(value, [](const event::Value& v) noexcept {
            return v.kind == event::ValueKind::missing || v.kind == event::ValueKind::null;
        });
    }
    return predicate.test <= Test::gte ? number_holds(predicate, value, cache)
                                       : text_holds(table, predicate, value, cache);
}

ValueCache::ValueCache(std::size_t fields)
    : slots_(fields), arena_(std::make_unique_for_overwrite<std::byte[]>(arena_capacity)) {}

void ValueCache::begin_event() noexcept {
    used_ = 0;
    if (++stamp_ != 0) return;
    for (Slot& slot : slots_) slot.folded.stamp = slot.plain.stamp = slot.number_stamp = 0;
    stamp_ = 1;
}

const ValueCache::Texts& ValueCache::folded(std::uint16_t slot, const event::Value& value) noexcept {
    Stamped& entry = slots_[slot].folded;
    if (entry.stamp != stamp_) fill(entry, value, true);
    return entry.texts;
}

const ValueCache::Texts& ValueCache::plain(std::uint16_t slot, const event::Value& value) noexcept {
    Stamped& entry = slots_[slot].plain;
    if (entry.stamp != stamp_) fill(entry, value, false);
    return entry.texts;
}

const Number* ValueCache::number(std::uint16_t slot, std::string_view text) noexcept {
    Slot& entry = slots_[slot];
    if (entry.number_stamp != stamp_) {
        entry.number_stamp = stamp_;
        const std::optional<Number> number = parse_number(text);
        entry.numeric = number.has_value();
        if (number) entry.number = *number;
    }
    return entry.numeric ? &entry.number : nullptr;
}

void ValueCache::fill(Stamped& entry, const event::Value& value, bool fold) noexcept {
    entry.stamp = stamp_;
    entry.texts = Texts{};
    const std::size_t before = used_;
    std::string_view* views = &entry.single;
    if (value.kind == event::ValueKind::array) {
        constexpr std::size_t step = alignof(std::string_view);
        used_ = (used_ + step - 1) / step * step;
        views =
            reinterpret_cast<std::string_view*>(allocate(count_scalars(value) * sizeof(std::string_view)));
    }
    entry.texts.complete = views != nullptr && flatten(value, fold, views, entry.texts.count);
    entry.texts.views = views;
    if (!entry.texts.complete) used_ = before;
}

bool ValueCache::flatten(const event::Value& value, bool fold, std::string_view* views,
                         std::uint32_t& count) noexcept {
    if (value.kind == event::ValueKind::array) {
        for (std::uint32_t i = 0; i < value.size; ++i) {
            if (!flatten(value.items[i], fold, views, count)) return false;
        }
        return true;
    }
    char buffer[number_text_capacity];
    const ScalarText text = scalar_text(value, buffer);
    if (!text.exists) return true;
    std::string_view& view = views[count++];
    if (fold || value.kind != event::ValueKind::text || !is_well_formed(text.view)) {
        return store(text.view, fold, view);
    }
    view = text.view;
    return true;
}

bool ValueCache::store(std::string_view text, bool fold, std::string_view& stored) noexcept {
    char* const out = reinterpret_cast<char*>(arena_.get()) + used_;
    const std::size_t room = arena_capacity - used_;
    const auto size = fold ? fold_into(text, out, room) : repair_into(text, out, room);
    if (!size) return false;
    stored = {out, *size};
    used_ += *size;
    return true;
}

std::byte* ValueCache::allocate(std::size_t size) noexcept {
    if (used_ > arena_capacity || size > arena_capacity - used_) return nullptr;
    std::byte* const out = arena_.get() + used_;
    used_ += size;
    return out;
}

}  // namespace atlascore::rule
