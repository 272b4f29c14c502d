#include "atlascore/engine/twins.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <ranges>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using track::TwinKey;
using track::TwinTable;

namespace {

// Twins from which a track keeps its state when others want it.
constexpr double suspicious_twins = 20;

constexpr policy::ColumnSet no_columns{};

const policy::ColumnSet& sensitive_of(const policy::Model* model) noexcept {
    return model == nullptr ? no_columns : model->sensitive;
}

double value_of(const track::TwinCounts& counts, const policy::ColumnSet& sensitive, double now) noexcept {
    return counts.value(now, [&](std::uint16_t column) { return sensitive[column]; });
}

std::uint64_t hash_of_number(float value, std::size_t column, std::uint64_t seed) noexcept {
    return base::mix64(std::bit_cast<std::uint32_t>(value + 0.0f) ^ seed, column);  // -0 is 0
}

// A key in the half of a word that TwinCounts::previous has for it; never 0.
std::uint32_t short_key(const TwinKey& key) noexcept {
    return static_cast<std::uint32_t>(key.key >> 16) | 1;
}

// The keys under which a row has another value than an earlier one: two of them are told to the next row.
class Walk {
  public:
    explicit Walk(std::uint64_t before) noexcept : before_(before) {}

    void add(const TwinKey& key) noexcept {
        const std::uint32_t mine = short_key(key);
        if (mine == static_cast<std::uint32_t>(before_) || mine == before_ >> 32) {
            column_ = key.column;
            if (common_++ < 2) in_common_ = in_common_ << 32 | mine;
        } else if (others_++ < 2) {
            new_ = new_ | std::uint64_t{mine} << 32 * (others_ - 1);
        }
    }
    // Along a column other than this one.
    bool leads_past(std::uint16_t column) const noexcept {
        return common_ > 1 || (common_ == 1 && column_ != column);
    }
    // What the row tells the next one: what it has in common with the one before it, then what is new.
    std::uint64_t next() const noexcept {
        if (common_ == 0) return new_;
        return common_ == 1 ? in_common_ | new_ << 32 : in_common_;
    }

  private:
    std::uint64_t before_, in_common_ = 0, new_ = 0;
    unsigned common_ = 0, others_ = 0;
    std::uint16_t column_ = 0;
};

// Counts the twins of one row; `see` says what the value of a key is to it. False: there are none. Uses up
// the keys.
template <class See>
bool count_twins(std::span<const TwinKey> keys, std::size_t width, const policy::ColumnSet& sensitive,
                 double now, TwinScratch& scratch, track::TwinCounts& counts, const See& see) noexcept {
    const std::uint64_t before = track::shared_load(counts.previous);
    Walk walk(before);
    std::size_t twins = 0;
    for (const TwinKey& key : keys) {
        const TwinTable::Seen seen = see(key);
        if (seen == TwinTable::Seen::nothing) continue;
        walk.add(key);
        if (seen == TwinTable::Seen::twin) scratch.twins[twins++] = key;
    }
    if (walk.next() != before) track::shared_store(counts.previous, walk.next());
    for (std::size_t i = 0; i < twins; ++i) {
        const TwinKey& twin = scratch.twins[i];
        counts.add({twin.column, twin.value, sensitive[twin.column], walk.leads_past(twin.column),
                    twin_sampling(width)},
                   now);
    }
    return twins != 0;
}

}  // namespace

std::span<const TwinKey> twin_keys(const event::Input& input, std::size_t row, std::uint64_t track,
                                   std::uint64_t seed, const policy::ColumnSet& sensitive,
                                   TwinScratch& scratch) noexcept {
    const std::size_t width = input.width;
    if (input.kind != event::InputKind::row || width > twin_columns || input.values == nullptr) return {};
    const float* values = input.values + row * width;
    for (std::size_t i = 0; i < width; ++i) scratch.hashes[i] = hash_of_number(values[i], i, seed);
    const auto [first, last] = std::ranges::equal_range(input.categories, row, {}, &event::Category::row);
    for (auto category = first; category != last; ++category) {
        if (category->column >= width) continue;
        scratch.hashes[category->column] = base::mix64(category->value ^ ~seed, category->column);
    }
    std::uint64_t everything = 0;
    for (std::size_t i = 0; i < width; ++i) everything ^= scratch.hashes[i];
    const unsigned sampling = twin_sampling(width);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const std::uint64_t value = scratch.hashes[i];
        const std::uint64_t key = base::mix64(everything ^ value, track + i);
        if (sampling > 1 && !sensitive[i] && key % sampling != 0) continue;
        scratch.keys[kept++] = {key, static_cast<std::uint16_t>(value >> 48), static_cast<std::uint16_t>(i)};
    }
    return {scratch.keys.data(), kept};
}

double twin_records_of(const std::optional<track::TwinCounts>& counts, const policy::Model* model,
                       double now) noexcept {
    if (!counts) return std::numeric_limits<double>::quiet_NaN();
    return value_of(*counts, sensitive_of(model), now);
}

// `pending`: the rows of the query under way count, those of a batch in their order, without a trace in the
// shared table.
double Engine::twin_records(Pass& pass, bool pending) noexcept {
    std::optional<track::TwinCounts> counts = tracks_.twins(pass.track.hot);
    const policy::ColumnSet& sensitive = sensitive_of(pass.binding.route.model);
    const event::Input& input = pass.query.input;
    if (!counts || !pending) return twin_records_of(counts, pass.binding.route.model, pass.track.newest);
    TwinScratch& scratch = pass.thread.twins;
    track::TwinTable own(scratch.table);
    if (pass.batch) own.clear();
    const double now = pass.query.now;
    for (std::size_t i = 0; i < std::min(input.rows, sequence_rows); ++i) {
        pass.twin_keys =
            twin_keys(input, sequence_row(i, input.rows), pass.track.tag, sketch_seed_, sensitive, scratch);
        for (const TwinKey& key : pass.twin_keys) twins_.prefetch(key.key);
        const auto see = [&](const TwinKey& key) {
            const auto known = twins_.look(key.key, now);
            if (!pass.batch) return known ? TwinTable::what_is(key.value, *known) : TwinTable::Seen::nothing;
            if (known && !own.look(key.key, now)) own.copy(key.key, *known, now);
            return own.add(key, now);
        };
        count_twins(pass.twin_keys, input.width, sensitive, pass.track.newest, scratch, *counts, see);
    }
    return value_of(*counts, sensitive, pass.track.newest);
}

void Engine::commit_twins(Pass& pass) noexcept {
    const event::Input& input = pass.query.input;
    if (input.kind != event::InputKind::row) return;
    track::TwinCounts* counts = tracks_.claim_twins(pass.track.hot);
    if (counts == nullptr) return;
    const policy::ColumnSet& sensitive = sensitive_of(pass.binding.route.model);
    bool any = false;
    for (std::size_t i = 0; i < std::min(input.rows, sequence_rows); ++i) {
        auto keys = pass.twin_keys;
        if (pass.batch || keys.empty()) {
            keys = twin_keys(input, sequence_row(i, input.rows), pass.track.tag, sketch_seed_, sensitive,
                             pass.thread.twins);
        }
        any |= count_twins(keys, input.width, sensitive, pass.track.newest, pass.thread.twins, *counts,
                           [&](const TwinKey& key) { return twins_.add(key, pass.query.now); });
    }
    if (!any || tracks_.keys().kept(pass.track.slot.index) >= track::Keep::suspect) return;
    if (value_of(*counts, sensitive, pass.track.newest) >= suspicious_twins)
        tracks_.keep(pass.track, track::Keep::suspect);
}

}  // namespace atlascore::engine
