// The hot path. Engine::decide reads as the architecture does; each stage is one function below it.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/engine/input.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {

using track::Keep;
using track::Observation;
using track::TrackTable;

namespace {

// Below this width people change one column of a row after the other.
constexpr std::size_t form_width = 32;
// Share of values off the grid from which an input was made up.
constexpr float telling_share = 0.1f;
// evidence.total from which a track is kept for what speaks against it.
constexpr double suspicion = 1.0;

// Small steps mean something: not between texts, where prompts made from one template differ by a word that
// changes everything, nor between records with categories, which lie on a coarse lattice.
bool is_continuous(const event::Input& input) noexcept {
    return input.kind != event::InputKind::text && input.categories.empty();
}

track::Wanted wanted_of(const Binding& binding, const event::Input& input) noexcept {
    track::Wanted wanted = binding.wanted;
    if (input.kind == event::InputKind::row && input.width < form_width) wanted.sparse = false;
    if (input.kind == event::InputKind::row) wanted.turns = false;
    if (!is_continuous(input))
        wanted.lines = wanted.sparse = wanted.radial = wanted.turns = wanted.groups = false;
    return wanted;
}

// What one query's place among the earlier ones says. Labels speak later, in record().
evidence::Observations observations_of(const Observation& o, const track::ShapeStep& step) noexcept {
    using evidence::Component;
    evidence::Observations seen;
    if (o.halving_observed && !(o.halving && o.explained)) seen.add(Component::halving, o.halving);
    if (o.between_observed && !(o.between && o.explained)) seen.add(Component::collinear_flip, o.between);
    if (o.sparse_observed) seen.add(Component::new_coordinate, o.new_coordinate);
    if (o.radial_observed) seen.add(Component::radial, o.radial);
    if (o.placed) seen.add(Component::far, o.far);
    if (step.wide_known) seen.add(Component::coverage, step.wide);
    if (o.on_grid_model && !std::isnan(o.off_grid)) seen.add(Component::off_grid, o.off_grid > telling_share);
    return seen;
}

// Another thread may be writing: what it tears fails the check of its slot. Words are copied whole.
template <class State>
void copy_words(State& shared, State& mine) noexcept {
    static_assert(std::is_trivially_copyable_v<State> && alignof(State) >= 8);
#if defined(__SANITIZE_THREAD__)
    auto* from = reinterpret_cast<std::uint64_t*>(&shared);
    auto* to = reinterpret_cast<std::uint64_t*>(&mine);
    for (std::size_t i = 0; i < sizeof mine / sizeof *to; ++i) {
        to[i] = std::atomic_ref(from[i]).load(std::memory_order_relaxed);
    }
#else
    std::memcpy(&mine, &shared, sizeof mine);
#endif
}

std::uint64_t track_tag(std::uint64_t principal_tag, const Binding& binding) noexcept {
    return track::KeyTable::tag_of(base::mix64(principal_tag, binding.model_tag));
}

}  // namespace

std::uint64_t Engine::expect(const Binding& binding, std::string_view principal) const noexcept {
    const std::uint64_t tag = base::hash64(principal, key_seed_);
    tracks_.prefetch(track_tag(tag, binding));
    return tag;
}

Fault Engine::decide(const Binding& binding, const Query& query, Decision& decision) noexcept {
    if (!(query.now >= 0 && query.now <= track::latest_time)) return Fault::time;
    if (!(query.cost >= 0 && query.cost <= 1e300)) return Fault::cost;
    Keys keys;
    if (binding.field_cluster_keys >= 0 &&
        !read_keys(binding, query.fields[binding.field_cluster_keys], keys))
        return Fault::keys;
    Pass pass(binding, query, decision);
    if (log_) pass.started = base::monotonic_nanoseconds();
    decision.rows = static_cast<std::uint32_t>(std::min<std::size_t>(query.input.rows, 0xFFFFFFFF));
    decision.now = query.now;
    decision.input = query.input.kind;
    decision.continuous = is_continuous(query.input);

    pass.principal_tag =
        query.principal_tag != 0 ? query.principal_tag : base::hash64(query.principal, key_seed_);
    pass.track = tracks_.open(track_tag(pass.principal_tag, binding), query.now, query.principal_tag != 0);
    // Who has a slab has in it where the principal's record is.
    if (binding.reads_principal_use && !pass.track.hot) principals_.prefetch(pass.principal_tag);
    decision.track_tag = pass.track.tag;
    decision.principal_tag = pass.principal_tag;
    decision.slot = pass.track.slot;
    if (keys.count != 0) show_keys(pass, {keys.hashes.data(), keys.count});
    if (binding.reads_neighbours || pass.by_key) open_cluster(pass);
    decision.history_tag = pass.keeper().tag;
    if (binding.reads_evidence) pass.has_evidence = tracks_.evidence(pass.keeper(), pass.evidence);
    if (pass.clustered) pass.has_evidence |= tracks_.evidence(pass.track, pass.own_evidence);
    if (!binding.route.allow.empty()) check_allowed(pass);
    if (check_standing(pass) && check_limits(pass)) {
        if (const Fault fault = read_input(pass); fault != Fault::none) {
            take_back_limits(pass);
            return fault;
        }
        if (pass.binding.reads_parameters)
            pass.parameters = read_parameters(pass.binding, query.fields, sketch_seed_);
        if (pass.binding.reads_templates || pass.binding.reads_probes) read_prompts(pass);
        read_signals(pass, rule::Phase::request);
        match_rules(pass, rule::Phase::request);
        respond(pass);
        apply_rate(pass);
        commit(pass);
    }
    finish(pass);
    return Fault::none;
}

// Whether an allow entry of this route is about the caller, now.
bool Engine::allows(const Pass& pass, const policy::AllowEntry& entry) const noexcept {
    return pass.query.now < entry.expires && policy::any_match(entry.principals, pass.query.principal);
}

void Engine::check_allowed(Pass& pass) const noexcept {
    for (const std::uint16_t index : pass.binding.route.allow) {
        const policy::AllowEntry& entry = pass.policy.allow[index];
        if (!allows(pass, entry)) continue;
        pass.allowed = true;
        pass.allowed_limits |= entry.limits;
    }
}

// The first allow entry that exempts the caller from a rule; null when none does.
const policy::AllowEntry* Engine::exemption(const Pass& pass, std::uint16_t rule) const noexcept {
    if (!pass.allowed) return nullptr;
    for (const std::uint16_t index : pass.binding.route.allow) {
        const policy::AllowEntry& entry = pass.policy.allow[index];
        const bool named = std::find(entry.rules.begin(), entry.rules.end(), rule) != entry.rules.end();
        if (named && allows(pass, entry)) return &entry;
    }
    return nullptr;
}

// A decision that is over is no reason to keep the track before all others; the evidence may be one still.
void Engine::end_standing(const Pass& pass) noexcept {
    if (tracks_.keys().kept(pass.track.slot.index) != Keep::standing) return;
    std::array<std::uint64_t, track::evidence_words> words{};
    tracks_.evidence(pass.track, words);
    if (evidence::read(words, pass.track.newest, false, pass.binding.evidence_on).total < evidence::alarm)
        tracks_.keep(pass.track, Keep::suspect);
}

// False: a standing BLOCK answers, and nothing else is looked at.
bool Engine::check_standing(Pass& pass) noexcept {
    const track::Standing standing = tracks_.standing(pass.track);
    if (standing.until == 0) return true;
    pass.standing = standing;
    if (pass.track.newest >= standing.until) {
        end_standing(pass);
        return true;
    }
    const policy::Response* response = pass.binding.route.policy->marked(standing.response);
    if (response == nullptr || !pass.enforced()) return true;  // the policy has dropped it since
    const auto exempt = [&](std::uint16_t rule) { return exemption(pass, rule) != nullptr; };
    if (pass.allowed && std::all_of(response->rules.begin(), response->rules.end(), exempt)) return true;
    pass.standing_active = true;
    const auto index = static_cast<std::uint16_t>(response - pass.policy.responses.data());
    pass.raise(static_cast<Action>(standing.action), log::Step::standing, index);
    pass.decision.would = pass.decision.action;
    pass.decision.constraints |= response->constraints;
    pass.limit_rate(response->rate);
    if (pass.decision.action != Action::block) return true;
    pass.decision.retry_after = standing.until - pass.track.newest;
    return false;
}

std::uint64_t Engine::limit_tag(const Pass& pass, const policy::Limit& limit,
                                std::uint16_t index) const noexcept {
    std::uint64_t tag = base::hash64(limit.name, key_seed_ ^ index);
    if (limit.per_principal) tag = base::mix64(tag, pass.principal_tag);
    if (limit.per_model) tag = base::mix64(tag, pass.binding.model_tag);
    if (limit.per_session) tag = base::mix64(tag, base::hash64(pass.query.session, key_seed_ ^ 3));
    return track::KeyTable::tag_of(tag);
}

// False: a limit refuses the query.
bool Engine::check_limits(Pass& pass) noexcept {
    if (pass.allowed_limits || pass.policy.mode == policy::Mode::off) return true;
    const auto& indexes = pass.binding.route.limits;
    for (std::size_t i = 0; i < indexes.size(); ++i) {
        const policy::Limit& limit = pass.policy.limits[indexes[i]];
        const auto verdict = limits_.reserve(limit_tag(pass, limit, indexes[i]), pass.binding.limit_shapes[i],
                                             pass.query.now, limit.rows ? pass.rows() : 1, limit.max);
        if (verdict.admitted) {
            pass.limits_reserved |= std::uint64_t{1} << i;
            pass.counted_at[i] = verdict.counted_at;
            continue;
        }
        pass.decision.would = std::max(pass.decision.would, limit.action);
        if (!pass.enforced()) continue;
        region_.add(base::Counter::limit_refusals);
        pass.raise(limit.action, log::Step::limit, indexes[i]);
        pass.decision.constraints |= limit.constraints;
        pass.limit_rate(limit.rate);
        if (limit.action != Action::block) continue;
        pass.decision.retry_after = verdict.retry_after;
        take_back_limits(pass);
        return false;
    }
    return true;
}

void Engine::take_back_limits(Pass& pass) noexcept {
    for (std::uint64_t left = pass.limits_reserved; left != 0; left &= left - 1) {
        const auto i = static_cast<std::size_t>(__builtin_ctzll(left));
        const std::uint16_t index = pass.binding.route.limits[i];
        const policy::Limit& limit = pass.policy.limits[index];
        limits_.take_back(limit_tag(pass, limit, index), pass.binding.limit_shapes[i], pass.counted_at[i],
                          limit.rows ? pass.rows() : 1);
    }
}

// Which row of a batch is the i-th of those that enter the sequence: the first and the last 128.
std::size_t Engine::sequence_row(std::size_t i, std::size_t rows) noexcept {
    return rows > sequence_rows && i >= sequence_rows / 2 ? rows - sequence_rows + i : i;
}

const track::Head* Engine::head_of(const Pass& pass, const track::Wanted& wanted) noexcept {
    return wanted.lines || wanted.turns ? &pass.thread.head : nullptr;
}

Fault Engine::make_sketch(const Pass& pass, std::size_t row, track::Sketch& sketch) const noexcept {
    const bool finite = sketch_input(pass.query.input, row, pass.binding.route.model, pass.binding.references,
                                     sketch_seed_, pass.thread, sketch);
    return finite ? Fault::none : Fault::values;
}

Observation Engine::observe(const Pass& pass, std::size_t row, const track::Sketch& sketch,
                            const track::HotSlab& history, const track::Wanted& wanted) noexcept {
    const track::ModelReferences& references = *pass.binding.references;
    Observation seen = history.observe(sketch, references, pass.keeper().newest, wanted, &pass.thread.head);
    if (!(wanted.place || wanted.grid) || !seen.comparable || seen.duplicate) return seen;
    seen.place(
        wanted.place ? references.locate(sketch) : track::Location{},
        wanted.grid ? off_grid_share(pass.query.input, row, pass.binding.route.model) : track::no_place);
    return seen;
}

// The sketch of the input and what it is to the track's history. A track gets its hot slab here.
Fault Engine::read_input(Pass& pass) noexcept {
    const event::Input& input = pass.query.input;
    if (input.kind == event::InputKind::row && input.width > column_limit) return Fault::width;
    TrackTable::Track& keeper = pass.keeper();
    const bool first = keeper.slot.created;
    const auto all_finite = [&] {
        return input.values == nullptr || track::all_finite(input.values, input.rows * input.width);
    };
    const bool wanted = input.kind != event::InputKind::none && pass.binding.reads_input &&
                        pass.binding.references != nullptr;
    if (!wanted) {
        // Bad values are an error whether or not a rule would have looked at them.
        return all_finite() ? Fault::none : Fault::values;
    }
    if (input.kind == event::InputKind::text) {
        for (std::size_t i = 0; i < std::min(input.rows, prompt_limit); ++i)
            pass.thread.prompts[i].duplicate = false;
    }
    if (input.rows > 1) {
        if (!all_finite()) return Fault::values;
        if (!keeper.hot) tracks_.warm(keeper, pass.query.now, !first);
        pass.hot = tracks_.hot(keeper.hot);
        pass.batch = true;
        observe_batch(pass);
        return Fault::none;
    }
    track::Sketch& sketch = pass.thread.sketches[0];
    if (const Fault fault = make_sketch(pass, 0, sketch); fault != Fault::none) return fault;
    if (!keeper.hot) tracks_.warm(keeper, pass.query.now, !first);
    pass.hot = tracks_.hot(keeper.hot);
    pass.sketch = &sketch;
    if (pass.hot == nullptr) return Fault::none;
    const track::Wanted looked_for = wanted_of(pass.binding, input);
    pass.observation = observe(pass, 0, sketch, pass.hot->similarity, looked_for);
    pass.shape = shape_of(pass, pass.hot->shapes, sketch, pass.observation, looked_for);
    pass.history = &pass.hot->similarity;
    pass.shapes = &pass.hot->shapes;
    pass.duplicates = pass.observation.duplicate;
    pass.thread.prompts[0].duplicate = pass.observation.duplicate;
    pass.observed = observations_of(pass.observation, pass.shape);
    evidence::update_private(pass.evidence, pass.observed.of(pass.binding.evidence_on), keeper.newest);
    pass.has_evidence |= pass.observed.made != 0;
    return Fault::none;
}

// The rows of a batch see the track's history and each other, in row order, on a private copy: the batch may
// be blocked.
void Engine::observe_batch(Pass& pass) noexcept {
    if (pass.hot == nullptr) return;
    track::HotSlab& copy = pass.thread.batch;
    track::Shapes& shapes = pass.thread.shapes;
    copy_words(pass.hot->similarity, copy);
    copy_words(pass.hot->shapes, shapes);
    track::Sketch& sketch = pass.thread.sketches[0];
    const std::size_t rows = pass.query.input.rows;
    const track::Wanted wanted = wanted_of(pass.binding, pass.query.input);
    const track::HotTrack* const own = pass.binding.reads_distinct ? tracks_.hot(pass.track.hot) : nullptr;
    if (own != nullptr) pass.inputs = own->inputs.copy();
    for (std::size_t i = 0; i < std::min(rows, sequence_rows); ++i) {
        make_sketch(pass, sequence_row(i, rows), sketch);
        if (pass.binding.reads_distinct) count_input(pass, sketch, pass.inputs);
        const Observation seen = observe(pass, sequence_row(i, rows), sketch, copy, wanted);
        const track::ShapeStep step = shape_of(pass, shapes, sketch, seen, wanted);
        shapes.add(sketch, step, seen.owner);
        copy.commit(sketch, seen, pass.query.now, copy.take_tickets(1), head_of(pass, wanted));
        evidence::update_private(pass.evidence, observations_of(seen, step).of(pass.binding.evidence_on),
                                 pass.keeper().newest);
        pass.has_evidence = true;
        pass.observation.calibrated = seen.calibrated;
        pass.duplicates += seen.duplicate;
        pass.thread.prompts[i].duplicate = seen.duplicate;
        pass.observation.near |= seen.near;
        pass.observation.between |= seen.between;
    }
    pass.history = &copy;
    pass.shapes = &shapes;
}

void Engine::match_rules(Pass& pass, rule::Phase phase) noexcept {
    const Binding& binding = pass.binding;
    const rule::Program& program = *binding.route.program;
    if (pass.policy.mode == policy::Mode::off || !program.reads(phase)) return;
    event::Value* fields = pass.query.fields;
    const auto set = [&](int field, const event::Value& value) {
        if (field >= 0) fields[field] = value;
    };
    set(binding.field_principal, event::Value::of_text(pass.query.principal));
    if (!pass.query.session.empty()) set(binding.field_session, event::Value::of_text(pass.query.session));
    set(binding.field_cost, event::Value::of_real(pass.query.cost));
    set(binding.field_rows, event::Value::of_int(static_cast<std::int64_t>(pass.rows())));
    if (pass.history != nullptr)
        set(binding.field_calibrated, event::Value::of_bool(pass.observation.calibrated));
    if (pass.query.input.kind == event::InputKind::text)
        set(binding.field_text, event::Value::of_text(pass.query.input.text));
    rule::Scratch& scratch = pass.thread.scratch(binding.policy_id, *pass.policy.program);
    const std::size_t matched =
        program.evaluate(phase, fields, pass.decision.signals.data(), scratch, pass.decision.rules);
    pass.decision.rule_count = static_cast<std::uint16_t>(std::min(matched, rule_limit));
}

// Of the rule's delayed responses those whose delay is over for this track. The delay is drawn from the
// region's secret, so that a caller can neither predict nor, by asking again, improve it.
std::uint64_t Engine::due_responses(const Pass& pass,
                                    const policy::RoutePolicy::RuleEffect& effect) const noexcept {
    std::uint64_t due = 0;
    for (std::uint64_t left = effect.delayed; left != 0; left &= left - 1) {
        const policy::Response& response =
            pass.policy.responses[static_cast<std::size_t>(__builtin_ctzll(left))];
        const std::uint64_t drawn = base::mix64(key_seed_ ^ pass.keeper().tag,
                                                policy::Policy::mark(response) | std::uint64_t{1} << 32);
        const double uniform = static_cast<double>(drawn >> 11) * 0x1p-53;
        if (tracks_.delayed(pass.keeper()) >= response.delay->queries(uniform)) due |= left & (0 - left);
    }
    return due;
}

// Until a delayed BLOCK is due, its constraints hold.
void Engine::wait_for(Pass& pass, std::uint64_t responses) noexcept {
    for (std::uint64_t left = responses; left != 0; left &= left - 1) {
        const policy::Response& response =
            pass.policy.responses[static_cast<std::size_t>(__builtin_ctzll(left))];
        pass.decision.constraints |= response.constraints;
        pass.limit_rate(response.rate);
    }
}

// What the matched rules lead to. Rules that are off here are dropped from the list.
void Engine::respond(Pass& pass) noexcept {
    Decision& decision = pass.decision;
    std::uint16_t kept = 0;
    for (std::uint16_t i = 0; i < decision.rule_count; ++i) {
        const std::uint16_t rule = decision.rules[i];
        const policy::RoutePolicy::RuleEffect& effect = pass.binding.route.rules[rule];
        policy::Mode mode = effect.mode;
        if (effect.conditional) {
            const policy::RuleMode& own = pass.policy.rules[rule];
            if (pass.query.now >= own.expires) {
                mode = pass.policy.mode;
            } else if (policy::any_match(own.excluded_principals, pass.query.principal)) {
                mode = policy::Mode::off;
            }
        }
        if (mode == policy::Mode::off) continue;
        decision.rules[kept++] = rule;
        Action action = effect.action;
        const std::uint64_t due = due_responses(pass, effect);
        if (effect.delayed != 0) action = std::max(action, due != 0 ? Action::block : Action::constrain);
        pass.delays |= effect.delayed != due;
        const policy::AllowEntry* exempt = exemption(pass, rule);
        const bool lowered = exempt != nullptr && action > Action::log;
        if (lowered) {
            action = Action::log;
            decision.allowed_by = static_cast<std::uint16_t>(exempt - pass.policy.allow.data());
        }
        decision.would = std::max(decision.would, action);
        if (mode != policy::Mode::enforce) continue;
        if (exempt == nullptr) {
            decision.constraints |= effect.constraints;
            pass.responses |= effect.responses | due;
            wait_for(pass, effect.delayed & ~due);
        }
        const std::uint64_t acting = due != 0 ? due : effect.responses | effect.delayed;
        const auto response = static_cast<std::uint16_t>(acting == 0 ? 0 : __builtin_ctzll(acting));
        pass.raise(action, lowered ? log::Step::allow : log::Step::response,
                   lowered ? decision.allowed_by : response);
    }
    decision.rule_count = kept;
    if (pass.binding.route.model == nullptr && pass.policy.mode != policy::Mode::off) {
        decision.would = std::max(decision.would, pass.policy.unknown_model);
        if (pass.enforced()) decision.action = std::max(decision.action, pass.policy.unknown_model);
    }
    decision.would = std::max(decision.would, decision.action);
}

// A `rate` constraint in force: what exceeds it is refused.
void Engine::apply_rate(Pass& pass) noexcept {
    for (std::uint64_t rated = pass.responses & pass.binding.route.rated; rated != 0; rated &= rated - 1) {
        pass.limit_rate(pass.policy.responses[static_cast<std::size_t>(__builtin_ctzll(rated))].rate);
    }
    if (pass.rate == 0 || pass.decision.action == Action::block) return;
    if (tracks_.within_rate(pass.track, pass.track.newest, pass.rate, pass.rows())) return;
    pass.raise(Action::block, pass.decision.step, pass.decision.step_index);
    pass.decision.would = Action::block;
    pass.decision.retry_after = 1 / pass.rate;
}

// The query becomes volume and history, unless it is blocked.
void Engine::commit(Pass& pass) noexcept {
    Decision& decision = pass.decision;
    if (pass.responses & pass.binding.route.lasting) make_standing(pass);
    if (decision.action == Action::block) {
        take_back_limits(pass);
        return;
    }
    decision.committed = true;
    if (pass.delays) tracks_.add_delayed(pass.keeper());
    const bool in_time = tracks_.add(pass.track, pass.query.now, pass.rows());
    if (pass.clustered) tracks_.add(pass.cluster, pass.query.now, pass.rows());
    if (pass.binding.reads_budget) commit_budget(pass);
    if (pass.binding.reads_principal) {
        auto shared = open_shared(pass, signal::Scope::principal);
        tracks_.add(shared, pass.query.now, pass.rows());
    }
    if (pass.binding.reads_global) {
        auto shared = open_shared(pass, signal::Scope::global);
        tracks_.add(shared, pass.query.now, pass.rows());
    }
    if (pass.binding.reads_cost && in_time) {
        decision.cost = pass.query.cost;
        decision.cost_size = static_cast<std::uint8_t>(track::cost_size(size_of(pass.query.input)));
        decision.cost_due = 1;
    }
    region_.add(base::Counter::queries, pass.rows());
    TrackTable::Track& keeper = pass.keeper();
    promote(keeper, pass.query.now, pass.observation.near || pass.observation.between);
    // A member of a cluster keeps prompts, parameters and costs in a slab of its own.
    if (pass.clustered) promote(pass.track, pass.query.now, false);
    if (in_time && pass.parameters.asked) commit_parameters(pass);
    if (in_time && pass.prompts != 0) commit_prompts(pass);
    if (in_time && pass.binding.reads_principal_use) commit_principal(pass);
    tracks_.touch(keeper);
    if (!in_time || pass.hot == nullptr || tracks_.hot(keeper.hot) != pass.hot) return;
    commit_input(pass);
    if (pass.binding.reads_twins) commit_twins(pass);
}

// The 16th query within the longest horizon makes a track hot for good, whatever it sends, while the pool has
// room; what is telling, a near pair or a bracket, makes room, and so does what is known against the track.
void Engine::promote(TrackTable::Track& track, double now, bool telling) noexcept {
    if (tracks_.promoted(track)) return;
    const bool busy = tracks_.count(track, horizons_.size() - 1) >= TrackTable::promotion_queries;
    const bool urgent = telling || tracks_.keys().kept(track.slot.index) >= Keep::suspect;
    if (busy || urgent) tracks_.promote(track, now, urgent);
}

void Engine::commit_input(Pass& pass) noexcept {
    track::ModelReferences& references = *pass.binding.references;
    const event::Input& input = pass.query.input;
    // A track under constraint or suspicion does not teach the model what is ordinary.
    const bool teaches = pass.decision.would < Action::constrain;
    const bool learns_scale = teaches && pass.binding.learns_scale && !references.scale_frozen();
    const auto learn = [&](const track::Sketch& sketch, std::size_t row, float off_grid,
                           const track::ShapeStep& step) {
        if (!teaches) return;
        if (step.level >= 0) references.coverage.learn(step.level, step.cells);
        references.update(sketch, pass.principal_tag | 1, pass.track.newest, off_grid);
        if (learns_scale && input.values != nullptr) {
            references.learn_scale(input.values + row * input.width, input.width, pass.principal_tag | 1,
                                   sketch_seed_, *pass.binding.scale_sample);
        }
    };
    const TrackTable::Track& keeper = pass.keeper();
    track::HotTrack* const own = pass.binding.reads_distinct ? tracks_.hot(pass.track.hot) : nullptr;
    track::HotSlab& history = pass.hot->similarity;
    track::Shapes& shapes = pass.hot->shapes;
    const track::Wanted wanted = wanted_of(pass.binding, input);
    const bool counts_prompts = pass.binding.reads_blocks && input.kind == event::InputKind::text;
    const auto remembered = static_cast<std::uint32_t>(std::min(input.rows, sequence_rows));
    pass.decision.hot = keeper.hot;
    pass.decision.remembered = remembered;
    pass.decision.ticket = history.take_tickets(remembered);
    if (pass.sketch != nullptr) {
        shapes.add(*pass.sketch, pass.shape, pass.observation.owner);
        history.commit(*pass.sketch, pass.observation, pass.query.now, pass.decision.ticket,
                       head_of(pass, wanted));
        add_evidence(pass.binding, pass.principal_tag, keeper, *pass.hot, pass.observed, keeper.newest);
        if (pass.binding.reads_neighbours) visit_neighbours(pass, *pass.sketch, pass.observation);
        if (own != nullptr) count_input(pass, *pass.sketch, own->inputs);
        learn(*pass.sketch, 0, pass.observation.off_grid, pass.shape);
        if (counts_prompts && !pass.observation.duplicate)
            add_evidence(pass.binding, pass.principal_tag, keeper, *pass.hot,
                         count_for_block(pass, *pass.sketch, teaches), keeper.newest);
        return;
    }
    track::Sketch& sketch = pass.thread.sketches[0];
    for (std::uint32_t i = 0; i < remembered; ++i) {
        const std::size_t row = sequence_row(i, input.rows);
        make_sketch(pass, row, sketch);
        const Observation seen = observe(pass, row, sketch, history, wanted);
        const track::ShapeStep step = shape_of(pass, shapes, sketch, seen, wanted);
        shapes.add(sketch, step, seen.owner);
        history.commit(sketch, seen, pass.query.now, pass.decision.ticket + i, head_of(pass, wanted));
        add_evidence(pass.binding, pass.principal_tag, keeper, *pass.hot, observations_of(seen, step),
                     keeper.newest);
        if (pass.binding.reads_neighbours) visit_neighbours(pass, sketch, seen);
        if (own != nullptr) count_input(pass, sketch, own->inputs);
        learn(sketch, row, seen.off_grid, step);
        if (counts_prompts && !seen.duplicate)
            add_evidence(pass.binding, pass.principal_tag, keeper, *pass.hot,
                         count_for_block(pass, sketch, teaches), keeper.newest);
    }
}

// What is evidence of the observations that a principal has made at the route's model: those of components
// that are on there. All of them are counted, where a census is taken: what is off may be found to be
// harmless again.
evidence::Observations Engine::counted_of(const Binding& binding, std::uint64_t principal_tag,
                                          const evidence::Observations& seen) noexcept {
    if (census_ != nullptr) census_->add(binding.model_tag, principal_tag, seen);
    return seen.of(binding.evidence_on);
}

// To the shared words; a track against which something speaks is kept when others have to go, one in alarm as
// if a decision stood against it.
void Engine::add_evidence(const Binding& binding, std::uint64_t principal_tag, const TrackTable::Track& track,
                          track::HotTrack& hot, const evidence::Observations& observed, double now) noexcept {
    const evidence::Observations seen = counted_of(binding, principal_tag, observed);
    if (!seen) return;
    const unsigned dropped = evidence::update_shared(hot.evidence, seen, now);
    if (dropped != 0) region_.add(base::Counter::evidence_dropped, dropped);
    const Keep kept = tracks_.keys().kept(track.slot.index);
    if (seen.hits == 0 || kept == Keep::standing) return;
    const double total = evidence::read(hot.evidence, now, false, binding.evidence_on).total;
    if (total >= evidence::alarm) {
        tracks_.keep(track, Keep::standing);
    } else if (total >= suspicion && kept < Keep::suspect) {
        tracks_.keep(track, Keep::suspect);
    }
}

// Responses with a duration leave a standing decision behind. One in force is never prolonged by a weaker
// one, and one that blocks is not prolonged at all: check_standing() answers before.
void Engine::make_standing(Pass& pass) noexcept {
    const policy::Response* chosen = nullptr;
    for (std::uint64_t left = pass.responses & pass.binding.route.lasting; left != 0; left &= left - 1) {
        const policy::Response& response =
            pass.policy.responses[static_cast<std::size_t>(__builtin_ctzll(left))];
        if (chosen == nullptr || response.action > chosen->action) chosen = &response;
    }
    const std::uint32_t mark = policy::Policy::mark(*chosen);
    const bool same = pass.standing.response == mark && pass.standing.until != 0;
    if (pass.standing_active && static_cast<Action>(pass.standing.action) > chosen->action) return;
    const policy::Duration duration = chosen->duration.value_or(policy::Duration{});
    const double now = pass.track.newest;
    std::uint8_t repeats = 1;
    if (same && pass.standing_active) {
        repeats = pass.standing.repeats;
    } else if (same && now - pass.standing.until < duration.forget) {
        repeats = static_cast<std::uint8_t>(std::min(63, pass.standing.repeats + 1));
    }
    const double length = std::min(duration.max, duration.first * std::pow(duration.factor, repeats - 1));
    if (same && pass.standing_active && pass.standing.until - now > length / 2) return;  // still fresh
    track::Standing next;
    next.until = static_cast<std::uint32_t>(std::min(track::latest_time, std::ceil(now + length)));
    next.action = static_cast<std::uint8_t>(chosen->action);
    next.repeats = repeats;
    next.response = mark;
    if (tracks_.set_standing(pass.track, pass.standing, next)) tracks_.keep(pass.track, Keep::standing);
    if (chosen->action == Action::block) pass.decision.retry_after = length;
}

}  // namespace atlascore::engine
