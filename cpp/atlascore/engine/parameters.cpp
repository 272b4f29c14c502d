#include "atlascore/engine/parameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {
namespace {

using event::Value;
using event::ValueKind;

// A longer list counts its repeated tokens as it gives them.
constexpr std::size_t set_limit = 1024;
// Varied calls on one prompt from which a track keeps its slab when others want it, and is suspect.
constexpr double telling_calls = 16, suspicious_calls = 50;

bool is_above_zero(const Value& value) noexcept {
    switch (value.kind) {
        case ValueKind::int64:
            return value.int64 > 0;
        case ValueKind::uint64:
            return value.uint64 > 0;
        case ValueKind::real:
            return value.real > 0;
        default:
            return false;
    }
}

std::uint64_t hash_id(std::uint64_t id, std::uint64_t seed) noexcept {
    return base::hash64(&id, sizeof id, seed);
}

template <class Use>
void use_token(const Value& value, std::uint64_t seed, const Use& use) noexcept {
    if (value.kind == ValueKind::int64 && value.int64 >= 0) {
        use(hash_id(static_cast<std::uint64_t>(value.int64), seed));
    } else if (value.kind == ValueKind::uint64) {
        use(hash_id(value.uint64, seed));
    } else if (value.kind == ValueKind::real && value.real >= 0 && value.real < 0x1p63 &&
               value.real == std::floor(value.real)) {
        use(hash_id(static_cast<std::uint64_t>(value.real), seed));
    } else if (value.kind == ValueKind::text && value.size != 0) {
        std::uint64_t id = 0;
        const char* end = value.text + value.size;
        const auto read = std::from_chars(value.text, end, id);
        const bool is_number = read.ec == std::errc() && read.ptr == end;
        use(is_number ? hash_id(id, seed) : base::hash64(value.as_text(), seed));
    }
}

// `use` gets a hash of each token.
template <class Use>
void each_token(const Value& biased, std::uint64_t seed, const Use& use) noexcept {
    if (biased.kind != ValueKind::array) return use_token(biased, seed, use);
    for (std::uint32_t i = 0; i < biased.size; ++i) use_token(biased.items[i], seed, use);
}

// Of the set: neither order nor repetition matters. 0 for none. Not inlined, because a call without
// parameters should not pay for its large frame.
[[gnu::noinline]] std::uint64_t hash_of_set(const Value& biased, std::uint64_t seed) noexcept {
    std::array<std::uint64_t, set_limit> hashes;
    std::size_t count = 0;
    std::uint64_t sum = 0;
    each_token(biased, seed, [&](std::uint64_t hash) {
        if (count < set_limit) {
            hashes[count++] = hash;
        } else {
            sum += hash;
        }
    });
    if (count == 0) return 0;
    std::sort(hashes.begin(), hashes.begin() + count);
    const auto end = std::unique(hashes.begin(), hashes.begin() + count);
    for (auto hash = hashes.begin(); hash != end; ++hash) sum += *hash;
    return sum | 1;
}

}  // namespace

Parameters read_parameters(const Binding& binding, const Value* fields, std::uint64_t seed) noexcept {
    Parameters out;
    const Value& logprobs = fields[binding.field_logprobs];
    const Value& top = fields[binding.field_top_logprobs];
    const Value& biased = fields[binding.field_logit_bias];
    if (biased.kind != ValueKind::missing) out.tokens = hash_of_set(biased, seed);
    if (out.tokens != 0) out.biased = &biased;
    out.asked = out.tokens != 0 || (logprobs.kind == ValueKind::boolean && logprobs.boolean) ||
                is_above_zero(logprobs) || is_above_zero(top);
    return out;
}

void add_parameters(const Parameters& parameters, const event::Input& input, std::uint64_t seed,
                    std::uint64_t owner, double now, track::LogprobHarvest& harvest) noexcept {
    if (parameters.biased != nullptr) {
        each_token(*parameters.biased, seed,
                   [&](std::uint64_t hash) { harvest.add_token(hash, owner, now); });
    }
    const auto add = [&](std::uint64_t prompt) { harvest.add_call(prompt, parameters.tokens, owner, now); };
    if (input.kind == event::InputKind::digest) {
        add(input.digest.low);
    } else if (input.kind == event::InputKind::text && input.texts.empty()) {
        add(base::hash64(input.text, seed));
    } else if (input.kind == event::InputKind::text) {
        for (const std::string_view text : input.texts) add(base::hash64(text, seed));
    }
}

// NaN for a track without such calls. `pending`: the query under way counts.
double Engine::logprob_harvest(const Pass& pass, bool pending) const noexcept {
    const track::HotTrack* slab = tracks_.hot(pass.track.hot);
    const bool any = slab != nullptr && !slab->harvest.empty();
    const double now = pass.track.newest;
    if (!pending || !pass.parameters.asked) {
        return any ? slab->harvest.value(pass.track.tag, now) : std::numeric_limits<double>::quiet_NaN();
    }
    track::LogprobHarvest tried = any ? slab->harvest.copy() : track::LogprobHarvest{};
    add_parameters(pass.parameters, pass.query.input, sketch_seed_, pass.track.tag, pass.query.now, tried);
    return tried.value(pass.track.tag, now);
}

// A call with parameters gives its track a slab, whatever else it carries.
void Engine::commit_parameters(Pass& pass) noexcept {
    if (!pass.track.hot) tracks_.warm(pass.track, pass.query.now, true);
    track::HotTrack* slab = tracks_.hot(pass.track.hot);
    if (slab == nullptr) return;
    add_parameters(pass.parameters, pass.query.input, sketch_seed_, pass.track.tag, pass.query.now,
                   slab->harvest);
    const double varied = slab->harvest.varied_calls(pass.track.newest);
    if (varied >= telling_calls) tracks_.promote(pass.track, pass.query.now, true);
    if (varied >= suspicious_calls && tracks_.keys().kept(pass.track.slot.index) < track::Keep::suspect) {
        tracks_.keep(pass.track, track::Keep::suspect);
    }
}

}  // namespace atlascore::engine
