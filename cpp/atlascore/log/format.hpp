// What the hot path hands to the decision log: one fixed binary record per decision. Names are numbers here
// (see names.hpp); the writer thread turns a record into its JSON entry later, so a decision pays for a copy
// only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "atlascore/policy/policy.hpp"

namespace atlascore::log {

inline constexpr std::size_t max_rules = 16;        // matched rules of one entry
inline constexpr std::size_t max_signals = 16;      // signals of one record
inline constexpr std::size_t max_request_id = 64;   // bytes
inline constexpr std::size_t max_name = 128;        // bytes; longer names are cut at a code-point border
inline constexpr std::size_t max_decision = 8'192;  // bytes of a decision entry; members are dropped to fit
inline constexpr std::size_t max_entry = 65'535;    // bytes of any other entry; refused above
inline constexpr std::size_t max_constraints = 2'048;  // bytes of the constraints of one policy, together
inline constexpr std::uint16_t producer = 1;           // this process; 0 is the writer itself

// The enumerations are written in the order of their names in an entry.
using policy::Action;
inline constexpr std::array<std::string_view, 4> action_names = {"ALLOW", "LOG", "CONSTRAIN", "BLOCK"};

using rule::Phase;
inline constexpr std::array<std::string_view, 2> phase_names = {"request", "response"};

using policy::Mode;
inline constexpr std::array<std::string_view, 3> mode_names = {"off", "shadow", "enforce"};

// The policy step that decided; none for the default ALLOW.
enum class Step : std::uint8_t { none, operator_, allow, standing, limit, response, approval };
inline constexpr std::array<std::string_view, 7> step_names = {"",      "operator", "allow",   "standing",
                                                               "limit", "response", "approval"};

// Where and why a decision could not be made.
enum class Stage : std::uint8_t {
    event,
    track,
    signal,
    evidence,
    rule,
    policy,
    decision,
    log,
    response,
    approval
};
inline constexpr std::array<std::string_view, 10> stage_names = {
    "event", "track", "signal", "evidence", "rule", "policy", "decision", "log", "response", "approval"};

enum class Failure : std::uint8_t { deadline, parse, region, log, internal };
inline constexpr std::array<std::string_view, 5> failure_names = {"deadline", "parse", "region", "log",
                                                                  "internal"};

using Commitment = std::array<std::uint8_t, 16>;  // all zero: none

struct MatchedRule {
    std::uint16_t rule;  // index into the rules of the record's policy
    Action action;
    Mode mode;
};

struct ObservedSignal {
    double value;          // NaN and infinity are left out of the entry
    std::uint16_t signal;  // index into the signals of the record's policy
    std::uint16_t rules;   // bit i: the record's i-th matched rule read this value
};

// Number 0 stands for "no name" in every *name* member. The arrays are uninitialized beyond their counts.
struct Record {
    std::int64_t t = 0;             // wall clock, microseconds since 1970-01-01 UTC
    std::int64_t mono = 0;          // monotonic clock, nanoseconds
    std::uint64_t constraints = 0;  // bit i: the i-th constraint of the policy is in force
    Commitment principal{};
    Commitment session{};
    std::uint32_t policy = 0;  // number of the policy (Log::add_policy)
    std::uint32_t model = 0;   // names (Log::intern)
    std::uint32_t route = 0;
    std::uint32_t method = 0;
    std::uint32_t endpoint = 0;
    std::uint32_t step_name = 0;    // the policy entry that decided
    std::uint32_t allowed_by = 0;   // the allow-list entry that lowered the action
    std::uint32_t rows = 1;         // queries of the call
    std::uint32_t latency = 0;      // nanoseconds spent in the call
    Action action = Action::allow;  // in force
    Action would = Action::allow;   // the action that shadow rules would have given
    bool simulated = false;         // would > action because of shadow
    bool trimmed = false;           // more rules or signals than the record holds
    Phase phase = Phase::request;
    Step step = Step::none;
    bool guard_error = false;  // the three below have a meaning only then
    bool closed = false;       // the failure section answered closed (BLOCK), else open (ALLOW)
    Stage stage = Stage::event;
    Failure failure = Failure::internal;
    std::uint8_t rule_count = 0;
    std::uint8_t signal_count = 0;
    std::uint8_t request_size = 0;
    char request[max_request_id];  // request id; in the entry only when printable ASCII
    MatchedRule rules[max_rules];
    ObservedSignal signals[max_signals];

    // Bytes that carry something: what is copied into the ring.
    std::size_t used_bytes() const noexcept {
        if (signal_count != 0) {
            return offsetof(Record, signals) + signal_count * sizeof(ObservedSignal);
        }
        if (rule_count != 0) {
            return offsetof(Record, rules) + rule_count * sizeof(MatchedRule);
        }
        return offsetof(Record, request) + request_size;
    }
    std::string_view request_id() const noexcept { return {request, request_size}; }
};
static_assert(std::is_trivially_copyable_v<Record> && std::is_standard_layout_v<Record>);
static_assert(sizeof(Record) <= 496);  // with turn and sequence number, a ring slot is 512 bytes

}  // namespace atlascore::log
