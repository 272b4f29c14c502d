#include "atlascore/engine/prompts.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "atlascore/base/bits.hpp"
#include "atlascore/base/hash.hpp"
#include "atlascore/engine/pass.hpp"
#include "atlascore/simd/kernels.hpp"

namespace atlascore::engine {
namespace {

using signal::Signal;
using Found = std::optional<track::TemplateTable::Found>;

static_assert(prompt_limit == sequence_rows);

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
// A principal is young so long after its track's first prompt.
constexpr double youth_seconds = 7.0 * 86'400.0;
// Young principals who make a template a campaign's.
constexpr double campaign_principals = 5;
// Length of a generation of a track's templates.
constexpr double template_seconds = 86'400.0;
// So many different known probes a day are curiosity.
constexpr std::uint32_t free_probes = 4;

// The nearest of some hashes, if it is within 3 bits; the first of equal ones.
std::optional<std::uint32_t> nearest(std::uint64_t hash, const std::vector<std::uint64_t>& among) noexcept {
    constexpr std::size_t batch = 64;
    std::uint32_t distances[batch];
    std::optional<std::uint32_t> best;
    std::uint32_t least = track::template_distance + 1;
    for (std::size_t first = 0; first < among.size(); first += batch) {
        const std::size_t count = std::min(batch, among.size() - first);
        simd::hamming(hash, among.data() + first, count, distances);
        for (std::size_t i = 0; i < count; ++i) {
            if (distances[i] >= least) continue;
            least = distances[i];
            best = static_cast<std::uint32_t>(first + i);
        }
    }
    return best;
}

// The entry that a prompt is: one with the same normalised text, else the nearest template.
std::optional<std::uint32_t> probe_of(const KnownPrompts& known, std::uint64_t hash,
                                      const track::Sketch* sketch) noexcept {
    if (sketch != nullptr) {
        const auto equal = std::find(known.digests.begin(), known.digests.end(), sketch->digest.low);
        if (equal != known.digests.end()) return static_cast<std::uint32_t>(equal - known.digests.begin());
    }
    return nearest(hash, known.probes);
}

// What stands for a principal in registers.
std::uint64_t member(std::uint64_t principal_tag) noexcept {
    return base::mix64(principal_tag, 0x796f756e67) | 1;
}

}  // namespace

KnownPrompts Engine::known_prompts(const Binding& binding) const {
    KnownPrompts known;
    track::TemplateScratch scratch;
    track::TextScratch text;
    track::Sketch sketch;
    const policy::Spec& spec = binding.route.policy->spec();
    for (const policy::Probe& probe : spec.probes) {
        if (!binding.reads_probes) break;
        track::sketch_text(probe.text, sketch_seed_, text, sketch);
        known.probes.push_back(track::template_hash(probe.text, sketch_seed_, scratch));
        known.digests.push_back(sketch.digest.low);
        known.families.push_back(probe.family);
    }
    if (binding.route.model == nullptr) return known;
    for (const std::string& allowed : binding.route.model->templates) {
        track::Outline& outline = known.allowed_outlines.emplace_back();
        known.allowed.push_back(track::template_hash(allowed, sketch_seed_, scratch, &outline));
    }
    return known;
}

// `before`: what the track's previous prompt was.
void Engine::find_template(const Binding& binding, const PromptBefore& before,
                           Prompt& prompt) const noexcept {
    const KnownPrompts& known = binding.known;
    prompt.allowed = nearest(prompt.hash, known.allowed).has_value();
    // Where only masked parts differ, the prompts' own hash is their template.
    const bool goes_on = base::count_bits(prompt.hash ^ before.name) <= track::template_distance;
    const auto grams = track::shared_grams(prompt.outline, before.marks);
    if (grams && !prompt.allowed && !goes_on) {
        prompt.hash = track::template_hash(*grams, sketch_seed_);
        prompt.allowed = std::any_of(known.allowed_outlines.begin(), known.allowed_outlines.end(),
                                     [&](const auto& outline) { return track::has_grams(outline, *grams); });
    }
    prompt.name = prompt.hash;
    if (!prompt.allowed) prompt.found = templates_.find(prompt.hash);
    if (prompt.found) prompt.name = prompt.found->hash;
}

void Engine::read_prompts(Pass& pass) const noexcept {
    const event::Input& input = pass.query.input;
    if (input.kind != event::InputKind::text) return;
    const Binding& binding = pass.binding;
    PromptBefore before{};
    if (const auto use = tracks_.prompts(pass.track.hot)) before = {use->newest(), use->marks_before()};
    pass.prompts = std::min(input.rows, prompt_limit);
    for (std::size_t i = 0; i < pass.prompts; ++i) {
        const std::string_view text =
            input.texts.empty() ? input.text : input.texts[sequence_row(i, input.rows)];
        Prompt& prompt = pass.thread.prompts[i];
        prompt.found.reset();
        prompt.probe.reset();
        prompt.allowed = false;
        prompt.hash = prompt.name = track::template_hash(text, sketch_seed_, pass.thread.templates,
                                                         binding.reads_templates ? &prompt.outline : nullptr);
        if (binding.reads_probes) prompt.probe = probe_of(binding.known, prompt.hash, pass.sketch);
        if (!binding.reads_templates) continue;
        find_template(binding, before, prompt);
        before = {prompt.name, track::marks_of(prompt.outline)};
    }
}

// `pending`: a principal that counts as one of the template's; 0 for none.
double Engine::prompt_signal(Signal signal, const track::PromptUse& use, const Found& found,
                             std::uint64_t pending, std::span<const std::uint16_t> families,
                             double now) const noexcept {
    switch (signal) {
        case Signal::template_principals:
            return use.newest() == 0 ? missing : templates_.young(found, pending, now);
        case Signal::template_share:
            return use.template_share(now);
        case Signal::known_probes:
            return use.known_probes(families, now);
        default:
            return missing;
    }
}

// `pending`: the prompts of the query under way count.
void Engine::read_prompt_signals(Pass& pass, bool pending) const noexcept {
    const std::optional<track::PromptUse> kept = tracks_.prompts(pass.track.hot);
    const std::size_t count = pending ? pass.prompts : 0;
    if (!kept && count == 0) return;
    const Binding& binding = pass.binding;
    const double now = pass.track.newest;
    track::PromptUse use = kept.value_or(track::PromptUse{});
    const std::uint32_t probes = binding.reads_recon ? use.distinct_probes(now) : 0;
    for (std::size_t i = 0; i < count; ++i) {
        const Prompt& prompt = pass.thread.prompts[i];
        if (binding.reads_template_share && !prompt.duplicate)
            use.try_template(prompt.name, template_seconds, now);
        if (prompt.probe) use.add_probe(*prompt.probe, now);
        use.set_newest(prompt.allowed ? 0 : prompt.name);
    }
    if (binding.reads_recon && count != 0) {
        const std::uint32_t known = use.distinct_probes(now);
        if (known > free_probes) pass.recon.add(evidence::Component::probe, known > probes);
    }
    const Prompt* const newest = count == 0 ? nullptr : &pass.thread.prompts[count - 1];
    const Found found = newest != nullptr ? newest->found : templates_.find(use.newest());
    const double first = tracks_.first_prompt(pass.track);
    const bool young = first == 0 || now - first < youth_seconds;
    const std::uint64_t sender = newest != nullptr && young ? member(pass.principal_tag) : 0;
    const auto phase = pending ? rule::Phase::request : rule::Phase::response;
    for (const Binding::Plan& plan : binding.plans[static_cast<std::size_t>(phase)]
                                         .of[static_cast<std::size_t>(signal::Source::prompts)]) {
        pass.decision.signals[plan.place] =
            prompt_signal(plan.signal, use, found, sender, binding.known.families, now);
    }
}

// Prompts give their track a slab, whatever else is read.
void Engine::commit_prompts(Pass& pass) noexcept {
    const Binding& binding = pass.binding;
    const double now = pass.query.now;
    tracks_.set_first_prompt(pass.track, now);
    const bool young = now - tracks_.first_prompt(pass.track) < youth_seconds;
    if (!pass.track.hot) tracks_.warm(pass.track, now, true);
    track::PromptUse* const use = tracks_.claim_prompts(pass.track.hot);
    for (std::size_t i = 0; i < pass.prompts; ++i) {
        Prompt& prompt = pass.thread.prompts[i];
        evidence::Observations shared;
        if (binding.reads_templates && !prompt.allowed) {
            const auto found = templates_.visit(prompt.hash, prompt.found, now);
            if (young) templates_.add_young(found, member(pass.principal_tag), now);
            prompt.name = found.hash;
            if (binding.reads_neighbours && !prompt.duplicate)
                shared.add(evidence::Component::shared_template,
                           templates_.young(found, 0, now) >= campaign_principals);
        }
        if (track::HotTrack* hot = tracks_.hot(pass.track.hot))
            add_evidence(pass.binding, pass.principal_tag, pass.track, *hot, shared, now);
        if (use == nullptr) continue;
        if (binding.reads_template_share && !prompt.duplicate)
            use->add_template(prompt.name, template_seconds, now);
        if (prompt.probe) use->add_probe(*prompt.probe, now);
        use->set_newest(prompt.allowed ? 0 : prompt.name);
        if (binding.reads_templates) use->set_before(track::marks_of(prompt.outline));
    }
}

}  // namespace atlascore::engine
