// record(): what the model answered goes to the track of the query it belongs to, and the response rules see
// it.
#include <algorithm>
#include <cmath>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {
namespace {

using evidence::Component;

constexpr double low_margin = 0.2;
constexpr double sum_tolerance = 1e-3;

// 1..65,535. Numbers that are equal have equal labels, whatever their type; 0: not known.
std::uint16_t hash_label(const event::Value& value, std::uint64_t seed) noexcept {
    std::uint64_t hash = 0;
    const auto number = [&](double x) { return base::hash64(&x, sizeof x, seed); };
    switch (value.kind) {
        case event::ValueKind::text:
            hash = base::hash64(value.as_text(), seed);
            break;
        case event::ValueKind::boolean:
            hash = number(value.boolean);
            break;
        case event::ValueKind::int64:
            hash = number(static_cast<double>(value.int64));
            break;
        case event::ValueKind::uint64:
            hash = number(static_cast<double>(value.uint64));
            break;
        case event::ValueKind::real:
            if (std::isnan(value.real)) return 0;
            hash = number(value.real + 0.0);
            break;
        case event::ValueKind::array:
            if (value.size == 0) return 0;
            for (std::uint32_t i = 0; i < value.size; ++i) {
                hash = base::mix64(hash, hash_label(value.items[i], seed));
            }
            break;
        default:
            return 0;
    }
    return static_cast<std::uint16_t>(1 + hash % 65535);
}

// The answer of one row: its part of the labels and of the scores.
struct RowAnswer {
    const event::Value* label = nullptr;
    std::span<const double> scores;
};

RowAnswer row_answer(const Answer& answer, std::size_t row, std::size_t rows) noexcept {
    RowAnswer out;
    if (answer.label != nullptr) {
        const event::Value& label = *answer.label;
        const bool one_a_row = label.kind == event::ValueKind::array && label.size == rows;
        if (one_a_row || rows == 1) out.label = one_a_row ? &label.items[row] : &label;
    }
    if (rows != 0 && answer.scores.size() % rows == 0) {
        const std::size_t width = answer.scores.size() / rows;
        out.scores = answer.scores.subspan(row * width, width);
    }
    return out;
}

// Margin and, where no label was given, the index of the best score. `two` holds a single score of a binary
// classifier as two.
track::Answered read_answer(const RowAnswer& row, std::uint64_t seed, std::array<double, 2>& two) noexcept {
    track::Answered out;
    out.scores = row.scores;
    if (row.scores.size() == 1 && row.scores[0] >= 0 && row.scores[0] <= 1) {
        two = {1 - row.scores[0], row.scores[0]};
        out.scores = two;
    }
    std::size_t best = 0;
    double first = -INFINITY, second = -INFINITY, sum = 0;
    bool probabilities = true;
    for (std::size_t i = 0; i < out.scores.size(); ++i) {
        const double score = out.scores[i];
        if (std::isnan(score)) {
            out.scores = {};
            break;
        }
        sum += score;
        probabilities &= score >= 0;
        if (score > first) {
            second = first;
            first = score;
            best = i;
        } else if (score > second) {
            second = score;
        }
    }
    if (out.scores.size() >= 2 && probabilities && std::abs(sum - 1) < sum_tolerance) {
        out.has_margin = true;
        out.margin = first - second;
        out.low_margin = out.margin < low_margin;
    }
    if (out.scores.size() >= 2 && best < 0xFFFF) out.best_score = static_cast<std::uint16_t>(best + 1);
    if (row.label != nullptr) out.label = hash_label(*row.label, seed);
    if (out.label == 0 && out.scores.size() >= 2) {
        out.label = hash_label(event::Value::of_int(static_cast<std::int64_t>(best)), seed);
    }
    return out;
}

}  // namespace

// False: the track no longer remembers the query.
bool Engine::tell_history(const Binding& binding, const Decision& decision,
                          const track::TrackTable::Track& track, const Answer& answer) noexcept {
    track::HotTrack* hot = tracks_.hot(decision.hot);
    if (hot == nullptr) return false;
    const auto cluster =
        decision.history_tag == track.tag ? std::nullopt : tracks_.look(decision.history_tag, answer.now);
    if (decision.history_tag != track.tag && !cluster) return false;
    const track::TrackTable::Track& keeper = cluster ? *cluster : track;
    track::HotTrack* const own =
        binding.reads_labels || binding.reads_margins ? tracks_.hot(track.hot) : nullptr;
    bool known = false;
    for (std::uint32_t i = 0; i < decision.remembered; ++i) {
        std::array<double, 2> two;
        const RowAnswer row = row_answer(answer, sequence_row(i, decision.rows), decision.rows);
        const track::Answered answered = read_answer(row, key_seed_, two);
        const track::AnswerTests tests = hot->similarity.answer(decision.ticket + i, answered);
        known |= tests.known;
        if (tests.known && own != nullptr) tell_profile(binding, decision, *own, answered, tests.original);
        if (!binding.reads_evidence) continue;
        for (std::size_t p = 0; decision.continuous && p < tests.pair_count; ++p) {
            const track::AnswerTests::Pair& pair = tests.pairs[p];
            evidence::Observations seen;
            seen.add(Component::flip, pair.flip);
            if (pair.fine_observed) seen.add(Component::fine_flip, pair.fine_flip);
            add_evidence(binding, decision.principal_tag, keeper, *hot, seen, keeper.newest);
        }
        evidence::Observations seen;
        const track::Climb& climb = tests.climb;
        if (climb.descent.observed) seen.add(Component::climb_descent, climb.descent.hit);
        if (climb.ascent.observed) seen.add(Component::climb_ascent, climb.ascent.hit);
        add_evidence(binding, decision.principal_tag, keeper, *hot, seen, keeper.newest);
    }
    return known;
}

bool Engine::record(const Binding& binding, const Decision& decision, const Answer& answer,
                    Decision& response) noexcept {
    if (decision.failed) return false;  // there is no track to tell
    region_.add(base::Counter::records);
    auto track = tracks_.look(decision.track_tag, answer.now);
    if (!track || track->slot.generation != decision.slot.generation) {
        region_.add(base::Counter::records_dropped);
        return false;
    }
    const bool told = decision.remembered == 0 || !binding.reads_answers || answer.status >= 400 ||
                      tell_history(binding, decision, *track, answer);
    if (!told) region_.add(base::Counter::records_dropped);
    if (binding.reads_cost) tell_cost(binding, decision, *track, answer);
    if (binding.reads_principal_use) tell_principal(binding, decision, answer);
    if (!binding.route.program->reads(rule::Phase::response)) return false;
    const auto set = [&](int field, const event::Value& value) {
        if (field >= 0) answer.fields[field] = value;
    };
    set(binding.field_status, event::Value::of_int(answer.status));
    set(binding.field_http_status, event::Value::of_int(answer.status));
    if (answer.label != nullptr) set(binding.field_label, *answer.label);
    if (answer.has_text) {
        set(binding.field_answer, event::Value::of_text(answer.text));
        set(binding.field_messages, event::Value::of_text(answer.text));
    }
    if (answer.cost >= 0) set(binding.field_answer_cost, event::Value::of_real(answer.cost));
    Query query;
    query.fields = answer.fields;
    query.now = answer.now;
    response.phase = rule::Phase::response;
    response.rows = decision.rows;
    response.input = decision.input;
    response.now = answer.now;
    response.slot = decision.slot;
    response.track_tag = decision.track_tag;
    Pass pass(binding, query, response);
    if (log_) pass.started = base::monotonic_nanoseconds();
    pass.track = *track;
    pass.principal_tag = response.principal_tag = decision.principal_tag;
    if (const auto cluster = cluster_of(*track, answer.now)) {
        pass.cluster = *cluster;
        pass.clustered = true;
        pass.by_key = decision.by_key;
        pass.has_evidence = tracks_.evidence(pass.track, pass.own_evidence);
    }
    if (const track::HotTrack* hot = tracks_.hot(pass.keeper().hot)) {
        pass.history = &hot->similarity;
        pass.shapes = &hot->shapes;
    }
    if (binding.reads_evidence) pass.has_evidence |= tracks_.evidence(pass.keeper(), pass.evidence);
    read_signals(pass, rule::Phase::response);
    match_rules(pass, rule::Phase::response);
    respond(pass);
    if (response.rule_count == 0) return false;
    finish(pass);
    return true;
}

}  // namespace atlascore::engine
