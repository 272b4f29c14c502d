// Setting up, binding and reloading; the hot path is in decide.cpp.
#include "atlascore/engine/engine.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"

namespace atlascore::engine {
namespace {

// One entry of the model directory: which model owns which references.
struct ModelEntry {
    std::uint64_t tag;
    std::uint64_t room[7];
};

constexpr std::uint32_t scale_samples = 4;  // models that can learn their scale at the same time
// The region's sections, in order; a table takes as many as its section_bytes() has.
enum Section : std::size_t {
    track_section = 0,
    limit_section = 4,
    directory_section = 6,
    reference_section,
    scale_section,
    twin_section,
    template_section,
    near_section = template_section + 2,
    cluster_section = near_section + 3,
    principal_section,
    key_section = principal_section + 2,
    baseline_section = key_section + 2,
    section_count,
};

std::uint64_t limit_capacity(const Config& config) {
    return std::max<std::uint64_t>(256, config.capacity / 16);
}

std::string seconds(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

std::string list(const std::vector<double>& horizons) {
    std::string text;
    for (const double horizon : horizons) text += (text.empty() ? "" : ", ") + seconds(horizon);
    return text;
}

static_assert(track::evidence_words == evidence::component_room &&
              track::packed_evidence_words == evidence::packed_words);

void pack_evidence(const std::uint64_t* words, std::uint32_t generation, std::uint64_t* out) noexcept {
    evidence::pack(std::span<const std::uint64_t, evidence::component_room>(words, evidence::component_room),
                   generation, std::span<std::uint64_t, evidence::packed_words>(out, evidence::packed_words));
}

bool unpack_evidence(const std::uint64_t* packed, std::uint32_t generation, std::uint64_t* out) noexcept {
    return evidence::unpack(
        std::span<const std::uint64_t, evidence::packed_words>(packed, evidence::packed_words), generation,
        std::span<std::uint64_t, evidence::component_room>(out, evidence::component_room));
}

double total_evidence(const std::uint64_t* words, double now) noexcept {
    const std::span<const std::uint64_t, evidence::component_room> all(words, evidence::component_room);
    return evidence::read(all, now, false, evidence::every_component).total;
}

// What a signal needs to be found out, so that what no rule reads costs nothing.
void note_reads(Binding& binding, signal::Signal s) {
    using signal::Signal;
    const signal::SignalInfo& info = signal::info(s);
    binding.reads_evidence |= info.source == signal::Source::evidence;
    if (info.source == signal::Source::parameters) {
        binding.reads_parameters = true;
        return;
    }
    binding.reads_distinct |= s == Signal::distinct_inputs;
    binding.reads_labels |= s == Signal::label_discovery;
    binding.reads_margins |= s == Signal::confidence_shift;
    if (info.source == signal::Source::principal) {
        const bool recon = s == Signal::evidence_recon;
        binding.reads_principal_use = true;
        binding.reads_recon |= recon;
        binding.reads_parameters |= recon;
        binding.reads_probes |= recon && (binding.route.model == nullptr || binding.route.model->prompts);
        return;
    }
    if (s == Signal::extraction_budget_used) {
        const policy::Model* model = binding.route.model;
        binding.reads_budget = model != nullptr && model->extraction_budget > 0;
        binding.reads_input |= binding.reads_budget;
        return;
    }
    if (s == Signal::twin_records) binding.reads_twins = true;
    binding.reads_neighbours |= s == Signal::shared_inputs || s == Signal::evidence_collusion;
    if (info.source == signal::Source::prompts) {
        if (binding.route.model != nullptr && !binding.route.model->prompts) return;
        binding.reads_templates |= s != Signal::known_probes;
        binding.reads_template_share |= s == Signal::template_share;
        binding.reads_input |= binding.reads_templates;  // what was sent before is no use of a template
        binding.reads_probes |= s == Signal::known_probes;
        return;
    }
    if (s == Signal::window_mmd || s == Signal::evidence_coverage) {
        const bool prompts = binding.route.model == nullptr || binding.route.model->prompts;
        binding.reads_blocks |= prompts;
        if (s == Signal::window_mmd) {
            binding.reads_input |= prompts;
            return;
        }
    }
    if (s == Signal::baseline_shift) {
        binding.reads_baseline = binding.reads_cost = binding.reads_input = binding.reads_answers = true;
        binding.wanted.place = true;
        return;
    }
    if (s == Signal::cost_amplification || s == Signal::evidence_cost) {
        binding.reads_cost = true;  // and neither inputs nor labels
        return;
    }
    binding.reads_input |= info.source != signal::Source::count;
    const bool all = s == Signal::evidence_total || s == Signal::evidence_families;
    const bool lines =
        s == Signal::evidence_line_search || s == Signal::halving_hits || s == Signal::collinear_flips;
    const bool sparse = s == Signal::evidence_coordinate || s == Signal::sparse_probe_coordinates;
    const bool radial = s == Signal::evidence_coordinate || s == Signal::radial_probes;
    const bool synthetic = s == Signal::evidence_synthetic;
    binding.wanted.place |= synthetic || s == Signal::manifold_rank;
    binding.wanted.grid |= synthetic || s == Signal::off_grid_ratio;
    binding.wanted.turns |= s == Signal::delta_concentration;
    binding.wanted.cells |= s == Signal::coverage || s == Signal::evidence_coverage;
    binding.wanted.groups |= s == Signal::group_regularity;
    binding.wanted.lines |= all || lines;
    binding.wanted.sparse |= all || sparse;
    binding.wanted.radial |= all || radial;
    // Lines are between labels, and scores are climbed.
    binding.reads_answers |= all || lines || info.needs_answers || s == Signal::evidence_coordinate;
}

}  // namespace

std::uint32_t Engine::hot_slabs(const Config& config) noexcept {
    if (config.hot != 0) return config.hot;
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(64, config.capacity / 50));
}

base::RegionSpec Engine::region_spec(const policy::Policy& policy, const Config& config) {
    if (config.capacity < 1 || config.capacity > (std::uint64_t{1} << 30)) {
        throw base::Error("capacity must be 1 to 2^30 tracks, not " + std::to_string(config.capacity));
    }
    if (config.models < 1 || config.models > 65'536) {
        throw base::Error("state.models must be 1 to 65536, not " + std::to_string(config.models));
    }
    base::RegionSpec spec;
    spec.name = config.state;
    spec.seed = config.seed;
    spec.section_bytes = track::TrackTable::section_bytes(config.capacity, hot_slabs(config));
    for (const std::uint64_t bytes : track::LimitTable::section_bytes(limit_capacity(config)))
        spec.section_bytes.push_back(bytes);
    spec.section_bytes.push_back(config.models * sizeof(ModelEntry));
    spec.section_bytes.push_back(config.models * sizeof(track::ModelReferences));
    spec.section_bytes.push_back(scale_samples * sizeof(track::ScaleSample));
    spec.section_bytes.push_back(track::TwinTable::entries_for(config.capacity) * sizeof(std::uint64_t));
    for (const std::uint64_t bytes : track::TemplateTable::section_bytes(config.capacity))
        spec.section_bytes.push_back(bytes);
    for (const std::uint64_t bytes : track::NearIndex::section_bytes(config.capacity))
        spec.section_bytes.push_back(bytes);
    spec.section_bytes.push_back(track::PrincipalClusters::words_for(config.capacity) *
                                 sizeof(std::uint64_t));
    for (const std::uint64_t bytes : track::PrincipalTable::section_bytes(config.capacity))
        spec.section_bytes.push_back(bytes);
    for (const std::uint64_t bytes : track::ClusterKeys::section_bytes(config.capacity))
        spec.section_bytes.push_back(bytes);
    spec.section_bytes.push_back(track::BaselineTable::bytes(config.capacity));
    assert(spec.section_bytes.size() == section_count);
    spec.configuration = base::mix64(config.capacity, hot_slabs(config) * 65'537ull + config.models);
    for (const double horizon : policy.horizons()) {
        spec.configuration = base::mix64(spec.configuration, std::bit_cast<std::uint64_t>(horizon));
    }
    spec.configuration_text =
        "capacity " + std::to_string(config.capacity) + ", " + std::to_string(hot_slabs(config)) +
        " hot tracks, " + std::to_string(config.models) + " models and windows of " + list(policy.horizons());
    return spec;
}

Engine::Engine(std::shared_ptr<const policy::Policy> policy, const log::Policy& names, const Config& config)
    : config_(config),
      horizons_(policy->horizons()),
      region_(region_spec(*policy, config)),
      tracks_(region_, track_section, config.capacity, hot_slabs(config), horizons_,
              {pack_evidence, unpack_evidence, total_evidence}),
      limits_(region_, limit_section, limit_capacity(config)),
      twins_({reinterpret_cast<std::uint64_t*>(region_.section(twin_section)),
              track::TwinTable::entries_for(config.capacity)}),
      templates_(region_, template_section, config.capacity),
      near_index_(region_, near_section, config.capacity, region_.seed()),
      clusters_({reinterpret_cast<std::uint64_t*>(region_.section(cluster_section)),
                 track::PrincipalClusters::words_for(config.capacity)}),
      cluster_keys_(region_, key_section, config.capacity),
      principals_(region_, principal_section, config.capacity),
      baselines_(region_.section(baseline_section), config.capacity),
      key_seed_(region_.seed()),
      sketch_seed_(base::mix64(region_.seed(), 0x736b65746368)),
      coverage_planes_(sketch_seed_),
      fourier_(sketch_seed_),
      policy_(std::move(policy)) {
    if (config.salt_file.empty()) {
        std::copy(region_.salt().begin(), region_.salt().end(), salt_.begin());
    } else {
        salt_ = log::load_salt(config.salt_file);
    }
    commitments_ = std::make_unique<log::Hmac>(salt_);
    ids_ = std::make_unique<log::DecisionIds>(salt_);
    if (!config.log_directory.empty()) {
        log::Options options;
        options.version = config.version;
        log_ = std::make_unique<log::Log>(config.log_directory, options);
        log_policy_ = log_->add_policy(names);
    }
}

Engine::~Engine() {
    close();
}

bool Engine::close() {
    return log_ == nullptr || log_->close();
}

std::shared_ptr<const policy::Policy> Engine::policy() const {
    const std::lock_guard lock(policy_mutex_);
    return policy_;
}

void Engine::reload(std::shared_ptr<const policy::Policy> policy, const log::Policy& names) {
    for (const double horizon : policy->horizons()) {
        if (std::find(horizons_.begin(), horizons_.end(), horizon) != horizons_.end()) continue;
        throw base::Error("the new rules need a window of " + seconds(horizon) + "; the state has " +
                          list(horizons_) + ". Start a new engine for other windows");
    }
    const std::uint32_t number = log_ ? log_->add_policy(names) : 0;
    const std::lock_guard lock(policy_mutex_);
    policy_ = std::move(policy);
    log_policy_ = number;
    generation_.fetch_add(1, std::memory_order_release);
}

// The model's references, claimed with its first route. Null when every entry belongs to another model.
track::ModelReferences* Engine::references_of(std::uint64_t model_tag, track::ScaleSample** sample) {
    auto* directory = reinterpret_cast<ModelEntry*>(region_.section(directory_section));
    auto* references = reinterpret_cast<track::ModelReferences*>(region_.section(reference_section));
    auto* samples = reinterpret_cast<track::ScaleSample*>(region_.section(scale_section));
    for (std::uint32_t i = 0; i < config_.models; ++i) {
        std::atomic_ref<std::uint64_t> tag(directory[i].tag);
        std::uint64_t seen = tag.load(std::memory_order_acquire);
        if (seen == 0) tag.compare_exchange_strong(seen, model_tag);
        if (seen != 0 && seen != model_tag) continue;
        *sample = samples + i % scale_samples;
        return references + i;
    }
    return nullptr;
}

// Null when no route of the model has claimed any.
const track::ModelReferences* Engine::find_references(std::uint64_t model_tag) const noexcept {
    auto* directory = reinterpret_cast<ModelEntry*>(region_.section(directory_section));
    for (std::uint32_t i = 0; i < config_.models; ++i) {
        if (std::atomic_ref(directory[i].tag).load(std::memory_order_acquire) == model_tag)
            return reinterpret_cast<const track::ModelReferences*>(region_.section(reference_section)) + i;
    }
    return nullptr;
}

std::shared_ptr<const Binding> Engine::bind(const std::string& model, const std::string& method,
                                            const std::string& endpoint) {
    auto binding = std::make_shared<Binding>();
    {
        const std::lock_guard lock(policy_mutex_);
        binding->route = policy_->bind(model, method, endpoint);
        binding->policy_id = policy_->id();
        binding->log_policy = log_policy_;
    }
    const rule::Program& program = *binding->route.program;
    for (const rule::Phase phase : {rule::Phase::request, rule::Phase::response}) {
        if (program.signals(phase).size() > signal_limit) {
            throw base::Error("the rules of one route read more than " + std::to_string(signal_limit) +
                              " signals");
        }
        for (const rule::SignalRef& ref : program.signals(phase)) {
            const bool rate = ref.signal == signal::Signal::request_rate;
            const double window = rate ? 10.0 : ref.window;
            const auto horizon = std::find(horizons_.begin(), horizons_.end(), window) - horizons_.begin();
            Binding::Plans& plans = binding->plans[static_cast<std::size_t>(phase)];
            const bool evidence = signal::info(ref.signal).source == signal::Source::evidence;
            plans.of_no_state[plans.count] = evidence ? 0 : std::numeric_limits<double>::quiet_NaN();
            plans.of[static_cast<std::size_t>(signal::info(ref.signal).source)].push_back(
                {ref.signal, ref.scope, static_cast<std::uint8_t>(horizon), plans.count++, window});
            note_reads(*binding, ref.signal);
            if (ref.signal == signal::Signal::cost_amplification &&
                (binding->cost_window == 0 || window < binding->cost_window)) {
                binding->cost_window = window;
            }
            const bool counts = signal::info(ref.signal).source == signal::Source::count;
            binding->reads_principal |= counts && ref.scope == signal::Scope::principal;
            binding->reads_global |= counts && ref.scope == signal::Scope::global;
        }
    }
    if (binding->route.limits.size() > route_limit_count) {
        throw base::Error("more than " + std::to_string(route_limit_count) + " limits apply to the model " +
                          model);
    }
    for (const std::uint16_t limit : binding->route.limits) {
        binding->limit_shapes.push_back(
            track::LimitTable::shape(binding->route.policy->spec().limits[limit].window));
    }
    binding->model_tag = base::hash64(model, key_seed_ ^ 2) | 1;
    binding->place = track::Place::of(base::hash64(model, key_seed_ ^ 5) | 1,
                                      endpoint.empty() ? 0 : base::hash64(endpoint, key_seed_ ^ 6) | 1);
    binding->references = references_of(binding->model_tag, &binding->scale_sample);
    binding->field_principal = program.field("api.principal");
    binding->field_session = program.field("api.session");
    binding->field_calibrated = program.field("calibrated");
    binding->field_text = program.field("gen_ai.input.messages");
    binding->field_cost = program.field("api.cost");
    binding->field_rows = program.field("api.rows");
    binding->field_status = program.field("response.status");
    binding->field_http_status = program.field("http.response.status_code");
    binding->field_label = program.field("response.label");
    binding->field_answer = program.field("response.text");
    binding->field_messages = program.field("gen_ai.output.messages");
    binding->field_answer_cost = program.field("response.cost");
    binding->field_cluster_keys = program.field("cluster_keys");
    binding->field_logprobs = program.field("logprobs");
    binding->field_top_logprobs = program.field("top_logprobs");
    binding->field_logit_bias = program.field("logit_bias_ids");
    binding->learns_scale = binding->route.model == nullptr || binding->route.model->scale_epoch == 0;
    if (binding->route.model != nullptr) binding->evidence_on &= ~binding->route.model->evidence_off(model);
    binding->known = known_prompts(*binding);
    if (log_) name_for_log(*binding, model, method, endpoint);
    return binding;
}

// Everything a log record names by number.
void Engine::name_for_log(Binding& binding, const std::string& model, const std::string& method,
                          const std::string& endpoint) {
    const policy::Spec& spec = binding.route.policy->spec();
    binding.log_model = log_->intern(model);
    binding.log_route = log_->intern("default");
    binding.log_method = log_->intern(method);
    binding.log_endpoint = log_->intern(endpoint);
    for (const policy::Limit& limit : spec.limits) binding.log_limits.push_back(log_->intern(limit.name));
    for (const policy::Response& response : spec.responses)
        binding.log_responses.push_back(log_->intern(response.name));
    for (const policy::AllowEntry& entry : spec.allow) binding.log_allow.push_back(log_->intern(entry.name));
    // The log policy lists the signals of the whole program, those of the request phase first.
    std::uint16_t offset = 0;
    for (const rule::Phase phase : {rule::Phase::request, rule::Phase::response}) {
        const auto all = spec.program->signals(phase);
        for (const rule::SignalRef& ref : binding.route.program->signals(phase)) {
            binding.log_signals[static_cast<std::size_t>(phase)].push_back(
                static_cast<std::uint16_t>(offset + (std::find(all.begin(), all.end(), ref) - all.begin())));
        }
        offset = static_cast<std::uint16_t>(offset + all.size());
    }
    for (std::size_t rule = 0; rule < spec.program->rule_count(); ++rule) {
        const rule::Phase phase = spec.program->rule(rule).phase;
        binding.rule_signals.push_back(binding.route.program->signals_of(rule, phase));
    }
}

std::uint32_t Binding::log_step(const Decision& decision) const noexcept {
    switch (decision.step) {
        case log::Step::limit:
            return log_limits[decision.step_index];
        case log::Step::response:
        case log::Step::standing:
            return decision.step_index < log_responses.size() ? log_responses[decision.step_index] : 0;
        case log::Step::allow:
            return log_allow[decision.step_index];
        default:
            return 0;
    }
}

Route::Route(Engine& engine, std::string model, std::string method, std::string endpoint)
    : engine_(engine), model_(std::move(model)), method_(std::move(method)), endpoint_(std::move(endpoint)) {
    current();
}

const std::shared_ptr<const Binding>& Route::current() {
    const std::uint64_t generation = engine_.generation();
    if (generation != generation_) {
        binding_ = engine_.bind(model_, method_, endpoint_);
        generation_ = generation;
    }
    return binding_;
}

evidence::Census::Counts Engine::census(std::string_view principal, std::string_view model) const {
    if (census_ == nullptr) return {};
    return census_->of(base::hash64(model, key_seed_ ^ 2) | 1, base::hash64(principal, key_seed_));
}

std::string Engine::decision_id(std::uint64_t sequence) const {
    return ids_->id({log_ ? log_->instance() : region_.instance(), log::producer, sequence});
}

std::string Engine::commitment(std::string_view name) const {
    static constexpr char hex[] = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : commitments_->commit(name)) {
        text += hex[byte >> 4];
        text += hex[byte & 15];
    }
    return text;
}

}  // namespace atlascore::engine
