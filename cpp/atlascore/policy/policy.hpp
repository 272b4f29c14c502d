// What follows from matched rules and limits: the compiled form of a policy file (gateways.md section 1).
//
// A Policy is immutable and shared. Binding it to a route (model, endpoint) folds everything that is constant
// there: which rules act and how, which limits and allow entries apply. The hot path reads a RoutePolicy
// only.
#pragma once

#include <bitset>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atlascore/rule/program.hpp"

namespace atlascore::policy {

enum class Action : std::uint8_t { allow, log, constrain, block };
enum class Mode : std::uint8_t { off, shadow, enforce };
enum class Modality : std::uint8_t { any, text, vector, image, tensor, row, digest };

inline constexpr std::size_t response_limit = 64;    // one bit each
inline constexpr std::size_t constraint_limit = 64;  // one bit each

// A standing decision's lifetime: first * factor^(n-1) seconds, at most max; n starts over after `forget`
// without one.
struct Duration {
    double first = 0;
    double factor = 1;
    double max = 0;
    double forget = 0;
};

// Where something applies: names or globs with * and ?; empty means everywhere.
struct Selector {
    std::vector<std::string> models;
    std::vector<std::string> routes;
    bool matches(std::string_view model, std::string_view route) const noexcept;
};

// BLOCK begins so many queries after the first that calls for it: which one gave it away, the caller cannot
// tell. Geometric: every further query ends the delay with probability p, the max-th in any case.
struct BlockDelay {
    double p = 1;
    std::uint32_t max = 1;

    // The delay, at least 1, of a number that is uniform in [0, 1).
    std::uint32_t queries(double uniform) const noexcept;
};

struct Response {
    std::string name;
    std::vector<std::uint16_t> rules;  // program indexes of the rules it answers
    Selector where;
    Action action = Action::log;
    std::uint64_t constraints = 0;  // bits of Policy::constraints
    double rate = 0;                // of the constraints: queries per second; 0 none
    std::optional<Duration> duration;
    std::optional<BlockDelay> delay{};  // then the constraints are what holds until it is over
};

struct Limit {
    std::string name;
    bool per_principal = false;
    bool per_session = false;
    bool per_model = false;
    Selector where;
    bool rows = false;  // counts rows, else calls
    std::uint64_t max = 0;
    double window = 0;  // seconds
    Action action = Action::block;
    std::uint64_t constraints = 0;
    double rate = 0;  // of the constraints: queries per second; 0 none
};

struct AllowEntry {
    std::string name;
    std::vector<std::string> principals;
    Selector where;
    bool limits = false;
    std::vector<std::uint16_t> rules;
    double expires = std::numeric_limits<double>::infinity();
};

struct RuleMode {
    Mode mode = Mode::enforce;
    std::vector<std::string> excluded_principals;
    Selector excluded;  // models or routes on which the rule is off; empty: none
    double expires = std::numeric_limits<double>::infinity();  // after that the policy's own mode applies
};

// A feature of a row.
struct Feature {
    std::string name;
    bool categorical = false;
};

// Of a row: the first 512 columns.
using ColumnSet = std::bitset<512>;

struct Model {
    std::string pattern;
    Modality modality = Modality::any;
    std::vector<std::uint32_t> shape;  // image: height, width, channels
    std::vector<float> centers;        // declared scale: z = (x - center) / scale; one element stands for all
    std::vector<float> inverses;
    std::vector<Feature> features;  // rows, in order
    std::uint32_t scale_epoch = 0;  // 0: nothing declared, the core learns the scale
    // Declared grid of values: origin + k step; one element stands for all; an inverse of 0 for none.
    std::vector<float> grid_origins;
    std::vector<float> grid_steps;
    std::vector<float> grid_inverses;  // 1 / step
    ColumnSet sensitive;               // columns of a row that attribute inference is after
    double extraction_budget = 0;      // queries that a clone takes; 0: not declared
    bool prompts = true;  // its texts may be prompts: it is no classifier, regressor or embedding
    std::vector<std::string> templates;  // prompts whose templates many callers may share
    // Components of evidence that are off, one bit for each: of models that the baseline has measured, and of
    // any other.
    std::vector<std::pair<std::string, std::uint32_t>> measured_off;
    std::uint32_t others_off = 0;

    std::uint32_t evidence_off(std::string_view model) const noexcept;
};

// An entry of the dictionary of known probes.
struct Probe {
    std::string text;
    std::uint16_t family = 0;
};
inline constexpr std::size_t probe_limit = 4095;  // entries of the dictionary: a track keeps 12 bits of each

// A constraint as the log writes it. Of those with one name, the strictest comes first.
struct Constraint {
    std::string name;
    std::string json;
};

struct Spec {
    std::string name;
    Mode mode = Mode::shadow;
    Action unknown_model = Action::allow;
    std::shared_ptr<const rule::Program> program;
    std::vector<RuleMode> rules;  // one per rule of the program
    std::vector<Model> models;    // the first pattern that matches wins
    std::vector<Response> responses;
    std::vector<Limit> limits;
    std::vector<AllowEntry> allow;
    std::vector<Constraint> constraints;
    std::vector<Probe> probes;
};

class Policy;

// The policy on one route.
class RoutePolicy {
  public:
    struct RuleEffect {
        Mode mode = Mode::off;          // off: the rule does not act here
        Action action = Action::allow;  // highest of its responses
        bool conditional = false;       // look at the policy's RuleMode: it excludes principals or expires
        std::uint64_t responses = 0;
        std::uint64_t constraints = 0;
        std::uint64_t delayed = 0;  // responses with a block delay, which are in none of the above
    };
    std::shared_ptr<const Policy> policy;
    std::shared_ptr<const rule::Program> program;  // bound to the route's constants
    const Model* model = nullptr;                  // null: the policy has no entry for it
    std::vector<RuleEffect> rules;
    std::vector<std::uint16_t> limits;  // indexes into the policy's
    std::vector<std::uint16_t> allow;
    std::uint64_t lasting = 0;  // responses with a duration
    std::uint64_t rated = 0;    // responses with a rate
};

class Policy : public std::enable_shared_from_this<Policy> {
  public:
    // Throws base::Error when the specification cannot be run.
    static std::shared_ptr<const Policy> make(Spec spec);

    const Spec& spec() const noexcept { return spec_; }
    std::uint64_t id() const noexcept {
        return id_;
    }  // unique in the process: names caches made for this policy
    // Windows that the rules' signals need, seconds, ascending, without duplicates; at most 8.
    const std::vector<double>& horizons() const noexcept { return horizons_; }

    // `route` is what globs over routes are matched with: the endpoint.
    const Model* model(std::string_view name) const noexcept;  // null: no entry matches
    RoutePolicy bind(std::string_view model, std::string_view method, std::string_view route) const;

    // A response's name in a standing decision: 20 bits of its hash, and back.
    static std::uint32_t mark(const Response& response) noexcept;
    const Response* marked(std::uint32_t mark) const noexcept;

  private:
    explicit Policy(Spec spec);
    Spec spec_;
    std::uint64_t id_;
    std::vector<double> horizons_;
};

// `*` stands for any characters, `?` for one byte; case-sensitive, the whole text.
bool glob_match(std::string_view pattern, std::string_view text) noexcept;
bool any_match(const std::vector<std::string>& patterns, std::string_view text) noexcept;

}  // namespace atlascore::policy
