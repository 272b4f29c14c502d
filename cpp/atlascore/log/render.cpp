#include "atlascore/log/render.hpp"

#include <algorithm>
#include <cmath>
#include <span>

namespace atlascore::log {

// What a decision entry leaves out to fit.
struct Renderer::Trim {
    std::size_t rules = max_rules;      // rules written
    std::size_t explained = max_rules;  // the first of them that keep their signals
    bool endpoint = true;
    bool method = true;
    bool constraints = true;

    // One step further; false when nothing is left to drop.
    bool next(std::size_t matched) noexcept {
        if (explained > 0) {
            explained = std::min(explained, matched);
            explained -= explained > 0;
        } else if (rules > 4) {
            rules = 4;
        } else if (endpoint) {
            endpoint = false;
        } else if (method) {
            method = false;
        } else if (constraints) {
            constraints = false;
            rules = 0;
        } else {
            return false;
        }
        return true;
    }
};

namespace {

// Members in the caller's order, which is the canonical one.
class Object {
  public:
    explicit Object(std::string& out) : out_(out) { out_ += '{'; }
    std::string& member(std::string_view name) {
        out_ += first_ ? "\"" : ",\"";
        first_ = false;
        out_ += name;
        out_ += "\":";
        return out_;
    }
    void text(std::string_view name, std::string_view plain) {
        member(name) += '"';
        out_ += plain;
        out_ += '"';
    }
    void integer(std::string_view name, std::int64_t value) { append_integer(member(name), value); }
    void name(std::string_view member_name, const std::string& json) {
        if (!json.empty()) {
            member(member_name) += json;
        }
    }
    void commitment(std::string_view name, const Commitment& commitment) {
        if (commitment != Commitment{}) {
            member(name) += '"';
            append_hex(out_, commitment.data(), commitment.size());
            out_ += '"';
        }
    }
    std::string& raw() noexcept { return out_; }  // to go on with the value of the last member
    void close() { out_ += '}'; }

  private:
    std::string& out_;
    bool first_ = true;
};

std::string_view action_name(Action action) {
    return action_names[static_cast<std::size_t>(action) & 3];
}

bool printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

// The positions of the record's rules in the order of the entry: action descending, then id. A rule that the
// policy does not know is left out.
struct RuleOrder {
    std::array<std::uint8_t, max_rules> positions;
    std::size_t size = 0;

    RuleOrder(const Record& record, const PolicyNames& policy) {
        const std::span<const PolicyNames::Rule> rules = policy.rules();
        for (std::uint8_t i = 0; i < std::min<std::size_t>(record.rule_count, max_rules); ++i) {
            if (record.rules[i].rule < rules.size()) {
                positions[size++] = i;
            }
        }
        std::sort(positions.begin(), positions.begin() + size, [&](std::uint8_t a, std::uint8_t b) {
            const MatchedRule &x = record.rules[a], &y = record.rules[b];
            return x.action != y.action ? x.action > y.action : rules[x.rule].id < rules[y.rule].id;
        });
    }
};

void append_techniques(Object& entry, const Record& record, const PolicyNames& policy,
                       const RuleOrder& order) {
    std::vector<std::uint16_t> all;
    for (std::size_t i = 0; i < order.size; ++i) {
        const auto& techniques = policy.rules()[record.rules[order.positions[i]].rule].techniques;
        all.insert(all.end(), techniques.begin(), techniques.end());
    }
    if (all.empty()) {
        return;
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::string& out = entry.member("atlas");
    char separator = '[';
    for (const std::uint16_t technique : all) {
        out += separator;
        out += policy.techniques()[technique];
        separator = ',';
    }
    out += ']';
    entry.name("atlas_release", policy.atlas_release());
}

void append_constraints(Object& entry, std::uint64_t mask, const PolicyNames& policy) {
    std::string_view previous;
    char separator = '{';
    for (const PolicyNames::Constraint& constraint : policy.constraints()) {
        if ((mask & constraint.bit) == 0 || constraint.name == previous) {
            continue;
        }
        previous = constraint.name;
        std::string& out = separator == '{' ? entry.member("constraints") : entry.raw();
        out += separator;
        out += constraint.member;
        separator = ',';
    }
    if (separator == ',') {
        entry.raw() += '}';
    }
}

// The signals that the rule at `position` read, in byte order of their names.
void append_signals(Object& rule, const Record& record, std::uint8_t position, const PolicyNames& policy) {
    const std::span<const PolicyNames::Signal> names = policy.signals();
    std::array<const ObservedSignal*, max_signals> read;
    std::size_t size = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(record.signal_count, max_signals); ++i) {
        const ObservedSignal& signal = record.signals[i];
        if ((signal.rules >> position & 1) != 0 && signal.signal < names.size() &&
            std::isfinite(signal.value)) {
            read[size++] = &signal;
        }
    }
    std::stable_sort(read.begin(), read.begin() + size,
                     [&](const ObservedSignal* a, const ObservedSignal* b) {
                         return names[a->signal].rank < names[b->signal].rank;
                     });
    if (size == 0) {
        return;
    }
    std::string& out = rule.member("signals");
    char separator = '{';
    for (std::size_t i = 0; i < size; ++i) {
        if (i > 0 && names[read[i]->signal].rank == names[read[i - 1]->signal].rank) {
            continue;
        }
        out += separator;
        out += names[read[i]->signal].json;
        out += ":\"";
        append_real(out, read[i]->value);
        out += '"';
        separator = ',';
    }
    out += '}';
}

void append_rules(Object& entry, const Record& record, const PolicyNames& policy, const RuleOrder& order,
                  std::size_t limit, std::size_t explained) {
    const std::size_t size = std::min(order.size, limit);
    if (size == 0) {
        return;
    }
    std::string& out = entry.member("rules");
    for (std::size_t i = 0; i < size; ++i) {
        const std::uint8_t position = order.positions[i];
        const MatchedRule& matched = record.rules[position];
        out += i == 0 ? '[' : ',';
        Object rule(out);
        rule.text("action", action_name(matched.action));
        rule.name("id", policy.rules()[matched.rule].json);
        rule.text("mode", mode_names[static_cast<std::size_t>(matched.mode)]);
        if (i < explained) {
            append_signals(rule, record, position, policy);
        }
        rule.close();
    }
    out += ']';
}

}  // namespace

Renderer::Renderer(std::uint64_t instance, std::int64_t mono_start, const Names& names,
                   const Policies& policies)
    : mono_start_(mono_start), names_(names), policies_(policies) {
    instance_ = '"';
    append_hex64(instance_, instance);
    instance_ += '"';
}

void Renderer::decision(std::string& out, std::uint64_t sequence, const Record& record) const {
    const std::size_t start = out.size();
    Trim trim;
    do {
        out.resize(start);
        decision(out, sequence, record, trim);
    } while (out.size() - start > max_decision && trim.next(record.rule_count));
}

void Renderer::decision(std::string& out, std::uint64_t sequence, const Record& record,
                        const Trim& trim) const {
    static const PolicyNames unknown{Policy{}};
    const PolicyNames* found = policies_.find(record.policy);
    const PolicyNames& policy = found ? *found : unknown;
    const RuleOrder order(record, policy);

    Object entry(out);
    entry.text("action", action_name(record.action));
    entry.name("allowed_by", names_.json(record.allowed_by));
    append_techniques(entry, record, policy, order);
    if (trim.constraints) {
        append_constraints(entry, record.constraints, policy);
    }
    if (trim.endpoint) {
        entry.name("endpoint", names_.json(record.endpoint));
    }
    if (record.guard_error) {
        entry.text("failure", record.closed ? "closed" : "open");
        Object guard(entry.member("guard"));
        guard.text("kind", failure_names[static_cast<std::size_t>(record.failure)]);
        guard.text("stage", stage_names[static_cast<std::size_t>(record.stage)]);
        guard.close();
    }
    entry.name("inst", instance_);
    entry.text("kind", "decision");
    entry.integer("lat", record.latency);
    if (trim.method) {
        entry.name("method", names_.json(record.method));
    }
    entry.name("model", names_.json(record.model));
    entry.integer("mono", (record.mono - mono_start_) / 1'000);
    if (record.guard_error) {
        entry.text("outcome", "guard_error");
    }
    entry.text("phase", phase_names[static_cast<std::size_t>(record.phase) & 1]);
    if (found) {
        entry.name("policy", policy.hash());
    }
    entry.commitment("principal", record.principal);
    entry.integer("prod", producer);
    entry.integer("pseq", static_cast<std::int64_t>(sequence));
    if (record.request_size != 0 && printable(record.request_id())) {
        append_json_string(entry.member("req"), record.request_id());
    }
    entry.name("route", names_.json(record.route));
    if (record.rows > 1) {
        entry.integer("rows", record.rows);
    }
    append_rules(entry, record, policy, order, trim.rules, trim.explained);
    entry.commitment("session", record.session);
    entry.member("simulated") += record.simulated ? "true" : "false";
    if (record.step != Step::none) {
        entry.text("step", step_names[static_cast<std::size_t>(record.step)]);
        entry.name("step_name", names_.json(record.step_name));
    }
    entry.integer("t", record.t);
    if (record.trimmed || trim.explained != max_rules) {
        entry.member("trimmed") += "true";
    }
    entry.integer("v", 1);
    if (record.simulated) {
        entry.text("would", action_name(record.would));
    }
    entry.close();
}

void Renderer::notice(std::string& out, std::uint64_t sequence, std::string_view kind, std::int64_t t,
                      std::int64_t mono, Members members) const {
    members["v"] = "1";
    members["kind"] = json_string(kind);
    members["t"] = std::to_string(t);
    members["mono"] = std::to_string((mono - mono_start_) / 1'000);
    members["inst"] = instance_;
    members["prod"] = "0";
    members["pseq"] = std::to_string(sequence);
    append_object(out, members);
}

}  // namespace atlascore::log
