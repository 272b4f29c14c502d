// The names behind the numbers of a record. Interned names (models, routes, methods, endpoints, policy
// entries) live for the log's life; the names of rules, signals and constraints belong to a policy.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace atlascore::log {

// An append-only table of names. Interning locks; reading does not, because an entry never changes after its
// number was given out, and the table never moves.
class Names {
  public:
    static constexpr std::uint32_t capacity = 65'536;

    Names();

    // The number of `name`: the same for the same bytes, 0 for the empty name, and 0 once the table is full.
    std::uint32_t intern(std::string_view name);

    // The name as a JSON string, cleaned and cut to max_name bytes; empty for number 0.
    const std::string& json(std::uint32_t number) const noexcept { return json_[number]; }

    std::mutex& mutex() noexcept { return mutex_; }

  private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::uint32_t> numbers_;
    std::vector<std::string> json_;  // reserved once, so that readers need no lock
};

// A policy as the log has to know it: what its numbers mean, and what is written when it takes effect.
struct Policy {
    struct File {
        std::string name;
        std::string sha256;  // hex
    };
    struct Rule {
        std::string id;
        std::vector<std::string> techniques;
    };
    struct Constraint {
        std::string name;  // scores, max_tokens ...
        std::string json;  // its value, canonical JSON
    };
    std::array<std::uint8_t, 32> hash{};  // the policy_hash
    std::string mode;                     // enforce or shadow
    std::string atlas_release;            // 2026.09
    std::string by;                       // who loaded it; may be empty
    std::vector<File> files;
    std::vector<Rule> rules;              // a record's rule numbers index this
    std::vector<std::string> signals;     // a record's signal numbers index this; a name may occur twice
    std::vector<Constraint> constraints;  // at most 64; of those with one name the first in force is written
};

// A policy prepared for rendering: every text is JSON already, every order decided.
class PolicyNames {
  public:
    struct Rule {
        std::string id;                         // bare, for ordering
        std::string json;                       // with quotes
        std::vector<std::uint16_t> techniques;  // indexes into techniques(), ascending
    };
    struct Signal {
        std::string json;
        std::uint16_t rank;  // signals with one name have one rank; ranks ascend in byte order of the names
    };
    struct Constraint {
        std::string member;  // "name":value
        std::string name;
        std::uint64_t bit;
    };

    // Throws base::Error when the policy cannot be logged within the size limits.
    explicit PolicyNames(const Policy& policy);

    const std::string& hash() const noexcept { return hash_; }  // "9f2c4e1a7b3d5068", with quotes
    const std::string& atlas_release() const noexcept { return atlas_release_; }
    std::span<const Rule> rules() const noexcept { return rules_; }
    std::span<const Signal> signals() const noexcept { return signals_; }
    std::span<const Constraint> constraints() const noexcept { return constraints_; }  // by name, then bit
    std::span<const std::string> techniques() const noexcept { return techniques_; }   // JSON, in order

  private:
    void add_rules(const Policy& policy);
    void add_signals(const Policy& policy);
    void add_constraints(const Policy& policy);

    std::string hash_;
    std::string atlas_release_;
    std::vector<Rule> rules_;
    std::vector<Signal> signals_;
    std::vector<Constraint> constraints_;
    std::vector<std::string> techniques_;
};

// The policies that records may name, by number. Numbers start at 1, so that a record without policy is
// visible.
class Policies {
  public:
    static constexpr std::uint32_t capacity = 65'536;

    Policies();
    // Throws base::Error when the table is full.
    std::uint32_t add(std::unique_ptr<const PolicyNames> policy);
    const PolicyNames* find(std::uint32_t number) const noexcept;

    std::mutex& mutex() noexcept { return mutex_; }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<const PolicyNames>> policies_;  // reserved once
    std::atomic<std::uint32_t> size_{0};
};

}  // namespace atlascore::log
