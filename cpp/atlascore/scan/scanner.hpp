// Replays logs through an engine: what is replayed is what is enforced, at the events' own times.
//
//     files --> readers --> earliest event --> Engine::decide, Engine::record --> findings
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "atlascore/engine/engine.hpp"
#include "atlascore/scan/json_lines.hpp"

namespace atlascore::scan {

class Scanner {
  public:
    // Told of each line that is no event, or one that cannot be decided: file, 1-based line, reason.
    using BadLine = std::function<void(const std::string& file, std::uint64_t line, std::string_view reason)>;

    struct Result {
        const std::string* file = nullptr;
        const ScanEvent* event = nullptr;
        std::shared_ptr<const engine::Binding> binding;
        std::size_t route =
            0;  // number of the event's (model, method, endpoint); stable for the scanner's life
        engine::Decision decision;
        bool has_answer = false;  // a response rule matched
        engine::Decision answer;

        bool finding() const noexcept {
            return decision.rule_count != 0 || decision.would > engine::Action::allow || has_answer;
        }
    };

    // The engine must outlive the scanner and keep its policy. Throws base::SystemError when a file cannot be
    // opened.
    Scanner(engine::Engine& engine, const std::vector<std::string>& files, BadLine bad_line);

    // The next event in event-time order, decided; null at the end. Views into it are valid until the next
    // call.
    const Result* next();
    // The same, skipping events that are no finding, `events` of them at most: null also when it has seen
    // that many.
    const Result* next_finding(std::uint64_t events);
    bool ended() const noexcept { return ended_; }

    struct Counts {
        std::uint64_t lines = 0, events = 0, bad = 0, late = 0;
    };
    Counts counts() const noexcept;
    // Files that have lines, none of which was an event so far.
    std::vector<std::string> unreadable() const;

  private:
    struct Source {
        std::string file;
        std::unique_ptr<JsonLinesReader> reader;
        std::uint64_t undecided = 0;  // of the reader's events
    };
    struct BoundRoute {
        engine::Route route;
        std::vector<int> slots;  // per field of the route's program: its index among the fields that are read
        BoundRoute(engine::Engine& engine, std::string model, std::string method, std::string endpoint);
        bool is_of(const ScanEvent& event) const noexcept;
    };

    Source* earliest();
    bool decide(Source& source, const ScanEvent& event);
    std::size_t route_of(const ScanEvent& event);
    bool input_of(const ScanEvent& event, const policy::Model* model, event::Input& input, std::string& why);
    bool row_of(const ScanEvent& event, const policy::Model* model, event::Input& input, std::string& why);
    void add_cell(const Cell& cell, bool categorical, std::uint32_t row, std::uint32_t column);

    engine::Engine& engine_;
    std::shared_ptr<const policy::Policy> policy_;
    BadLine bad_line_;
    std::vector<Source> sources_;
    std::deque<BoundRoute> routes_;
    std::unordered_map<std::string, std::size_t> route_numbers_;
    std::string key_;
    std::vector<event::Value> fields_;
    std::vector<float> numbers_;
    std::vector<event::Category> categories_;
    bool ended_ = false;
    Result result_;
};

}  // namespace atlascore::scan
