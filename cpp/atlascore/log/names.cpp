#include "atlascore/log/names.hpp"

#include <algorithm>
#include <limits>

#include "atlascore/base/error.hpp"
#include "atlascore/log/format.hpp"
#include "atlascore/log/json.hpp"

namespace atlascore::log {
namespace {

std::string name_json(std::string_view name) {
    return json_string(clean_utf8(name, max_name));
}

std::vector<std::string> sorted_unique(std::vector<std::string> texts) {
    std::sort(texts.begin(), texts.end());
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    return texts;
}

std::uint16_t index_in(const std::vector<std::string>& sorted, const std::string& text) {
    return static_cast<std::uint16_t>(std::lower_bound(sorted.begin(), sorted.end(), text) - sorted.begin());
}

}  // namespace

Names::Names() {
    json_.reserve(capacity);
    json_.emplace_back();
}

std::uint32_t Names::intern(std::string_view name) {
    if (name.empty()) {
        return 0;
    }
    const std::lock_guard lock(mutex_);
    std::string key(name);
    if (const auto found = numbers_.find(key); found != numbers_.end()) {
        return found->second;
    }
    if (json_.size() == capacity) {
        return 0;
    }
    const auto number = static_cast<std::uint32_t>(json_.size());
    json_.push_back(name_json(name));
    numbers_.emplace(std::move(key), number);
    return number;
}

PolicyNames::PolicyNames(const Policy& policy) : atlas_release_(name_json(policy.atlas_release)) {
    hash_ = '"';
    append_hex(hash_, policy.hash.data(), 8);
    hash_ += '"';
    add_rules(policy);
    add_signals(policy);
    add_constraints(policy);
}

void PolicyNames::add_rules(const Policy& policy) {
    if (policy.rules.size() > std::numeric_limits<std::uint16_t>::max()) {
        throw base::Error("a policy has at most 65535 rules; this one has " +
                          std::to_string(policy.rules.size()));
    }
    std::vector<std::string> all;
    for (const Policy::Rule& rule : policy.rules) {
        all.insert(all.end(), rule.techniques.begin(), rule.techniques.end());
    }
    all = sorted_unique(std::move(all));
    for (const Policy::Rule& rule : policy.rules) {
        const std::string id = clean_utf8(rule.id, max_name);
        Rule& named = rules_.emplace_back(Rule{id, json_string(id), {}});
        for (const std::string& technique : sorted_unique(rule.techniques)) {
            named.techniques.push_back(index_in(all, technique));
        }
    }
    for (const std::string& technique : all) {
        techniques_.push_back(name_json(technique));
    }
}

void PolicyNames::add_signals(const Policy& policy) {
    const std::vector<std::string> all = sorted_unique(policy.signals);
    for (const std::string& signal : policy.signals) {
        signals_.push_back({name_json(signal), index_in(all, signal)});
    }
}

void PolicyNames::add_constraints(const Policy& policy) {
    if (policy.constraints.size() > 64) {
        throw base::Error("a policy has at most 64 different constraints; this one has " +
                          std::to_string(policy.constraints.size()));
    }
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < policy.constraints.size(); ++i) {
        const Policy::Constraint& constraint = policy.constraints[i];
        std::string member = json_string(constraint.name) + ':' + constraint.json;
        bytes += member.size() + 1;
        constraints_.push_back({std::move(member), constraint.name, std::uint64_t{1} << i});
    }
    if (bytes > max_constraints) {
        throw base::Error("the constraints of the policy take " + std::to_string(bytes) +
                          " bytes in a log entry, and " + std::to_string(max_constraints) +
                          " fit; shorten their values");
    }
    std::stable_sort(constraints_.begin(), constraints_.end(),
                     [](const Constraint& a, const Constraint& b) { return a.name < b.name; });
}

Policies::Policies() {
    policies_.reserve(capacity);
}

std::uint32_t Policies::add(std::unique_ptr<const PolicyNames> policy) {
    const std::lock_guard lock(mutex_);
    if (policies_.size() == capacity) {
        throw base::Error("a log holds " + std::to_string(capacity) +
                          " policies and no more; restart the process to go on reloading");
    }
    policies_.push_back(std::move(policy));
    const auto number = static_cast<std::uint32_t>(policies_.size());
    size_.store(number, std::memory_order_release);
    return number;
}

const PolicyNames* Policies::find(std::uint32_t number) const noexcept {
    if (number == 0 || number > size_.load(std::memory_order_acquire)) {
        return nullptr;
    }
    return policies_[number - 1].get();
}

}  // namespace atlascore::log
