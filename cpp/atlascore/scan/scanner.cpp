#include "atlascore/scan/scanner.hpp"

#include <algorithm>
#include <limits>

#include "atlascore/base/hash.hpp"
#include "atlascore/event/category.hpp"

namespace atlascore::scan {
namespace {

static_assert(engine::key_limit == 16);  // which a message below says

std::string_view reason(engine::Fault fault) noexcept {
    switch (fault) {
        case engine::Fault::time:
            return "time must be seconds since 1970, 0 to 4294967295";
        case engine::Fault::cost:
            return "cost must be at least 0 and finite";
        case engine::Fault::values:
            return "the input has values that are NaN or infinite";
        case engine::Fault::width:
            return "the input has too many columns";
        case engine::Fault::keys:
            return "cluster_keys must be a text or a list of at most 16 texts";
        case engine::Fault::none:
            break;
    }
    return "";
}

}  // namespace

Scanner::BoundRoute::BoundRoute(engine::Engine& engine, std::string model, std::string method,
                                std::string endpoint)
    : route(engine, std::move(model), std::move(method), std::move(endpoint)) {
    const policy::RoutePolicy& bound = route.current()->route;
    for (const std::string& name : bound.program->fields())
        slots.push_back(bound.policy->spec().program->field(name));
}

bool Scanner::BoundRoute::is_of(const ScanEvent& event) const noexcept {
    return route.model() == event.model && route.method() == event.method &&
           route.endpoint() == event.endpoint;
}

Scanner::Scanner(engine::Engine& engine, const std::vector<std::string>& files, BadLine bad_line)
    : engine_(engine), policy_(engine.policy()), bad_line_(std::move(bad_line)) {
    const auto wanted = policy_->spec().program->fields();
    for (const std::string& file : files) {
        auto report = [this, file](std::uint64_t line, std::string_view why) { bad_line_(file, line, why); };
        sources_.push_back({file, std::make_unique<JsonLinesReader>(file, wanted, report)});
    }
}

const Scanner::Result* Scanner::next() {
    while (Source* source = earliest()) {
        const ScanEvent* event = source->reader->next();
        if (event != nullptr && decide(*source, *event)) return &result_;
    }
    ended_ = true;
    return nullptr;
}

const Scanner::Result* Scanner::next_finding(std::uint64_t events) {
    for (; events != 0; --events) {
        const Result* result = next();
        if (result == nullptr || result->finding()) return result;
    }
    return nullptr;
}

Scanner::Source* Scanner::earliest() {
    Source* first = nullptr;
    double time = std::numeric_limits<double>::infinity();
    for (Source& source : sources_) {
        const auto own = source.reader->next_time();
        if (!own || (first != nullptr && *own >= time)) continue;
        time = *own;
        first = &source;
    }
    return first;
}

// Most logs keep to one route for long, so the route of the event before is tried first.
std::size_t Scanner::route_of(const ScanEvent& event) {
    if (result_.route < routes_.size() && routes_[result_.route].is_of(event)) return result_.route;
    key_.assign(event.model);
    key_ += '\0';
    key_ += event.method;
    key_ += '\0';
    key_ += event.endpoint;
    const auto found = route_numbers_.find(key_);
    if (found != route_numbers_.end()) return found->second;
    routes_.emplace_back(engine_, std::string(event.model), std::string(event.method),
                         std::string(event.endpoint));
    return route_numbers_[key_] = routes_.size() - 1;
}

bool Scanner::decide(Source& source, const ScanEvent& event) {
    const auto refuse = [&](std::string_view why) {
        ++source.undecided;
        bad_line_(source.file, event.line, why);
        return false;
    };
    result_.route = route_of(event);
    BoundRoute& bound = routes_[result_.route];
    const auto& binding = bound.route.current();
    if (result_.binding != binding) result_.binding = binding;  // a copy counts references atomically
    engine::Query query;
    std::string why;
    if (!input_of(event, result_.binding->route.model, query.input, why)) return refuse(why);
    fields_.assign(bound.slots.size(), event::Value{});
    const auto fill = [&] {
        for (std::size_t i = 0; i < bound.slots.size(); ++i) {
            fields_[i] = event.fields[static_cast<std::size_t>(bound.slots[i])];
        }
    };
    fill();
    query.principal = event.principal;
    query.session = event.session;
    query.request_id = event.request_id;
    query.fields = fields_.data();
    query.cost = event.cost;
    query.now = event.time;
    result_.file = &source.file;
    result_.event = &event;
    result_.decision = {};
    if (const auto fault = engine_.decide(*result_.binding, query, result_.decision);
        fault != engine::Fault::none) {
        return refuse(reason(fault));
    }
    result_.has_answer = false;
    if (event.response.present) {
        fill();
        engine::Answer answer;
        answer.label =
            event.response.label.kind == event::ValueKind::missing ? nullptr : &event.response.label;
        if (event.response.scores.rank != 0) answer.scores = event.response.scores.values;
        answer.text = event.response.text;
        answer.has_text = event.response.has_text;
        answer.cost = event.response.cost;
        answer.status = static_cast<int>(event.response.status);
        answer.now = event.time;
        answer.fields = fields_.data();
        result_.answer = {};
        result_.has_answer = engine_.record(*result_.binding, result_.decision, answer, result_.answer);
    }
    return true;
}

bool Scanner::input_of(const ScanEvent& event, const policy::Model* model, event::Input& input,
                       std::string& why) {
    const int inputs = int{event.has_text} + (event.vector.rank != 0) + (event.image.rank != 0) +
                       (event.rows != 0) + int{event.has_digest};
    if (inputs > 1) {
        why = "a query has one input: give only one of text, vector, row, image and digest";
        return false;
    }
    if (event.has_text) {
        input.kind = event::InputKind::text;
        input.text = event.text;
        input.texts = event.texts;
        if (!event.texts.empty()) input.rows = event.texts.size();
    } else if (event.vector.rank != 0) {
        if (event.vector.rank > 2) {
            why = "vector must be a list of numbers, or a list of such lists";
            return false;
        }
        input.kind = event::InputKind::vector;
        input.values = event.vector.values.data();
        input.rows = event.vector.rank == 2 ? event.vector.shape[0] : 1;
        input.width = event.vector.shape[event.vector.rank - 1];
    } else if (event.image.rank != 0) {
        const auto& shape = event.image.shape;
        if (event.image.rank == 1) {
            why = "image must have 2 or 3 dimensions, a batch of images 4";
            return false;
        }
        const std::size_t first = event.image.rank == 4 ? 1 : 0;
        input.kind = event::InputKind::image;
        input.values = event.image.values.data();
        input.rows = event.image.rank == 4 ? shape[0] : 1;
        input.height = static_cast<std::uint32_t>(shape[first]);
        input.columns = static_cast<std::uint32_t>(shape[first + 1]);
        input.channels = event.image.rank >= 3 ? static_cast<std::uint32_t>(shape[first + 2]) : 1;
        input.width = std::size_t{input.height} * input.columns * input.channels;
    } else if (event.rows != 0) {
        return row_of(event, model, input, why);
    } else if (event.has_digest) {
        input.kind = event::InputKind::digest;
        input.digest = base::digest128(event.digest.data(), event.digest.size(), 0);
    }
    const bool empty = input.values != nullptr && (input.rows == 0 || input.width == 0);
    if (empty) why = "the input array is empty; leave it out when the query has no input";
    return !empty;
}

// Cells in the order of the policy's features; without such, by name, or as they stand in a list.
bool Scanner::row_of(const ScanEvent& event, const policy::Model* model, event::Input& input,
                     std::string& why) {
    numbers_.clear();
    categories_.clear();
    const bool declared = model != nullptr && !model->features.empty();
    std::size_t width = 0;
    auto begin = event.row.begin();
    for (std::uint32_t row = 0; row < event.rows; ++row) {
        const auto end =
            std::find_if(begin, event.row.end(), [&](const Cell& cell) { return cell.row != row; });
        std::vector<Cell> cells(begin, end);
        begin = end;
        const bool named = !cells.empty() && !cells.front().name.empty();
        if (named && declared) {
            std::vector<Cell> ordered;
            for (const policy::Feature& feature : model->features) {
                const auto cell = std::ranges::find(cells, feature.name, &Cell::name);
                ordered.push_back(cell == cells.end() ? Cell{row, feature.name, {}} : *cell);
            }
            cells = std::move(ordered);
        } else if (named) {
            std::ranges::sort(cells, {}, &Cell::name);
        }
        if (row == 0) width = cells.size();
        if (cells.empty() || cells.size() != width || (declared && width != model->features.size())) {
            why = declared ? "a row must have the " + std::to_string(model->features.size()) +
                                 " features of the policy"
                           : "the rows of a batch must have equally many columns, at least one";
            return false;
        }
        for (std::uint32_t i = 0; i < width; ++i)
            add_cell(cells[i], declared && model->features[i].categorical, row, i);
    }
    input.kind = event::InputKind::row;
    input.values = numbers_.data();
    input.rows = event.rows;
    input.width = width;
    input.categories = categories_;
    return true;
}

void Scanner::add_cell(const Cell& cell, bool categorical, std::uint32_t row, std::uint32_t column) {
    if (!categorical && event::is_number(cell.value)) {
        numbers_.push_back(static_cast<float>(event::number_of(cell.value)));
        return;
    }
    numbers_.push_back(0.0f);
    categories_.push_back({row, column, event::category_hash(cell.value)});
}

Scanner::Counts Scanner::counts() const noexcept {
    Counts sum;
    for (const Source& source : sources_) {
        const auto& own = source.reader->counts();
        sum.lines += own.lines;
        sum.events += own.events - source.undecided;
        sum.bad += own.bad + source.undecided;
        sum.late += own.late;
    }
    return sum;
}

std::vector<std::string> Scanner::unreadable() const {
    std::vector<std::string> files;
    for (const Source& source : sources_) {
        const auto& own = source.reader->counts();
        if (own.bad + source.undecided != 0 && own.events == source.undecided) files.push_back(source.file);
    }
    return files;
}

}  // namespace atlascore::scan
