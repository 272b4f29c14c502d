#include "atlascore/policy/policy.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"

namespace atlascore::policy {
namespace {

constexpr double rate_horizon = 10;  // api.request_rate looks back this far
constexpr std::size_t horizon_limit = 8;

std::vector<double> horizons_of(const rule::Program& program) {
    std::vector<double> horizons{rate_horizon};
    for (const rule::Phase phase : {rule::Phase::request, rule::Phase::response}) {
        for (const rule::SignalRef& signal : program.signals(phase)) {
            if (signal.signal == signal::Signal::request_count) horizons.push_back(signal.window);
        }
    }
    std::sort(horizons.begin(), horizons.end());
    horizons.erase(std::unique(horizons.begin(), horizons.end()), horizons.end());
    if (horizons.size() > horizon_limit) {
        std::string list;
        for (const double horizon : horizons)
            list += " " + std::to_string(static_cast<std::uint64_t>(horizon)) + "s";
        throw base::Error("the rules use more than 8 windows, that of api.request_rate included:" + list);
    }
    return horizons;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
            ++p, ++t;
        } else if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

bool any_match(const std::vector<std::string>& patterns, std::string_view text) noexcept {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& p) { return glob_match(p, text); });
}

bool Selector::matches(std::string_view model, std::string_view route) const noexcept {
    return (models.empty() || any_match(models, model)) && (routes.empty() || any_match(routes, route));
}

Policy::Policy(Spec spec) : spec_(std::move(spec)) {
    static std::atomic<std::uint64_t> next{1};
    id_ = next.fetch_add(1, std::memory_order_relaxed);
    if (!spec_.program) throw base::Error("a policy needs a rule program");
    if (spec_.rules.size() != spec_.program->rule_count()) {
        throw base::Error("the policy names " + std::to_string(spec_.rules.size()) +
                          " rules, the program has " + std::to_string(spec_.program->rule_count()));
    }
    if (spec_.responses.size() > response_limit) {
        throw base::Error("a policy may have 64 responses at most, not " +
                          std::to_string(spec_.responses.size()));
    }
    if (spec_.constraints.size() > constraint_limit) {
        throw base::Error("the responses use more than 64 different constraints");
    }
    if (spec_.probes.size() > probe_limit) {
        throw base::Error("a dictionary of probes may have 4095 entries at most, not " +
                          std::to_string(spec_.probes.size()));
    }
    const auto check_rule = [&](std::uint16_t rule, const std::string& where) {
        if (rule >= spec_.rules.size()) throw base::Error(where + " names a rule that does not exist");
    };
    for (const Response& response : spec_.responses) {
        for (const std::uint16_t rule : response.rules) check_rule(rule, "response " + response.name);
    }
    for (const AllowEntry& entry : spec_.allow) {
        for (const std::uint16_t rule : entry.rules) check_rule(rule, "allow entry " + entry.name);
    }
    for (const Limit& limit : spec_.limits) {
        if (limit.max == 0 || !(limit.window > 0))
            throw base::Error("limit " + limit.name + " needs max and window above 0");
    }
    horizons_ = horizons_of(*spec_.program);
}

std::shared_ptr<const Policy> Policy::make(Spec spec) {
    return std::shared_ptr<const Policy>(new Policy(std::move(spec)));
}

std::uint32_t BlockDelay::queries(double uniform) const noexcept {
    if (p >= 1) return 1;
    const double drawn = 1 + std::floor(std::log1p(-uniform) / std::log1p(-p));
    return static_cast<std::uint32_t>(std::clamp(drawn, 1.0, static_cast<double>(max)));
}

std::uint32_t Model::evidence_off(std::string_view model) const noexcept {
    for (const auto& [name, off] : measured_off) {
        if (name == model) return off;
    }
    return others_off;
}

const Model* Policy::model(std::string_view name) const noexcept {
    const auto& models = spec_.models;
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const Model& entry) { return glob_match(entry.pattern, name); });
    return found == models.end() ? nullptr : &*found;
}

RoutePolicy Policy::bind(std::string_view model, std::string_view method, std::string_view route) const {
    RoutePolicy bound;
    bound.policy = shared_from_this();
    const rule::Constants constants{{"api.model", std::string(model)},
                                    {"api.method", std::string(method)},
                                    {"api.endpoint", std::string(route)},
                                    {"logsource.product", "llm_gateway"},
                                    {"logsource.category", "api_activity"}};
    bound.program = spec_.program->bind(constants);
    bound.model = this->model(model);
    for (const RuleMode& rule : spec_.rules) {
        RoutePolicy::RuleEffect effect;
        effect.mode = std::min(rule.mode, spec_.mode);
        effect.conditional =
            !rule.excluded_principals.empty() || rule.expires != std::numeric_limits<double>::infinity();
        const bool somewhere = !rule.excluded.models.empty() || !rule.excluded.routes.empty();
        if (somewhere && rule.excluded.matches(model, route)) effect.mode = Mode::off;
        bound.rules.push_back(effect);
    }
    for (std::size_t i = 0; i < spec_.responses.size(); ++i) {
        const Response& response = spec_.responses[i];
        if (!response.where.matches(model, route)) continue;
        const std::uint64_t bit = std::uint64_t{1} << i;
        if (response.duration) bound.lasting |= bit;
        if (response.rate > 0 && !response.delay) bound.rated |= bit;
        for (const std::uint16_t rule : response.rules) {
            RoutePolicy::RuleEffect& effect = bound.rules[rule];
            if (response.delay) {
                effect.delayed |= bit;
                continue;
            }
            effect.action = std::max(effect.action, response.action);
            effect.responses |= bit;
            effect.constraints |= response.constraints;
        }
    }
    for (std::size_t i = 0; i < spec_.limits.size(); ++i) {
        if (spec_.limits[i].where.matches(model, route))
            bound.limits.push_back(static_cast<std::uint16_t>(i));
    }
    for (std::size_t i = 0; i < spec_.allow.size(); ++i) {
        if (spec_.allow[i].where.matches(model, route)) bound.allow.push_back(static_cast<std::uint16_t>(i));
    }
    return bound;
}

std::uint32_t Policy::mark(const Response& response) noexcept {
    return static_cast<std::uint32_t>(base::hash64(response.name, 0) & 0xFFFFF);
}

const Response* Policy::marked(std::uint32_t wanted) const noexcept {
    for (const Response& response : spec_.responses) {
        if (response.duration && mark(response) == wanted) return &response;
    }
    return nullptr;
}

}  // namespace atlascore::policy
