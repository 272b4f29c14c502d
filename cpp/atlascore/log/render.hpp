// Records and notices to entries: one canonical JSON object each, without a final newline.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "atlascore/log/format.hpp"
#include "atlascore/log/json.hpp"
#include "atlascore/log/names.hpp"

namespace atlascore::log {

class Renderer {
  public:
    // `mono_start`: the monotonic clock, in nanoseconds, when the instance began. The tables outlive the
    // renderer.
    Renderer(std::uint64_t instance, std::int64_t mono_start, const Names& names, const Policies& policies);

    // Appends a `decision` entry of at most max_decision bytes. Over it, members go in this order: the
    // signals of the lowest-action rules, rules beyond 4, endpoint, method, and then constraints and rules.
    void decision(std::string& out, std::uint64_t sequence, const Record& record) const;

    // Appends an entry of the writer itself (producer 0). `members` are those besides the common ones.
    void notice(std::string& out, std::uint64_t sequence, std::string_view kind, std::int64_t t,
                std::int64_t mono, Members members) const;

  private:
    struct Trim;
    void decision(std::string& out, std::uint64_t sequence, const Record& record, const Trim& trim) const;

    std::string instance_;  // sixteen hex digits with quotes
    std::int64_t mono_start_;
    const Names& names_;
    const Policies& policies_;
};

}  // namespace atlascore::log
