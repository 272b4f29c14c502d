#include "atlascore/scan/field_table.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace atlascore::scan {
namespace {

constexpr std::pair<std::string_view, Known> known_keys[] = {
    {"time", Known::time},
    {"now", Known::time},
    {"principal", Known::principal},
    {"api.principal", Known::principal},
    {"model", Known::model},
    {"api.model", Known::model},
    {"method", Known::method},
    {"api.method", Known::method},
    {"endpoint", Known::endpoint},
    {"api.endpoint", Known::endpoint},
    {"session", Known::session},
    {"api.session", Known::session},
    {"request_id", Known::request_id},
    {"text", Known::text},
    {"vector", Known::vector},
    {"image", Known::image},
    {"row", Known::row},
    {"digest", Known::digest},
    {"cost", Known::cost},
    {"fields", Known::fields},
    {"response", Known::response},
    {"response.label", Known::response_label},
    {"response.scores", Known::response_scores},
    {"response.text", Known::response_text},
    {"response.cost", Known::response_cost},
    {"response.status", Known::response_status},
};

}  // namespace

FieldTable::FieldTable(std::span<const std::string> fields) : fields_(fields.size()) {
    for (const auto& [path, known] : known_keys) {
        entry(path).known = known;
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
        entry(fields[i]).slot = static_cast<std::int32_t>(i);
    }
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const std::string path = entries_[i].path;
        for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
            entry(path.substr(0, dot)).inner = true;
        }
    }
    build_index();
}

FieldTable::Entry& FieldTable::entry(std::string_view path) {
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.path == path; });
    if (found != entries_.end()) {
        return *found;
    }
    return entries_.emplace_back(Entry{std::string(path)});
}

void FieldTable::build_index() {
    index_.assign(std::bit_ceil(entries_.size() * 4), Cell{0, empty});
    mask_ = index_.size() - 1;
    for (std::uint32_t i = 0; i < entries_.size(); ++i) {
        const std::uint32_t hash = hash_of(entries_[i].path);
        std::size_t at = hash & mask_;
        while (index_[at].entry != empty) {
            at = (at + 1) & mask_;
        }
        index_[at] = {hash, i};
    }
}

}  // namespace atlascore::scan
