// What one thread needs to decide without allocating: made at its first call under a policy, reused after.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "atlascore/engine/prompts.hpp"
#include "atlascore/engine/twins.hpp"
#include "atlascore/rule/program.hpp"
#include "atlascore/track/minhash.hpp"
#include "atlascore/track/recent.hpp"
#include "atlascore/track/shapes.hpp"
#include "atlascore/track/sketch.hpp"

namespace atlascore::engine {

struct ThreadState {
    track::TextScratch text;
    track::HotSlab batch;  // a private copy of a track's history, for the rows of a batch
    track::Shapes shapes;  // and of its shapes
    track::Sketch sketches[2];
    track::Head head;                                   // that the query under way would leave
    std::vector<float> row = std::vector<float>(4096);  // scaled numbers of a row
    TwinScratch twins;
    track::TemplateScratch templates;
    track::FourierFeatures features;
    std::array<Prompt, prompt_limit> prompts;  // of the call

    // The scratch of the policy's program. A thread that serves several engines keeps the last four.
    rule::Scratch& scratch(std::uint64_t policy_id, const rule::Program& program);

    static ThreadState& mine();

  private:
    struct Entry {
        std::uint64_t policy_id = 0;
        std::unique_ptr<rule::Scratch> scratch;
    };
    Entry entries_[4];
    unsigned next_ = 0;
};

inline rule::Scratch& ThreadState::scratch(std::uint64_t policy_id, const rule::Program& program) {
    for (Entry& entry : entries_) {
        if (entry.policy_id == policy_id) return *entry.scratch;
    }
    Entry& entry = entries_[next_++ % 4];
    entry.scratch = std::make_unique<rule::Scratch>(program);
    entry.policy_id = policy_id;
    return *entry.scratch;
}

inline ThreadState& ThreadState::mine() {
    thread_local const std::unique_ptr<ThreadState> state = std::make_unique<ThreadState>();
    return *state;
}

}  // namespace atlascore::engine
