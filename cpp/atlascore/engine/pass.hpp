// Everything about the query under way: shared by the stages of decide(), by record() and by the log.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "atlascore/engine/engine.hpp"
#include "atlascore/engine/parameters.hpp"
#include "atlascore/engine/thread_state.hpp"
#include "atlascore/evidence/process.hpp"

namespace atlascore::engine {

// Everything about the query under way.
struct Engine::Pass {
    const Binding& binding;
    const policy::Spec& policy;
    const Query& query;
    Decision& decision;
    ThreadState& thread;

    Pass(const Binding& on, const Query& asked, Decision& answer)
        : binding(on),
          policy(on.route.policy->spec()),
          query(asked),
          decision(answer),
          thread(ThreadState::mine()) {}

    std::int64_t started = 0;  // monotonic ns, only with a log
    std::uint64_t principal_tag = 0;
    track::TrackTable::Track track{};
    track::TrackTable::Track cluster{};  // that the track is a member of
    bool clustered = false;
    bool by_key = false;             // an infrastructure key of the query says so
    track::HotTrack* hot = nullptr;  // of keeper()
    bool allowed = false;            // some allow entry is about this caller
    bool allowed_limits = false;     // one of them exempts from limits
    track::Standing standing{};
    bool standing_active = false;
    double rate = 0;                        // strictest rate among the constraints in force
    std::uint64_t responses = 0;            // that fired and are enforced
    bool delays = false;                    // a BLOCK is called for and not due
    const track::Sketch* sketch = nullptr;  // of the only input; null for none and for a batch
    bool batch = false;
    std::uint32_t duplicates = 0;               // rows of the query that were sent before
    std::span<const track::TwinKey> twin_keys;  // of the only row
    track::Observation observation{};
    const track::HotSlab* history = nullptr;                          // what summaries are read from
    const track::Shapes* shapes = nullptr;                            // as `history`
    track::ShapeStep shape;                                           // of the only input
    std::array<std::uint64_t, track::evidence_words> evidence{};      // of keeper(), this query included
    std::array<std::uint64_t, track::evidence_words> own_evidence{};  // of a member of a cluster
    bool has_evidence = false;                                        // some of it is not zero
    evidence::Observations observed;                                  // of the only input
    Parameters parameters;                                            // of the call to a language model
    track::DailyDistinct inputs;                                      // of a batch and before
    track::PrincipalTable::Record principal;           // of the principal's record, where it is read
    evidence::Observations recon;                      // for that
    std::size_t prompts = 0;                           // so many of the thread's are of this call
    std::uint64_t limits_reserved = 0;                 // one bit for each of the route's limits
    std::array<double, route_limit_count> counted_at;  // by those

    // The track that the inputs are remembered under: a cluster's, so that what its members send is seen
    // together.
    track::TrackTable::Track& keeper() noexcept { return clustered ? cluster : track; }
    const track::TrackTable::Track& keeper() const noexcept { return clustered ? cluster : track; }

    std::uint64_t rows() const noexcept { return decision.rows; }
    bool enforced() const noexcept { return policy.mode == policy::Mode::enforce; }
    void limit_rate(double to_rate) noexcept {
        if (to_rate > 0) rate = rate == 0 ? to_rate : std::min(rate, to_rate);
    }
    void raise(Action action, log::Step step, std::uint16_t index) noexcept {
        if (action <= decision.action) return;
        decision.action = action;
        decision.step = step;
        decision.step_index = index;
    }
};

}  // namespace atlascore::engine
