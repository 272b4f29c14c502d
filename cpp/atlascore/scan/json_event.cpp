#include "atlascore/scan/json_event.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>
#include <utility>

#include "atlascore/scan/json_last.hpp"
#include "atlascore/scan/json_tensor.hpp"
#include "atlascore/scan/line_source.hpp"
#include "atlascore/scan/timestamp.hpp"

namespace atlascore::scan {
namespace {

using event::Value;
using event::ValueKind;
using simdjson::ondemand::json_type;

bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\r';
}

// The number behind a first key `time` or `now`, which is how most logs begin: no parser needed. Nothing when
// the line begins otherwise.
std::optional<double> leading_time(std::string_view line) noexcept {
    const auto skip_space = [&line] {
        while (!line.empty() && is_space(line[0])) {
            line.remove_prefix(1);
        }
    };
    const auto take = [&](std::string_view token) {
        skip_space();
        const bool found = line.starts_with(token);
        line.remove_prefix(found ? token.size() : 0);
        return found;
    };
    if (!take("{") || (!take("\"time\"") && !take("\"now\"")) || !take(":")) {
        return std::nullopt;
    }
    skip_space();
    double value = 0;
    if (line.empty() || line[0] < '1' || line[0] > '9') {
        return std::nullopt;
    }
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    return error == std::errc() && end[-1] != '.' && (take(",") || take("}")) ? std::optional(value)
                                                                              : std::nullopt;
}

std::optional<double> real_of(const Value& value) noexcept {
    switch (value.kind) {
        case ValueKind::int64:
            return static_cast<double>(value.int64);
        case ValueKind::uint64:
            return static_cast<double>(value.uint64);
        case ValueKind::real:
            return value.real;
        default:
            return std::nullopt;
    }
}

// Of the cells from `first` on that have one name, the last.
void keep_last_cells(std::vector<Cell>& cells, std::size_t first) {
    std::vector<std::size_t> order(cells.size() - first);
    std::iota(order.begin(), order.end(), first);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return cells[a].name < cells[b].name; });
    std::vector<bool> repeated(order.size());
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
        repeated[order[i] - first] = cells[order[i]].name == cells[order[i + 1]].name;
    }
    std::size_t kept = first;
    for (std::size_t i = first; i < cells.size(); ++i) {
        if (!repeated[i - first]) cells[kept++] = cells[i];
    }
    cells.resize(kept);
}

}  // namespace

// Sixteen bytes from the key on can be read: LineSource::padding lies behind every line.
JsonEventParser::Guess::Guess(const char* raw, std::size_t bytes, const FieldTable::Entry* of,
                              const FieldTable::Entry* found) noexcept
    : parent(of), entry(found) {
    std::memcpy(words.data(), raw, size);
    std::array<char, size> bits{};
    std::fill_n(bits.begin(), bytes, '\xFF');
    std::memcpy(mask.data(), bits.data(), size);
}

bool JsonEventParser::Guess::is(const char* raw) const noexcept {
    std::array<std::uint64_t, 2> other;
    std::memcpy(other.data(), raw, size);
    return (((other[0] ^ words[0]) & mask[0]) | ((other[1] ^ words[1]) & mask[1])) == 0;
}

JsonEventParser::JsonEventParser(const FieldTable& table)
    : table_(table), slots_(table.fields()), guesses_(max_guesses), seen_(table.entries()) {}

std::optional<double> JsonEventParser::time(std::string_view line) {
    if (const auto leading = leading_time(line)) {
        return leading;
    }
    const auto found = first_time(line);
    return found || !drop_repeated() ? found : first_time(unrepeated_);
}

std::optional<double> JsonEventParser::first_time(std::string_view line) {
    JsonScalars::Document document;
    Object object;
    if (!scalars_.open(line, document, object)) {
        return std::nullopt;
    }
    for (auto result : object) {
        if (const auto error = result.error()) {
            scalars_.fail(error);
            return std::nullopt;
        }
        JsonField&& field = std::move(result).value_unsafe();
        std::string_view name;
        if (!scalars_.key(field, name)) {
            return std::nullopt;
        }
        if (name != "time" && name != "now") {
            continue;
        }
        std::optional<double> found;
        if (!read_time(field.value(), found) || found) {
            return found;
        }
    }
    scalars_.fail({}, "time missing");
    return std::nullopt;
}

bool JsonEventParser::drop_repeated() {
    const auto key = [this](const char* from, std::string_view& to) { return scalars_.key(from, to); };
    if (!keep_last(scalars_.text(), key, unrepeated_)) {
        return false;
    }
    unrepeated_.reserve(unrepeated_.size() + LineSource::padding);
    return true;
}

bool JsonEventParser::parse(std::string_view line, ScanEvent& event) {
    is_repeated_ = false;
    if (parse_line(line, event)) {
        return true;
    }
    if (!is_repeated_ || !drop_repeated()) {
        return false;
    }
    repeated_time_ = first_time(unrepeated_);
    return parse_line(unrepeated_, event);
}

bool JsonEventParser::parse_line(std::string_view line, ScanEvent& event) {
    begin(event);
    JsonScalars::Document document;
    Object object;
    if (!scalars_.open(line, document, object) || !read_object(object, nullptr, Place{})) {
        return false;
    }
    if (!document.current_location().error()) {
        return scalars_.fail({}, "more than one JSON value in the line");
    }
    event.fields = slots_.finish();
    if (event.response.label.kind == ValueKind::array) {
        event.response.label.items = labels_.data();
    }
    return true;
}

void JsonEventParser::begin(ScanEvent& event) {
    event_ = &event;
    slots_.begin();
    keys_ = 0;
    labels_.clear();
    arrays_ = 0;
    event.principal = event.model = event.method = event.endpoint = event.session = event.request_id = {};
    event.has_text = event.has_digest = false;
    event.text = event.digest = {};
    event.texts.clear();
    event.vector.rank = event.image.rank = 0;
    event.row.clear();
    event.rows = 0;
    event.cost = 0;
    event.response.present = event.response.has_text = false;
    event.response.label = {};
    event.response.scores.rank = 0;
    event.response.text = {};
    event.response.cost = -1;
    event.response.status = 200;
}

// The entry of a key; null when nothing of it is read. False when the key is bad.
inline bool JsonEventParser::find(JsonField& field, const FieldTable::Entry* parent,
                                  const FieldTable::Entry*& entry) {
    Guess& guess = guesses_[std::min(keys_++, max_guesses - 1)];
    if (guess.parent == parent && guess.is(field.key().raw())) [[likely]] {
        entry = guess.entry;
        return true;
    }
    return look_up(field, parent, entry, guess);
}

// The keys continue the path of `parent`; null for the line itself.
bool JsonEventParser::read_object(Object& object, const FieldTable::Entry* parent, Place place) {
    ++place.slot.segments;
    const std::uint64_t number = ++objects_;
    for (auto result : object) {
        if (const auto error = result.error()) {
            return scalars_.fail(error);
        }
        JsonField&& field = std::move(result).value_unsafe();
        const FieldTable::Entry* entry;
        if (!find(field, parent, entry)) {
            return false;
        }
        if (entry == nullptr) {
            continue;
        }
        if (std::exchange(seen_[table_.number_of(*entry)], number) == number) {
            is_repeated_ = true;
            return scalars_.fail(entry->path, "the key is repeated");
        }
        const bool known = entry->known != Known::none && place.known && place.slot.array == 0;
        if (!(known ? read_known(field.value(), *entry, place) : read_value(field.value(), *entry, place))) {
            return false;
        }
    }
    return true;
}

bool JsonEventParser::look_up(JsonField& field, const FieldTable::Entry* parent,
                              const FieldTable::Entry*& entry, Guess& guess) {
    const char* raw = field.key().raw();
    std::string_view name;
    if (!scalars_.key(field, name)) {
        return false;
    }
    if (parent == nullptr) {
        entry = table_.find(name);
    } else {
        path_ = parent->path;
        path_ += '.';
        path_ += name;
        entry = table_.find(path_);
    }
    if (name.data() == raw && name.size() < Guess::size) {
        guess = Guess(raw, name.size() + 1, parent, entry);
    }
    return true;
}

// The value of an event field, or of an object or array that has fields in it.
bool JsonEventParser::read_value(JsonValue& value, const FieldTable::Entry& entry, Place place) {
    json_type type;
    if (const auto error = value.type().get(type)) {
        return scalars_.fail(error);
    }
    if (type == json_type::object || type == json_type::array) {
        if (++place.depth > max_depth) {
            return scalars_.fail({}, "nested deeper than 64");
        }
        if (type == json_type::array) {
            Array array;
            const auto error = value.get_array().get(array);
            return error ? scalars_.fail(error) : read_array(array, entry, place);
        }
        if (!entry.inner) {
            return true;
        }
        Object object;
        if (const auto error = value.get_object().get(object)) {
            return scalars_.fail(error);
        }
        return read_object(object, &entry, place);
    }
    if (entry.slot < 0) {
        return true;
    }
    Value read;
    if (!scalars_.scalar(value, type, read)) {
        return false;
    }
    slots_.store(entry.slot, place.slot, read);
    return true;
}

bool JsonEventParser::read_array(Array& array, const FieldTable::Entry& entry, Place place) {
    if (place.slot.array == 0) {
        place.slot.array = ++arrays_;
    }
    if (entry.slot >= 0) {
        slots_.begin_array(entry.slot, place.slot);
    }
    for (auto result : array) {
        if (const auto error = result.error()) {
            return scalars_.fail(error);
        }
        JsonValue&& element = std::move(result).value_unsafe();
        if (!read_value(element, entry, place)) {
            return false;
        }
    }
    return true;
}

bool JsonEventParser::read_known(JsonValue& value, const FieldTable::Entry& entry, Place place) {
    Response& response = event_->response;
    if (entry.known >= Known::response_label) {
        response.present = true;
    }
    switch (entry.known) {
        case Known::time:
            return read_value(value, entry, place);
        case Known::principal:
            return read_text(value, entry, place, event_->principal);
        case Known::model:
            return read_text(value, entry, place, event_->model);
        case Known::method:
            return read_text(value, entry, place, event_->method);
        case Known::endpoint:
            return read_text(value, entry, place, event_->endpoint);
        case Known::session:
            return read_text(value, entry, place, event_->session);
        case Known::request_id:
            return read_text(value, entry, place, event_->request_id);
        case Known::text:
            return read_input_text(value, entry);
        case Known::vector:
            return read_tensor(value, entry, event_->vector);
        case Known::image:
            return read_tensor(value, entry, event_->image);
        case Known::row:
            return read_row(value, entry);
        case Known::digest:
            return read_content(value, entry, event_->has_digest, event_->digest);
        case Known::cost:
            return read_cost(value, entry, place, event_->cost);
        case Known::response_label:
            return read_label(value, entry);
        case Known::response_scores:
            return read_tensor(value, entry, response.scores);
        case Known::response_text:
            return read_content(value, entry, response.has_text, response.text);
        case Known::response_cost:
            return read_cost(value, entry, place, response.cost);
        case Known::response_status:
            return read_status(value, entry, place);
        case Known::response:
            return read_part(value, entry, &entry, place);
        case Known::fields:
            return read_part(value, entry, nullptr, Place{place.depth, {}, false});
        case Known::none:
            break;
    }
    return true;
}

// An object that belongs to the line itself. Its keys continue the path of `parent`, if there is one.
bool JsonEventParser::read_part(JsonValue& value, const FieldTable::Entry& entry,
                                const FieldTable::Entry* parent, Place place) {
    json_type type;
    if (const auto error = value.type().get(type)) {
        return scalars_.fail(error);
    }
    if (type == json_type::null) {
        return true;
    }
    Object object;
    if (type != json_type::object || value.get_object().get(object)) {
        return scalars_.fail(entry.path, "expected an object");
    }
    event_->response.present |= entry.known == Known::response;
    ++place.depth;
    return read_object(object, parent, place);
}

// A name: a text, or a number in the digits that the line gives it.
bool JsonEventParser::read_text(JsonValue& value, const FieldTable::Entry& entry, Place place,
                                std::string_view& to) {
    json_type type;
    if (value.type().get(type) || type == json_type::object || type == json_type::array) {
        return scalars_.fail(entry.path, "expected a text");
    }
    Value read;
    if (type == json_type::string) {
        if (!scalars_.string(value, to)) {
            return false;
        }
        read = Value::of_text(to);
    } else {
        std::string_view token;
        if (JsonScalars::token(value, token) || !scalars_.scalar(value, type, read)) {
            return scalars_.fail(entry.path, "expected a text");
        }
        to = read.kind == ValueKind::null ? to : token;
    }
    if (entry.slot >= 0) {
        slots_.store(entry.slot, place.slot, read);
    }
    return true;
}

// A text, or a batch of them.
bool JsonEventParser::read_input_text(JsonValue& value, const FieldTable::Entry& entry) {
    event_->texts.clear();  // of an earlier key of that name
    json_type type;
    if (value.type().get(type) || type != json_type::array) {
        return read_content(value, entry, event_->has_text, event_->text);
    }
    Array array;
    if (const auto error = value.get_array().get(array)) {
        return scalars_.fail(error);
    }
    event_->joined.clear();
    for (auto result : array) {
        JsonValue element;
        std::string_view text;
        bool is_text = false;
        if (const auto error = std::move(result).get(element)) {
            return scalars_.fail(error);
        }
        if (!read_content(element, entry, is_text, text)) {
            return false;
        }
        if (!is_text) {
            return scalars_.fail(entry.path, "expected a text");
        }
        if (!event_->texts.empty()) {
            event_->joined += '\n';
        }
        event_->joined += text;
        event_->texts.push_back(text);
    }
    event_->has_text = true;
    event_->text = event_->joined;
    return !event_->texts.empty() || scalars_.fail(entry.path, "the array is empty");
}

bool JsonEventParser::read_content(JsonValue& value, const FieldTable::Entry& entry, bool& has,
                                   std::string_view& to) {
    Value read;
    if (!scalars_.plain(value, read) || (read.kind != ValueKind::text && read.kind != ValueKind::null)) {
        return scalars_.fail(entry.path, "expected a text");
    }
    has = read.kind == ValueKind::text;
    to = has ? read.as_text() : std::string_view();
    return true;
}

bool JsonEventParser::read_cost(JsonValue& value, const FieldTable::Entry& entry, Place place, double& to) {
    Value read;
    if (!scalars_.plain(value, read)) {
        return scalars_.fail(entry.path, "expected a number");
    }
    if (entry.slot >= 0) {
        slots_.store(entry.slot, place.slot, read);
    }
    if (read.kind == ValueKind::null) {
        return true;
    }
    const auto number = real_of(read);
    to = number.value_or(to);
    return number ? true : scalars_.fail(entry.path, "expected a number");
}

bool JsonEventParser::read_status(JsonValue& value, const FieldTable::Entry& entry, Place place) {
    Value read;
    if (!scalars_.plain(value, read) || (read.kind != ValueKind::int64 && read.kind != ValueKind::null)) {
        return scalars_.fail(entry.path, "expected an integer");
    }
    if (entry.slot >= 0) {
        slots_.store(entry.slot, place.slot, read);
    }
    if (read.kind == ValueKind::int64) {
        if (read.int64 != static_cast<std::int32_t>(read.int64)) {
            return scalars_.fail(entry.path, "expected an integer of 32 bits");
        }
        event_->response.status = read.int64;
    }
    return true;
}

bool JsonEventParser::read_label(JsonValue& value, const FieldTable::Entry& entry) {
    Value& label = event_->response.label;
    if (scalars_.plain(value, label)) {
        label = label.kind == ValueKind::null ? Value{} : label;
        return true;
    }
    Array array;
    if (value.get_array().get(array)) {
        return scalars_.fail(entry.path, "expected a label or an array of labels");
    }
    labels_.clear();
    for (auto result : array) {
        JsonValue element;
        if (std::move(result).get(element) || !scalars_.plain(element, labels_.emplace_back())) {
            return scalars_.fail(entry.path, "expected a label or an array of labels");
        }
    }
    label = Value{};
    label.kind = ValueKind::array;
    label.size = static_cast<std::uint32_t>(labels_.size());
    return true;
}

// `to` stays empty when the value is null, so that the next of `time` and `now` counts.
bool JsonEventParser::read_time(JsonValue& value, std::optional<double>& to) {
    Value read;
    if (!scalars_.plain(value, read)) {
        return scalars_.fail("time", "expected seconds since 1970 or an RFC 3339 text");
    }
    if (read.kind == ValueKind::null) {
        return true;
    }
    to = read.kind == ValueKind::text ? parse_timestamp(read.as_text()) : real_of(read);
    return to ? true : scalars_.fail("time", "expected seconds since 1970 or an RFC 3339 text");
}

template <class Number>
bool JsonEventParser::read_tensor(JsonValue& value, const FieldTable::Entry& entry, Tensor<Number>& to) {
    json_type type;
    if (const auto error = value.type().get(type)) {
        return scalars_.fail(error);
    }
    to.rank = 0;
    if (type == json_type::null) {
        return true;
    }
    Array array;
    if (type != json_type::array || value.get_array().get(array)) {
        return scalars_.fail(entry.path, "expected an array of numbers");
    }
    const char* wrong = scan::read_tensor(array, to);
    return wrong == nullptr || scalars_.fail(entry.path, wrong);
}

// {name: value}, [value], or an array of either.
bool JsonEventParser::read_row(JsonValue& value, const FieldTable::Entry& entry) {
    json_type type;
    if (const auto error = value.type().get(type)) {
        return scalars_.fail(error);
    }
    event_->row.clear();
    event_->rows = 0;
    if (type == json_type::null) {
        return true;
    }
    if (type == json_type::object) {
        return read_named_cells(value, entry);
    }
    Array array;
    if (type != json_type::array || value.get_array().get(array)) {
        return scalars_.fail(entry.path, "expected an object or an array");
    }
    bool flat = false;
    for (auto result : array) {
        if (const auto error = result.type().get(type)) {
            return scalars_.fail(error);
        }
        JsonValue&& element = std::move(result).value_unsafe();
        const bool nested = type == json_type::array || type == json_type::object;
        if (nested && flat) {
            return scalars_.fail(entry.path, "expected numbers and texts, not a value inside a row");
        }
        if (!nested) {
            flat = true;
            event_->rows = 1;
            if (!read_cell(element, entry, 0, {})) {
                return false;
            }
        } else if (!(type == json_type::object ? read_named_cells(element, entry)
                                               : read_cells(element, entry))) {
            return false;
        }
    }
    return true;
}

bool JsonEventParser::read_cells(JsonValue& value, const FieldTable::Entry& entry) {
    const std::uint32_t row = event_->rows++;
    Array array;
    if (const auto error = value.get_array().get(array)) {
        return scalars_.fail(error);
    }
    for (auto result : array) {
        if (const auto error = result.error()) {
            return scalars_.fail(error);
        }
        JsonValue&& element = std::move(result).value_unsafe();
        if (!read_cell(element, entry, row, {})) {
            return false;
        }
    }
    return true;
}

bool JsonEventParser::read_named_cells(JsonValue& value, const FieldTable::Entry& entry) {
    const std::uint32_t row = event_->rows++;
    const std::size_t first = event_->row.size();
    std::array<std::uint64_t, 4> names{};  // a bit for the hash of each name so far
    bool may_repeat = false;
    Object object;
    if (const auto error = value.get_object().get(object)) {
        return scalars_.fail(error);
    }
    for (auto result : object) {
        if (const auto error = result.error()) {
            return scalars_.fail(error);
        }
        JsonField&& field = std::move(result).value_unsafe();
        std::string_view name;
        if (!scalars_.key(field, name)) {
            return false;
        }
        const std::size_t hash = std::hash<std::string_view>()(name);
        std::uint64_t& bits = names[hash & 3];
        const std::uint64_t bit = std::uint64_t{1} << (hash >> 2 & 63);
        may_repeat |= (bits & bit) != 0;
        bits |= bit;
        if (!read_cell(field.value(), entry, row, name)) {
            return false;
        }
    }
    if (may_repeat) {
        keep_last_cells(event_->row, first);
    }
    return true;
}

bool JsonEventParser::read_cell(JsonValue& value, const FieldTable::Entry& entry, std::uint32_t row,
                                std::string_view name) {
    Cell& cell = event_->row.emplace_back(Cell{row, name, {}});
    return scalars_.plain(value, cell.value)
               ? true
               : scalars_.fail(entry.path, "expected numbers and texts, not a value inside a row");
}

}  // namespace atlascore::scan
