// The whole path: event -> track -> signals -> rules -> policy -> decision -> log.
//
// One Engine serves any number of threads; its state is one region, shared with other processes when it has a
// name. decide() runs before the model executes, record() brings the answer. Both are noexcept, allocate
// nothing once a thread has made its first call under a policy, and make no system call.
//
// A decision counts the query it is about: request_count is 1 at the first one. What is blocked leaves no
// trace in windows, limits or history.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "atlascore/base/region.hpp"
#include "atlascore/event/event.hpp"
#include "atlascore/evidence/census.hpp"
#include "atlascore/evidence/process.hpp"
#include "atlascore/log/commitment.hpp"
#include "atlascore/log/decision_id.hpp"
#include "atlascore/log/log.hpp"
#include "atlascore/policy/policy.hpp"
#include "atlascore/track/baseline_table.hpp"
#include "atlascore/track/cluster_keys.hpp"
#include "atlascore/track/limit_table.hpp"
#include "atlascore/track/near_index.hpp"
#include "atlascore/track/principal_clusters.hpp"
#include "atlascore/track/principal_table.hpp"
#include "atlascore/track/references.hpp"
#include "atlascore/track/template_table.hpp"
#include "atlascore/track/track_table.hpp"
#include "atlascore/track/twin_table.hpp"

namespace atlascore::engine {

using policy::Action;

inline constexpr std::size_t rule_limit = 32;         // matched rules that one decision can name
inline constexpr std::size_t route_limit_count = 64;  // limits that can apply to one route
inline constexpr std::size_t signal_limit = 64;       // signals that one route can read per phase
// Rows of one batch that enter the sequence signals: the first and the last 128. The others count as volume.
inline constexpr std::size_t sequence_rows = 256;
// Infrastructure keys that one query can show.
inline constexpr std::size_t key_limit = 16;

struct Config {
    std::uint64_t capacity = 1'000'000;  // tracks
    std::uint32_t hot = 0;               // hot tracks; 0: capacity / 50
    std::uint32_t models = 64;           // models with references of their own
    std::string state;                   // as RegionSpec::name
    std::optional<std::uint64_t> seed;
    std::string log_directory;  // "" no log
    std::string salt_file;      // "" the region's salt
    std::string version;
};

struct Query {
    std::string_view principal;
    std::uint64_t principal_tag = 0;  // what expect() returned for it; 0: not asked
    std::string_view session;
    std::string_view request_id;
    event::Input input;
    event::Value* fields =
        nullptr;  // one per field of the route's program; the engine fills in those it knows itself
    double cost = 0;
    double now = 0;  // seconds since 1970
};

// Why a query cannot be decided: bad input, told to the caller, never a silent ALLOW.
enum class Fault : std::uint8_t { none, time, values, width, cost, keys };

// Where and why a decision failed, and whether the policy's failure section then refuses the query.
struct GuardError {
    log::Stage stage = log::Stage::decision;
    log::Failure kind = log::Failure::internal;
    bool closed = false;
};

struct Decision {
    std::optional<GuardError> failed;  // then it is neither an ALLOW nor a BLOCK in any count
    Action action = Action::allow;
    Action would = Action::allow;  // what shadow rules would have given
    log::Step step = log::Step::none;
    rule::Phase phase = rule::Phase::request;
    bool committed = false;  // counts as volume and history
    event::InputKind input = event::InputKind::none;
    bool continuous = false;  // flips between near inputs are evidence
    bool by_key = false;      // the track belongs to a cluster by an infrastructure key
    std::uint8_t signal_count = 0;
    std::uint16_t rule_count = 0;
    std::uint16_t step_index = 0;  // index of the limit, response or allow entry of `step`
    std::uint16_t allowed_by = 0xFFFF;
    std::uint32_t rows = 1;
    std::uint64_t constraints = 0;  // bits of the policy's constraints in force
    std::uint64_t sequence = 0;
    std::uint64_t track_tag = 0;
    std::uint64_t principal_tag = 0;
    track::SlotRef slot;
    std::uint64_t history_tag = 0;  // of the track that keeps the history: this one, or a cluster's
    // Where the history keeps the query, for record(): outcomes of so many rows from a ticket on.
    track::HotRef hot;
    std::uint32_t ticket = 0;
    std::uint32_t remembered = 0;
    double now = 0;
    // For record(): the declared cost, the input's size (track::cost_size), and whether the cost is still to
    // be told, by exchange: many may record one decision, and it counts once.
    double cost = 0;
    std::uint8_t cost_size = 0;
    mutable std::uint8_t cost_due = 0;
    // Likewise whether the answer is still to be told to the principal's record: 1 if it is an error, 2
    // anyway.
    mutable std::uint8_t status_due = 0;
    double retry_after = 0;  // for a BLOCK by limit, rate or standing decision; 0 unknown
    std::array<std::uint16_t, rule_limit> rules;
    std::array<double, signal_limit> signals;  // in the order of the route program's signals(phase)
};

struct Answer {
    const event::Value* label = nullptr;
    std::span<const double> scores;
    std::string_view text;
    bool has_text = false;
    double cost = -1;  // negative: unknown
    int status = 200;
    double now = 0;
    event::Value* fields = nullptr;  // as Query::fields
};

class Engine;
struct Prompt;
struct PromptBefore;

// Known probes and allowed templates of a policy, hashed with the region's seed.
struct KnownPrompts {
    std::vector<std::uint64_t> probes;
    std::vector<std::uint64_t> digests;   // of the probes' normalised texts, the low halves
    std::vector<std::uint16_t> families;  // of the probes
    std::vector<std::uint64_t> allowed;
    std::vector<track::Outline> allowed_outlines;
};

// A policy bound to one route, with everything the hot path needs looked up.
struct Binding {
    struct Plan {
        signal::Signal signal;
        signal::Scope scope;
        std::uint8_t horizon;  // index of the window among the region's horizons
        std::uint8_t place;    // of the value in Decision::signals
        double window;
    };
    struct Plans {
        std::vector<Plan> of[signal::source_count];  // by signal::Source
        std::uint8_t count = 0;
        // What the signals are of a track of which nothing is known: evidence 0, the others missing.
        std::array<double, signal_limit> of_no_state;
    };
    policy::RoutePolicy route;
    Plans plans[rule::phase_count];
    std::vector<track::WindowShape> limit_shapes;  // one per route.limits
    std::uint64_t model_tag = 0;
    std::uint64_t policy_id = 0;
    track::ModelReferences* references = nullptr;  // null: more models than the region has room for
    track::ScaleSample* scale_sample = nullptr;
    bool reads_input = false;  // some signal needs the sketch
    bool reads_evidence = false;
    // Those that the model's baseline leaves on.
    evidence::Components evidence_on = evidence::every_component;
    bool reads_answers = false;    // some signal needs labels or scores
    bool reads_cost = false;       // some signal needs what requests cost
    double cost_window = 0;        // the shortest that api.cost_amplification is read over; 0: it is not
    track::Wanted wanted;          // what observing has to find out
    bool learns_scale = false;     // the policy declares none for this model
    bool reads_principal = false;  // some signal counts over all models of a principal
    bool reads_global = false;
    bool reads_twins = false;       // some signal compares whole rows
    bool reads_budget = false;      // some signal is about the model's budget, and it has one
    bool reads_parameters = false;  // some signal is about the parameters of language models
    bool reads_templates = false;
    bool reads_probes = false;
    bool reads_template_share = false;
    bool reads_blocks = false;         // some signal compares blocks of prompts
    bool reads_neighbours = false;     // some signal is about inputs near other principals'
    bool reads_principal_use = false;  // some signal is about where principals go
    bool reads_recon = false;
    bool reads_distinct = false;  // some signal is about how many inputs there were
    bool reads_labels = false;    // or how many labels
    bool reads_margins = false;   // or how sure the model was
    bool reads_baseline = false;  // some signal compares a track with its own past
    track::Place place;
    KnownPrompts known;
    int field_principal = -1, field_session = -1, field_calibrated = -1, field_text = -1, field_cost = -1,
        field_rows = -1;
    int field_status = -1, field_http_status = -1, field_label = -1, field_answer = -1, field_messages = -1,
        field_answer_cost = -1;
    int field_cluster_keys = -1;
    int field_logprobs = -1, field_top_logprobs = -1, field_logit_bias = -1;
    // Numbers of names in the log.
    std::uint32_t log_policy = 0, log_model = 0, log_route = 0, log_method = 0, log_endpoint = 0;
    std::vector<std::uint32_t> log_limits, log_responses, log_allow;
    std::vector<std::uint16_t> log_signals[rule::phase_count];  // of each plan, in the log policy's list
    std::vector<std::uint64_t> rule_signals;  // per rule: which plans it reads, one bit each

    std::uint32_t log_step(const Decision& decision) const noexcept;
};

// One (model, method, endpoint). It follows reloads: current() binds again when the engine's policy has
// changed. One thread at a time; make one per thread, they are cheap.
class Route {
  public:
    Route(Engine& engine, std::string model, std::string method, std::string endpoint);
    const std::shared_ptr<const Binding>& current();
    Engine& engine() noexcept { return engine_; }
    const std::string& model() const noexcept { return model_; }
    const std::string& method() const noexcept { return method_; }
    const std::string& endpoint() const noexcept { return endpoint_; }

  private:
    Engine& engine_;
    std::string model_, method_, endpoint_;
    std::uint64_t generation_ = 0;
    std::shared_ptr<const Binding> binding_;
};

class Engine {
  public:
    Engine(std::shared_ptr<const policy::Policy> policy, const log::Policy& names, const Config& config);
    ~Engine();

    // Fetches the track's place in the index while the caller still builds its query. Returns the query's
    // principal_tag.
    std::uint64_t expect(const Binding& binding, std::string_view principal) const noexcept;
    // `binding` is what route.current() returned; the decision refers to it.
    Fault decide(const Binding& binding, const Query& query, Decision& decision) noexcept;
    // What a query gets on which no decision could be made: ALLOW, or BLOCK when closed. It is counted and
    // logged as such, and is no volume.
    void fail(const Binding& binding, const Query& query, const GuardError& error,
              Decision& decision) noexcept;
    // A decision on the answer when a response rule matched. False otherwise.
    bool record(const Binding& binding, const Decision& decision, const Answer& answer,
                Decision& response) noexcept;

    // Every catalogued signal of a track now, NaN when missing; nothing when the track is not known.
    // `window`: 0 for 5m.
    std::optional<std::array<double, signal::signal_count>> signals(std::string_view principal,
                                                                    std::string_view model, double now) const;

    // Throws base::Error when the policy needs windows that the region does not have; then the old one stays.
    void reload(std::shared_ptr<const policy::Policy> policy, const log::Policy& names);
    std::shared_ptr<const policy::Policy> policy() const;
    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
    std::shared_ptr<const Binding> bind(const std::string& model, const std::string& method,
                                        const std::string& endpoint);

    // From here on the observations behind the evidence are counted, in this process: what a baseline is made
    // of. To be called before the first decision. Takes memory for every principal that it counts.
    void take_census() { census_ = std::make_unique<evidence::Census>(); }
    // What a principal's queries to a model have shown, per component.
    evidence::Census::Counts census(std::string_view principal, std::string_view model) const;

    std::uint64_t sketch_seed() const noexcept { return sketch_seed_; }

    base::Region& region() noexcept { return region_; }
    const track::TrackTable& tracks() const noexcept { return tracks_; }
    const std::vector<double>& horizons() const noexcept { return horizons_; }
    log::Log* log() noexcept { return log_.get(); }
    std::string decision_id(std::uint64_t sequence) const;
    std::string commitment(std::string_view name) const;
    bool close();  // flushes and closes the log

  private:
    struct Pass;
    static base::RegionSpec region_spec(const policy::Policy& policy, const Config& config);
    static std::uint32_t hot_slabs(const Config& config) noexcept;

    void name_for_log(Binding& binding, const std::string& model, const std::string& method,
                      const std::string& endpoint);
    track::ModelReferences* references_of(std::uint64_t model_tag, track::ScaleSample** sample);
    const track::ModelReferences* find_references(std::uint64_t model_tag) const noexcept;
    bool allows(const Pass& pass, const policy::AllowEntry& entry) const noexcept;
    void check_allowed(Pass& pass) const noexcept;
    const policy::AllowEntry* exemption(const Pass& pass, std::uint16_t rule) const noexcept;
    bool check_standing(Pass& pass) noexcept;
    void end_standing(const Pass& pass) noexcept;
    bool check_limits(Pass& pass) noexcept;
    Fault read_input(Pass& pass) noexcept;
    void read_signals(Pass& pass, rule::Phase phase) noexcept;
    void match_rules(Pass& pass, rule::Phase phase) noexcept;
    void respond(Pass& pass) noexcept;
    std::uint64_t due_responses(const Pass& pass,
                                const policy::RoutePolicy::RuleEffect& effect) const noexcept;
    static void wait_for(Pass& pass, std::uint64_t responses) noexcept;
    void apply_rate(Pass& pass) noexcept;
    void commit(Pass& pass) noexcept;
    void promote(track::TrackTable::Track& track, double now, bool telling) noexcept;
    void commit_input(Pass& pass) noexcept;
    double logprob_harvest(const Pass& pass, bool pending) const noexcept;
    void commit_parameters(Pass& pass) noexcept;
    double twin_records(Pass& pass, bool pending) noexcept;
    void commit_twins(Pass& pass) noexcept;
    static double budget_spent(const track::TrackTable::Track& track,
                               const track::TrackTable::Track& keeper) noexcept;
    double budget_used(const Pass& pass, bool pending) const noexcept;
    void spend_budget(const track::TrackTable::Track& track, double rows) noexcept;
    void commit_budget(Pass& pass) noexcept;
    KnownPrompts known_prompts(const Binding& binding) const;
    void read_prompts(Pass& pass) const noexcept;
    void find_template(const Binding& binding, const PromptBefore& before, Prompt& prompt) const noexcept;
    void read_prompt_signals(Pass& pass, bool pending) const noexcept;
    double prompt_signal(signal::Signal signal, const track::PromptUse& use,
                         const std::optional<track::TemplateTable::Found>& found, std::uint64_t pending,
                         std::span<const std::uint16_t> families, double now) const noexcept;
    void commit_prompts(Pass& pass) noexcept;
    struct Keys {
        std::array<std::uint64_t, key_limit> hashes;
        std::size_t count = 0;
    };
    bool read_keys(const Binding& binding, const event::Value& field, Keys& keys) const noexcept;
    void show_keys(Pass& pass, std::span<const std::uint64_t> keys) noexcept;
    void open_cluster(Pass& pass) noexcept;
    std::optional<track::TrackTable::Track> cluster_of(const track::TrackTable::Track& track,
                                                       double now) const noexcept;
    void visit_neighbours(Pass& pass, const track::Sketch& sketch, const track::Observation& seen) noexcept;
    void link(const Pass& pass, std::uint64_t other) noexcept;
    static evidence::Reading member_reading(std::span<const std::uint64_t, track::evidence_words> own,
                                            std::span<const std::uint64_t, track::evidence_words> cluster,
                                            double now, bool row, bool by_key,
                                            evidence::Components on) noexcept;
    static void count_input(const Pass& pass, const track::Sketch& sketch,
                            track::DailyDistinct& inputs) noexcept;
    void read_answer_signals(Pass& pass, bool pending) const noexcept;
    void tell_profile(const Binding& binding, const Decision& decision, track::HotTrack& hot,
                      const track::Answered& answered, bool original) noexcept;
    void read_principal_signals(Pass& pass, bool pending) noexcept;
    std::optional<bool> varies_bias(const Pass& pass) const noexcept;
    void commit_principal(Pass& pass) noexcept;
    double baseline_shift(const Pass& pass, bool pending) noexcept;
    double begin_hour(const Pass& pass, track::BaselineNote before, std::uint32_t hour) noexcept;
    void tell_baseline(const track::TrackTable::Track& track, double cost) noexcept;
    double block_signal(const Pass& pass) const noexcept;
    bool is_alike(const Pass& pass, const track::PromptWindows::Blocks& blocks) const noexcept;
    evidence::Observations count_for_block(const Pass& pass, const track::Sketch& sketch,
                                           bool ordinary) noexcept;
    void tell_principal(const Binding& binding, const Decision& decision, const Answer& answer) noexcept;
    void make_standing(Pass& pass) noexcept;
    void take_back_limits(Pass& pass) noexcept;
    std::uint64_t limit_tag(const Pass& pass, const policy::Limit& limit, std::uint16_t index) const noexcept;
    void observe_batch(Pass& pass) noexcept;
    static std::size_t sequence_row(std::size_t i, std::size_t rows) noexcept;
    static const track::Head* head_of(const Pass& pass, const track::Wanted& wanted) noexcept;
    track::ShapeStep shape_of(const Pass& pass, const track::Shapes& shapes, const track::Sketch& sketch,
                              const track::Observation& seen, const track::Wanted& wanted) const noexcept;
    static double shape_signal(signal::Signal signal, const track::Shapes& shapes,
                               const track::ShapeStep& pending) noexcept;
    evidence::Observations counted_of(const Binding& binding, std::uint64_t principal_tag,
                                      const evidence::Observations& seen) noexcept;
    void add_evidence(const Binding& binding, std::uint64_t principal_tag,
                      const track::TrackTable::Track& track, track::HotTrack& hot,
                      const evidence::Observations& observed, double now) noexcept;
    bool tell_history(const Binding& binding, const Decision& decision, const track::TrackTable::Track& track,
                      const Answer& answer) noexcept;
    static track::Observation observe(const Pass& pass, std::size_t row, const track::Sketch& sketch,
                                      const track::HotSlab& history, const track::Wanted& wanted) noexcept;
    void tell_cost(const Binding& binding, const Decision& decision, track::TrackTable::Track& track,
                   const Answer& answer) noexcept;
    Fault make_sketch(const Pass& pass, std::size_t row, track::Sketch& sketch) const noexcept;
    void finish(Pass& pass) noexcept;
    void write_log(Pass& pass) noexcept;
    log::Commitment commitment_of(const Pass& pass) noexcept;
    track::TrackTable::Track open_shared(const Pass& pass, signal::Scope scope) noexcept;

    Config config_;
    std::vector<double> horizons_;
    base::Region region_;
    track::TrackTable tracks_;
    track::LimitTable limits_;
    track::TwinTable twins_;
    track::TemplateTable templates_;
    track::NearIndex near_index_;
    track::PrincipalClusters clusters_;
    track::ClusterKeys cluster_keys_;
    track::PrincipalTable principals_;
    track::BaselineTable baselines_;
    std::uint64_t key_seed_;
    std::uint64_t sketch_seed_;
    track::CoveragePlanes coverage_planes_;
    track::FourierMap fourier_;
    log::Salt salt_{};
    std::unique_ptr<log::Hmac> commitments_;
    std::unique_ptr<log::DecisionIds> ids_;
    std::unique_ptr<log::Log> log_;
    std::atomic<std::uint64_t> unlogged_sequence_{0};
    std::unique_ptr<evidence::Census> census_;  // null: none is taken

    mutable std::mutex policy_mutex_;
    std::shared_ptr<const policy::Policy> policy_;
    std::uint32_t log_policy_ = 0;
    std::atomic<std::uint64_t> generation_{1};
};

}  // namespace atlascore::engine
