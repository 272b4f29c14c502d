// The end of every decision: counters and the log.
#include <charconv>
#include <cstring>

#include "atlascore/base/clock.hpp"
#include "atlascore/engine/pass.hpp"

namespace atlascore::engine {
namespace {

// An adapter that took the principal from a secret hands over its commitment: `commitment:` and 32 hex
// digits.
std::optional<log::Commitment> committed(std::string_view principal) noexcept {
    constexpr std::string_view prefix = "commitment:";
    log::Commitment out{};
    if (!principal.starts_with(prefix) || principal.size() != prefix.size() + 2 * out.size())
        return std::nullopt;
    const char* digits = principal.data() + prefix.size();
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (std::from_chars(digits + 2 * i, digits + 2 * i + 2, out[i], 16).ptr != digits + 2 * i + 2)
            return std::nullopt;
    }
    return out;
}

}  // namespace

void Engine::finish(Pass& pass) noexcept {
    Decision& decision = pass.decision;
    region_.add(decision.failed ? base::Counter::guard_errors : static_cast<base::Counter>(decision.action));
    if (decision.would > decision.action) region_.add(base::Counter::simulated);
    if (log_) {
        write_log(pass);
    } else {
        decision.sequence = unlogged_sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
    }
}

// The principal's commitment, which its track remembers.
log::Commitment Engine::commitment_of(const Pass& pass) noexcept {
    log::Commitment commitment{};
    std::uint8_t* cached = pass.track.words != nullptr ? tracks_.commitment(pass.track) : nullptr;
    if (cached != nullptr) std::memcpy(commitment.data(), cached, commitment.size());
    if (commitment != log::Commitment{} || pass.query.principal.empty()) return commitment;
    commitment = committed(pass.query.principal).value_or(commitments_->commit(pass.query.principal));
    if (cached != nullptr && tracks_.holds(pass.track))
        std::memcpy(cached, commitment.data(), commitment.size());
    return commitment;
}

void Engine::write_log(Pass& pass) noexcept {
    Decision& decision = pass.decision;
    const Binding& binding = pass.binding;
    log::Record record;
    record.t = base::wall_microseconds();
    record.mono = base::monotonic_nanoseconds();
    record.latency =
        static_cast<std::uint32_t>(std::min<std::int64_t>(record.mono - pass.started, 0xFFFFFFFF));
    record.constraints = decision.constraints;
    record.principal = commitment_of(pass);
    if (!pass.query.session.empty()) record.session = commitments_->commit(pass.query.session);
    record.policy = binding.log_policy;
    record.model = binding.log_model;
    record.route = binding.log_route;
    record.method = binding.log_method;
    record.endpoint = binding.log_endpoint;
    record.rows = decision.rows;
    record.action = static_cast<log::Action>(decision.action);
    record.would = static_cast<log::Action>(decision.would);
    record.simulated = decision.would > decision.action;
    record.phase = static_cast<log::Phase>(decision.phase);
    record.step = decision.step;
    record.step_name = binding.log_step(decision);
    record.allowed_by = decision.allowed_by == 0xFFFF ? 0 : binding.log_allow[decision.allowed_by];
    record.trimmed = decision.rule_count > log::max_rules;
    record.rule_count = static_cast<std::uint8_t>(std::min<std::size_t>(decision.rule_count, log::max_rules));
    std::uint64_t signals_read = 0;
    for (std::uint8_t i = 0; i < record.rule_count; ++i) {
        const auto& effect = binding.route.rules[decision.rules[i]];
        const auto mode = effect.mode == policy::Mode::enforce ? log::Mode::enforce : log::Mode::shadow;
        record.rules[i] = {decision.rules[i], static_cast<log::Action>(effect.action), mode};
        signals_read |= binding.rule_signals[decision.rules[i]];
    }
    const auto& log_signals = binding.log_signals[static_cast<std::size_t>(decision.phase)];
    for (; signals_read != 0 && record.signal_count < log::max_signals; signals_read &= signals_read - 1) {
        const auto i = static_cast<std::size_t>(__builtin_ctzll(signals_read));
        std::uint16_t readers = 0;
        for (std::uint8_t r = 0; r < record.rule_count; ++r) {
            readers |= static_cast<std::uint16_t>((binding.rule_signals[decision.rules[r]] >> i & 1) << r);
        }
        record.signals[record.signal_count++] = {decision.signals[i], log_signals[i], readers};
    }
    if (!pass.query.request_id.empty() && pass.query.request_id.size() <= log::max_request_id) {
        record.request_size = static_cast<std::uint8_t>(pass.query.request_id.size());
        std::memcpy(record.request, pass.query.request_id.data(), pass.query.request_id.size());
    }
    if (decision.failed) {
        record.guard_error = true;
        record.stage = decision.failed->stage;
        record.failure = decision.failed->kind;
        record.closed = decision.failed->closed;
    }
    decision.sequence = log_->push(record);
}

void Engine::fail(const Binding& binding, const Query& query, const GuardError& error,
                  Decision& decision) noexcept {
    Pass pass(binding, query, decision);
    if (log_) pass.started = base::monotonic_nanoseconds();
    decision.failed = error;
    decision.now = query.now;
    decision.action = decision.would = error.closed ? Action::block : Action::allow;
    finish(pass);
}

}  // namespace atlascore::engine
