#include "atlascore/track/track_table.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace atlascore::track {
namespace {

constexpr std::uint32_t newest_word = 1, link_word = 2, standing_word = 3, rate_word = 4, evidence_word = 7,
                        delay_word = 13, prompt_word = 15, ring_word = 16;
// Slabs looked at for one assignment: over all groups, and in one. The first will do unless another thread is
// at work on it.
constexpr int newcomer_looks = 64, group_looks = 4;
constexpr int patient_looks = 2;  // slabs of a full group looked at for who can wait

using Word = std::atomic_ref<std::uint64_t>;

std::uint64_t load(std::uint64_t& word) noexcept {
    return Word(word).load(std::memory_order_acquire);
}

std::uint64_t pack(std::uint32_t index, std::uint32_t generation) noexcept {
    return std::uint64_t{index + 1} << 32 | generation;
}

template <typename T>
T relaxed(T& field) noexcept {
    return std::atomic_ref<T>(field).load(std::memory_order_relaxed);
}
template <typename T>
void relaxed_store(T& field, T value) noexcept {
    std::atomic_ref<T>(field).store(value, std::memory_order_relaxed);
}

}  // namespace

std::vector<std::uint64_t> TrackTable::section_bytes(std::uint64_t capacity, std::uint32_t hot) {
    const std::uint32_t pairs = KeyTable::pairs_for(capacity);
    return {KeyTable::group_bytes(pairs), KeyTable::slot_count(pairs) * record_words * 8,
            64 + std::uint64_t{hot} * sizeof(SlabInfo) + SlabGroups::bytes(hot),
            std::uint64_t{hot} * sizeof(HotTrack)};
}

TrackTable::TrackTable(base::Region& region, std::size_t first_section, std::uint64_t capacity,
                       std::uint32_t hot, std::span<const double> horizons,
                       const EvidenceForm& evidence) noexcept
    : region_(&region),
      form_(evidence),
      keys_(region, region.section(first_section), region.section(first_section + 1),
            KeyTable::pairs_for(capacity), record_words, ring_word),
      infos_(reinterpret_cast<SlabInfo*>(region.section(first_section + 2) + 64)),
      hot_tracks_(reinterpret_cast<HotTrack*>(region.section(first_section + 3))),
      groups_(reinterpret_cast<std::uint64_t*>(region.section(first_section + 2)),
              region.section(first_section + 2) + 64 + std::uint64_t{hot} * sizeof(SlabInfo), hot),
      slabs_(hot) {
    const auto n = static_cast<std::uint32_t>(horizons.size());
    const std::uint32_t coarse = cold_ring_words / n;
    const std::uint32_t fine = std::min(WindowTable::buckets, hot_ring_words / n);
    for (std::uint32_t i = 0; i < n; ++i) {
        cold_.push_back(WindowShape::make(horizons[i], coarse, ring_word + i * coarse));
        fine_.push_back(WindowShape::make(horizons[i], fine, i * fine));
    }
}

TrackTable::Track TrackTable::open(std::uint64_t tag, double now, bool prefetched) noexcept {
    Track track;
    track.tag = tag;
    track.slot = keys_.find_or_insert(tag, prefetched);
    track.words = keys_.words(track.slot.index);
    for (std::uint32_t word = ring_word; word < record_words; word += 8)
        __builtin_prefetch(track.words + word);
    track.hot = linked(track.words);
    track.newest = std::max(now, std::bit_cast<double>(relaxed(track.words[newest_word])));
    return track;
}

std::optional<TrackTable::Track> TrackTable::look(std::uint64_t tag, double now) const noexcept {
    Track track;
    track.tag = tag;
    track.slot = keys_.find(tag);
    if (!track.slot) return std::nullopt;
    track.words = keys_.words(track.slot.index);
    track.hot = linked(track.words);
    track.newest = std::max(now, std::bit_cast<double>(relaxed(track.words[newest_word])));
    return track;
}

double TrackTable::count(const Track& track, std::size_t horizon) const noexcept {
    const WindowShape& cold = cold_[horizon];
    std::uint64_t* coarse = track.words + cold.first_word;
    const Moment moment(cold, track.newest);
    const WindowShape& fine = fine_[horizon];
    HotTrack* slab = hot(track.hot);
    const bool watched =
        slab != nullptr && std::bit_cast<double>(relaxed(slab->watched_since)) <= track.newest - fine.horizon;
    if (!watched || window_oldest(coarse, cold, track.slot.generation, moment) == 0) {
        return window_look(coarse, cold, track.slot.generation, moment).interpolated();
    }
    return window_look(slab->rings + fine.first_word, fine, track.hot.generation, Moment(fine, track.newest))
        .interpolated();
}

bool TrackTable::add(Track& track, double now, std::uint64_t n) noexcept {
    track.newest = newest_time(track.words[newest_word], now);
    HotTrack* slab = hot(track.hot);
    const auto count_in = [&](std::uint64_t* rings, const WindowShape& shape, std::uint32_t generation) {
        const Moment newest(shape, track.newest);
        const Moment moment = now == track.newest ? newest : Moment(shape, now);
        return window_add(rings + shape.first_word, generation, moment, newest, n);
    };
    bool in_time = true;
    for (std::size_t i = 0; i < cold_.size(); ++i) {
        const Added added = count_in(track.words, cold_[i], track.slot.generation);
        if (added == Added::full) region_->add(base::Counter::overflow);
        in_time &= added != Added::late;
        if (slab != nullptr && added == Added::counted) count_in(slab->rings, fine_[i], track.hot.generation);
    }
    if (!in_time) region_->add(base::Counter::late);
    return in_time;
}

HotRef TrackTable::linked(const std::uint64_t* words) const noexcept {
    const std::uint64_t link = load(const_cast<std::uint64_t&>(words[link_word]));
    if (link == 0) return {};
    const HotRef ref{static_cast<std::uint32_t>(link >> 32) - 1, static_cast<std::uint32_t>(link)};
    return ref.slab < slabs_ && hot(ref) != nullptr ? ref : HotRef{};
}

SlabUse TrackTable::use_of(const HotRef& ref) const noexcept {
    return static_cast<SlabUse>(relaxed(infos_[ref.slab].use));
}

HotTrack* TrackTable::claim_use(const HotRef& ref, SlabUse use) const noexcept {
    HotTrack* slab = hot(ref);
    if (slab == nullptr) return nullptr;
    std::uint8_t before = 0;
    const auto mine = static_cast<std::uint8_t>(use);
    const bool first = std::atomic_ref(infos_[ref.slab].use)
                           .compare_exchange_strong(before, mine, std::memory_order_relaxed);
    return first || before == mine ? slab : nullptr;
}

std::optional<TwinCounts> TrackTable::twins(const HotRef& ref) const noexcept {
    const HotTrack* slab = hot(ref);
    if (slab == nullptr) return std::nullopt;
    const SlabUse use = use_of(ref);
    if (use == SlabUse::rows) return slab->twins.copy();
    return use == SlabUse::none ? std::optional(TwinCounts{}) : std::nullopt;
}

std::optional<PromptUse> TrackTable::prompts(const HotRef& ref) const noexcept {
    const HotTrack* slab = hot(ref);
    if (slab == nullptr || use_of(ref) != SlabUse::prompts) return std::nullopt;
    return slab->prompts.copy();
}

PromptUse* TrackTable::claim_prompts(const HotRef& ref) const noexcept {
    HotTrack* slab = claim_use(ref, SlabUse::prompts);
    return slab == nullptr ? nullptr : &slab->prompts;
}

TwinCounts* TrackTable::claim_twins(const HotRef& ref) const noexcept {
    HotTrack* slab = claim_use(ref, SlabUse::rows);
    return slab == nullptr ? nullptr : &slab->twins;
}

bool TrackTable::set_baseline_note(const HotRef& ref, const BaselineNote& before,
                                   const BaselineNote& value) noexcept {
    if (hot(ref) == nullptr) return false;
    std::uint64_t word = before.word();
    return Word(infos_[ref.slab].baseline).compare_exchange_strong(word, value.word());
}

void TrackTable::warm(Track& track, double now, bool seen) noexcept {
    const std::uint64_t link = load(track.words[link_word]);
    if (link != 0 && track.hot) return;
    const std::uint32_t slab = take_newcomer_slab();
    if (slab != SlotRef::none) hand_over(track, slab, link, now, seen);
}

// Takes a slab on probation, of whichever group has its turn. None only where other threads are at work on
// all that it looks at.
std::uint32_t TrackTable::take_newcomer_slab() noexcept {
    for (int look = 0; look < newcomer_looks; ++look) {
        const std::uint32_t slab = groups_.next_newcomer(groups_.next_group());
        if (slab != SlabGroups::none && take_slab(slab)) return slab;
    }
    return SlotRef::none;
}

// A slab that was taken becomes the track's, unless that has been given another since `link` was read.
void TrackTable::hand_over(Track& track, std::uint32_t slab, std::uint64_t link, double now,
                           bool seen) noexcept {
    SlabInfo& info = infos_[slab];
    const std::uint32_t generation = relaxed(info.generation);
    HotTrack& hot_track = hot_tracks_[slab];
    hot_track.similarity.reset(track.tag);
    hot_track.costs.reset();
    hot_track.shared.reset();
    hot_track.shapes.reset();
    hot_track.inputs.reset();
    hot_track.answers.reset();
    relaxed_store(hot_track.principal, std::uint64_t{0});
    hot_track.prompts.reset();  // the larger part of the union, so all of it
    relaxed_store(info.use, std::uint8_t{0});
    relaxed_store(info.baseline, std::uint64_t{0});
    relaxed_store(info.used_at, std::bit_cast<std::uint64_t>(now));
    const std::uint64_t empty_bucket = bucket::make(generation, 0, 0);
    for (std::uint64_t& word : hot_track.rings) Word(word).store(empty_bucket, std::memory_order_relaxed);
    std::uint64_t saved[evidence_words] = {};
    saved_evidence(track, saved);
    for (std::size_t i = 0; i < evidence_words; ++i) relaxed_store(hot_track.evidence[i], saved[i]);
    hot_track.harvest.reset();
    const double since = seen ? now : -std::numeric_limits<double>::infinity();
    Word(hot_track.watched_since).store(std::bit_cast<std::uint64_t>(since), std::memory_order_release);
    Word(info.owner).store(pack(track.slot.index, track.slot.generation), std::memory_order_release);
    if (Word(track.words[link_word]).compare_exchange_strong(link, pack(slab, generation))) {
        track.hot = {slab, generation};
        region_->add(base::Counter::hot_assigned);
    } else {
        Word(info.owner).store(0, std::memory_order_release);  // another thread was first
        track.hot = linked(track.words);
    }
}

bool TrackTable::owner_links_back(std::uint32_t slab, std::uint64_t owner) const noexcept {
    const auto slot = static_cast<std::uint32_t>(owner >> 32) - 1;
    if (slot >= keys_.slots() || keys_.generation(slot) != static_cast<std::uint32_t>(owner)) return false;
    return load(keys_.words(slot)[link_word]) == pack(slab, relaxed(infos_[slab].generation));
}

// Claims a slab on probation and unlinks its former owner. False when it is being taken or has left
// probation.
bool TrackTable::take_slab(std::uint32_t slab) noexcept {
    SlabInfo& info = infos_[slab];
    std::uint64_t owner = load(info.owner);
    if (base::Region::is_claim(owner) && region_->claim_alive(owner)) return false;
    if (!Word(info.owner).compare_exchange_strong(owner, region_->claim())) return false;
    if (groups_.in_main(slab)) {
        Word(info.owner).store(owner, std::memory_order_release);  // promoted since it was chosen
        return false;
    }
    const std::uint32_t generation = relaxed(info.generation);
    if (base::Region::is_claim(owner)) {
        region_->add(base::Counter::claims_recovered);
    } else if (owner != 0) {
        const auto slot = static_cast<std::uint32_t>(owner >> 32) - 1;
        std::uint64_t link = pack(slab, generation);
        save_evidence(slab, owner);
        Word(keys_.words(slot)[link_word]).compare_exchange_strong(link, 0);
        region_->add(base::Counter::hot_recycled);
    }
    // In this order: who promotes the former owner meanwhile sees the generation after its own exchange, or
    // its bit is cleared here.
    std::atomic_ref(info.generation).store(generation + 1, std::memory_order_release);
    groups_.leave_all(slab);
    relaxed_store(info.recency, std::uint8_t{0});
    relaxed_store(info.keep, std::uint8_t{0});
    return true;
}

// To the record of the slab's owner. The generation in the last word that is written ties it to that owner: a
// record that has changed hands meanwhile will not take it for its own.
void TrackTable::save_evidence(std::uint32_t slab, std::uint64_t owner) noexcept {
    const auto slot = static_cast<std::uint32_t>(owner >> 32) - 1;
    const auto generation = static_cast<std::uint32_t>(owner);
    if (form_.pack == nullptr || slot >= keys_.slots() || keys_.generation(slot) != generation) return;
    std::uint64_t words[evidence_words], packed[packed_evidence_words];
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < evidence_words; ++i) any |= words[i] = relaxed(hot_tracks_[slab].evidence[i]);
    if (any == 0) return;
    form_.pack(words, generation, packed);
    std::uint64_t* record = keys_.words(slot) + evidence_word;
    for (std::size_t i = packed_evidence_words; i-- > 0;) {
        Word(record[i]).store(packed[i], std::memory_order_release);
    }
}

bool TrackTable::saved_evidence(const Track& track, std::uint64_t* out) const noexcept {
    if (form_.unpack == nullptr) return false;
    std::uint64_t packed[packed_evidence_words];
    packed[0] = load(track.words[evidence_word]);
    if (packed[0] == 0 || static_cast<std::uint32_t>(packed[0]) != track.slot.generation) return false;
    for (std::size_t i = 1; i < packed_evidence_words; ++i) packed[i] = load(track.words[evidence_word + i]);
    return form_.unpack(packed, track.slot.generation, out);
}

bool TrackTable::evidence(const Track& track, std::span<std::uint64_t, evidence_words> out) const noexcept {
    const HotTrack* slab = hot(track.hot);
    if (slab == nullptr) return saved_evidence(track, out.data());
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < evidence_words; ++i) {
        out[i] = relaxed(const_cast<std::uint64_t&>(slab->evidence[i]));
        any |= out[i];
    }
    return any != 0;
}

bool TrackTable::promoted(const Track& track) const noexcept {
    return track.hot && groups_.in_main(track.hot.slab);
}

void TrackTable::promote(Track& track, double now, bool urgent) noexcept {
    if (promoted(track)) return;
    const Keep worth = std::max(keys_.kept(track.slot.index), Keep::hot);
    const Applicant applicant{track, now, urgent, worth};
    if (!track.hot) {
        enter_with_new_slab(track, applicant);
    } else if (const auto place = find_place(SlabGroups::group_of(track.hot.slab), applicant)) {
        enter_main(track, *place, worth);
    }
}

// A newcomer's slab is taken only when a place is found.
void TrackTable::enter_with_new_slab(Track& track, const Applicant& applicant) noexcept {
    const std::uint64_t link = load(track.words[link_word]);
    const std::uint32_t group = groups_.next_group_to_enter();
    const auto place = find_place(group, applicant);
    if (!place) return;
    for (int look = 0; look < group_looks; ++look) {
        const std::uint32_t slab = groups_.next_newcomer(group);
        if (slab == SlabGroups::none || !take_slab(slab)) continue;
        hand_over(track, slab, link, applicant.now, true);
        return enter_main(track, *place, applicant.worth);
    }
}

// The slab's worth is said before it is in the main part, so that nobody finds it there worth nothing.
void TrackTable::enter_main(const Track& track, std::uint32_t victim, Keep worth) noexcept {
    if (hot(track.hot) == nullptr) return;
    const std::uint32_t slab = track.hot.slab;
    set_worth(slab, worth);
    const SlabGroups::Entry entry = groups_.enter(slab, victim);
    if (entry == SlabGroups::Entry::refused) return;
    if (entry == SlabGroups::Entry::exchanged) count_demotion(victim);
    if (hot(track.hot) == nullptr) {
        groups_.leave(slab);  // it changed hands meanwhile, and its new owner has earned nothing
        return;
    }
    keep(track, worth);
}

// Whose place in the main part of a group the applicant may have: none's where the group has room; no answer
// where it has to wait. What belongs to nobody goes first, then the lowest evidence of Keep::standing while
// that has more than its share, then the lowest worth. Who can wait looks at few slabs and takes only the
// place of a track that had no query within the longest horizon: when more tracks are busy than the pool
// holds, those in it stay.
std::optional<std::uint32_t> TrackTable::find_place(std::uint32_t group,
                                                    const Applicant& applicant) noexcept {
    if (!groups_.full(group)) return SlabGroups::none;
    const bool stands = applicant.worth == Keep::standing;
    const int standing = std::popcount(groups_.standing(group)) + stands;
    std::uint32_t victim = SlabGroups::none;
    if (static_cast<std::uint32_t>(standing) > groups_.standing_room(group)) {
        double lowest = 0;
        victim = least_evident(group, applicant.now, lowest);
        // Of those of Keep::standing it would itself be the one to go.
        if (victim != SlabGroups::none && stands && evidence_total(applicant.track, applicant.now) < lowest)
            return std::nullopt;
    }
    if (victim == SlabGroups::none)
        victim = applicant.urgent ? least_valuable(group) : a_silent_one(group, applicant.now);
    return victim == SlabGroups::none ? std::nullopt : std::optional(victim);
}

template <typename Visit>
void TrackTable::each_lane(std::uint32_t group, std::uint64_t lanes, Visit&& visit) const noexcept {
    for (; lanes != 0; lanes &= lanes - 1) {
        if (!visit(SlabGroups::slab_of(group, static_cast<unsigned>(std::countr_zero(lanes))))) return;
    }
}

// Of equal evidence the one that was used least recently.
std::uint32_t TrackTable::least_evident(std::uint32_t group, double now, double& lowest) noexcept {
    std::uint32_t best = SlabGroups::none;
    double oldest = 0;
    each_lane(group, groups_.standing(group), [&](std::uint32_t slab) {
        if (relaxed(infos_[slab].keep) != static_cast<std::uint8_t>(Keep::standing)) {
            groups_.mark(slab, false);  // it changed hands under a writer
            return true;
        }
        const bool orphan = is_orphan(slab);
        const double total = orphan ? -1 : slab_evidence(slab, now), used = used_at(slab);
        if (best == SlabGroups::none || total < lowest || (total == lowest && used < oldest)) {
            best = slab;
            lowest = total;
            oldest = used;
        }
        return !orphan;
    });
    return best;
}

// By class, then by recency, which is lowered in passing, then by the last use.
std::uint32_t TrackTable::least_valuable(std::uint32_t group) noexcept {
    std::uint32_t best = SlabGroups::none;
    unsigned lowest = ~0u;
    double oldest = 0;
    each_lane(group, groups_.main(group), [&](std::uint32_t slab) {
        if (is_orphan(slab)) {
            best = slab;
            return false;
        }
        const std::uint8_t value = relaxed(infos_[slab].keep);
        groups_.mark(slab, value == static_cast<std::uint8_t>(Keep::standing));  // should a race have lost it
        const unsigned worth = value * 4u + lower_recency(slab);
        const double used = used_at(slab);
        if (worth < lowest || (worth == lowest && used < oldest)) {
            best = slab;
            lowest = worth;
            oldest = used;
        }
        return true;
    });
    return best;
}

std::uint32_t TrackTable::a_silent_one(std::uint32_t group, double now) noexcept {
    std::uint32_t best = SlabGroups::none;
    unsigned lowest = ~0u;
    for (int look = 0; look < patient_looks; ++look) {
        const std::uint32_t slab = groups_.next_in_main(group);
        if (slab == SlabGroups::none) return slab;
        if (used_at(slab) > now - cold_.back().horizon) continue;
        if (is_orphan(slab)) return slab;
        if (relaxed(infos_[slab].keep) > static_cast<std::uint8_t>(Keep::hot)) continue;
        const unsigned recency = lower_recency(slab);
        if (recency < lowest) {
            lowest = recency;
            best = slab;
        }
    }
    return best;
}

// Free, claimed, or of a track that has another slab or none.
bool TrackTable::is_orphan(std::uint32_t slab) const noexcept {
    return !owner_links_back(slab, load(infos_[slab].owner));
}

double TrackTable::used_at(std::uint32_t slab) const noexcept {
    return std::bit_cast<double>(relaxed(infos_[slab].used_at));
}

// What it was before.
unsigned TrackTable::lower_recency(std::uint32_t slab) noexcept {
    const std::uint8_t recency = relaxed(infos_[slab].recency);
    if (recency != 0) relaxed_store(infos_[slab].recency, static_cast<std::uint8_t>(recency - 1));
    return recency;
}

double TrackTable::slab_evidence(std::uint32_t slab, double now) const noexcept {
    std::uint64_t words[evidence_words];
    for (std::size_t i = 0; i < evidence_words; ++i) words[i] = relaxed(hot_tracks_[slab].evidence[i]);
    return form_.total == nullptr ? 0 : form_.total(words, now);
}

double TrackTable::evidence_total(const Track& track, double now) const noexcept {
    std::uint64_t words[evidence_words] = {};
    if (form_.total == nullptr || !evidence(track, words)) return 0;
    return form_.total(words, now);
}

// By the class that the slab's track had. One of nobody is no loss.
void TrackTable::count_demotion(std::uint32_t slab) noexcept {
    if (is_orphan(slab)) return;
    const unsigned above_hot = std::max<unsigned>(relaxed(infos_[slab].keep), 1) - 1;
    region_->add(static_cast<base::Counter>(static_cast<unsigned>(base::Counter::demotions_hot) + above_hot));
}

void TrackTable::set_worth(std::uint32_t slab, Keep value) noexcept {
    relaxed_store(infos_[slab].keep, static_cast<std::uint8_t>(value));
    groups_.mark(slab, value == Keep::standing);
}

void TrackTable::touch(const Track& track) noexcept {
    if (!track.hot) return;
    SlabInfo& info = infos_[track.hot.slab];
    relaxed_store(info.used_at, std::bit_cast<std::uint64_t>(track.newest));
    const std::uint8_t seen = relaxed(info.recency);
    if (seen < 3) relaxed_store(info.recency, static_cast<std::uint8_t>(seen + 1));
}

void TrackTable::keep(const Track& track, Keep value) noexcept {
    if (!holds(track)) return;
    keys_.keep(track.slot.index, value);
    if (hot(track.hot) != nullptr) set_worth(track.hot.slab, value);
}

Standing TrackTable::standing(const Track& track) const noexcept {
    const std::uint64_t word = relaxed(track.words[standing_word]);
    if ((word >> 28 & 15) != (track.slot.generation & 15)) return {};
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint8_t>(word >> 26 & 3),
            static_cast<std::uint8_t>(word >> 20 & 63), static_cast<std::uint32_t>(word & 0xFFFFF)};
}

// Nothing happens when the slot has got another owner or another standing decision since `before` was read.
bool TrackTable::set_standing(const Track& track, const Standing& before, const Standing& value) noexcept {
    const auto pack_standing = [&](const Standing& s) {
        return std::uint64_t{s.until} << 32 | std::uint64_t{track.slot.generation & 15} << 28 |
               std::uint64_t{s.action & 3u} << 26 | std::uint64_t{std::min<unsigned>(s.repeats, 63)} << 20 |
               (s.response & 0xFFFFF);
    };
    std::uint64_t expected = relaxed(track.words[standing_word]);
    if (expected != 0 && expected != pack_standing(before)) return false;
    if (!holds(track)) return false;
    return Word(track.words[standing_word]).compare_exchange_strong(expected, pack_standing(value));
}

std::uint32_t TrackTable::delayed(const Track& track) const noexcept {
    const std::uint64_t word = relaxed(track.words[delay_word]);
    return static_cast<std::uint32_t>(word) == track.slot.generation ? static_cast<std::uint32_t>(word >> 32)
                                                                     : 0;
}

void TrackTable::add_delayed(const Track& track) noexcept {
    const std::uint64_t count = delayed(track);
    if (count == 0xFFFFFFFF || !holds(track)) return;
    relaxed_store(track.words[delay_word], (count + 1) << 32 | track.slot.generation);
}

TrackTable::PromptDay TrackTable::prompt_day(const Track& track) const noexcept {
    const std::uint64_t word = relaxed(track.words[prompt_word]);
    if (static_cast<std::uint16_t>(word) != static_cast<std::uint16_t>(track.slot.generation)) return {word};
    return {word, static_cast<std::uint32_t>(word >> 38), static_cast<std::uint8_t>(word >> 30),
            static_cast<std::uint32_t>(word >> 16 & most_prompts)};
}

// False when another thread was first.
bool TrackTable::set_prompt_day(const Track& track, PromptDay& before, const PromptDay& value) noexcept {
    const std::uint64_t word = std::uint64_t{value.first} << 38 | std::uint64_t{value.day} << 30 |
                               std::uint64_t{value.prompts} << 16 |
                               static_cast<std::uint16_t>(track.slot.generation);
    return Word(track.words[prompt_word]).compare_exchange_strong(before.word, word);
}

double TrackTable::first_prompt(const Track& track) const noexcept {
    return prompt_day(track).first * prompt_tick;
}

void TrackTable::set_first_prompt(const Track& track, double now) noexcept {
    PromptDay before = prompt_day(track);
    if (before.first != 0 || !holds(track)) return;
    PromptDay next = before;
    next.first = static_cast<std::uint32_t>(std::clamp(now / prompt_tick, 1.0, 67'108'863.0));
    set_prompt_day(track, before, next);
}

std::uint32_t TrackTable::count_prompt(const Track& track, double now) noexcept {
    if (!holds(track)) return 0;
    const auto day = static_cast<std::uint8_t>(static_cast<std::uint64_t>(now / 86'400));
    for (int attempt = 0; attempt < 4; ++attempt) {
        PromptDay before = prompt_day(track);
        PromptDay next = before;
        if (next.day != day) next.prompts = 0;
        next.day = day;
        next.prompts = std::min(next.prompts + 1, most_prompts);
        if (set_prompt_day(track, before, next)) return next.prompts;
    }
    return 0;
}

bool TrackTable::within_rate(const Track& track, double now, double per_second, std::uint64_t n) noexcept {
    Word word(track.words[rate_word]);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    const double burst = std::max(1.0, per_second) / per_second;
    for (;;) {
        const double arrival =
            std::max(now, std::bit_cast<double>(seen)) + static_cast<double>(n) / per_second;
        if (arrival - now > burst * (1 + 1e-9)) return false;
        if (word.compare_exchange_weak(seen, std::bit_cast<std::uint64_t>(arrival),
                                       std::memory_order_relaxed))
            return true;
    }
}

TrackTable::HotCensus TrackTable::hot_census() const noexcept {
    HotCensus sum;
    for (std::uint32_t slab = 0; slab < slabs_; ++slab) {
        const std::uint64_t owner = load(infos_[slab].owner);
        if (owner == 0) continue;
        if (base::Region::is_claim(owner)) {
            ++sum.claimed;
        } else {
            ++sum.used;
            sum.probation += !groups_.in_main(slab);
        }
    }
    return sum;
}

}  // namespace atlascore::track
