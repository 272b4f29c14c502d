#include "atlascore/evidence/census.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace atlascore::evidence {

void Census::Tally::add(bool hit) noexcept {
    if (made == std::numeric_limits<std::uint32_t>::max()) return;
    ++made;
    hits += hit;
    if (!std::has_single_bit(made)) return;
    hits_before = hits_then;
    hits_then = hits;
}

Census::Count Census::Tally::count() const noexcept {
    return {made, hits, std::bit_floor(made) / 2, hits_before};
}

void Census::add(std::uint64_t model, std::uint64_t principal, const Observations& seen) {
    if (!seen) return;
    const std::lock_guard lock(mutex_);
    auto& tallies = tallies_[{model, principal}];
    for (Components left = seen.made; left != 0; left &= left - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(left));
        tallies[i].add(seen.hits >> i & 1);
    }
}

Census::Counts Census::of(std::uint64_t model, std::uint64_t principal) const {
    const std::lock_guard lock(mutex_);
    Counts counts{};
    const auto found = tallies_.find({model, principal});
    if (found != tallies_.end())
        std::ranges::transform(found->second, counts.begin(),
                               [](const Tally& tally) { return tally.count(); });
    return counts;
}

}  // namespace atlascore::evidence
