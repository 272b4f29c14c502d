#include "atlascore/track/twin_counts.hpp"

#include <algorithm>
#include <limits>

#include "atlascore/track/sketch_slot.hpp"

namespace atlascore::track {
namespace {

constexpr int tries = 16;
constexpr double bucket_seconds = 8 * 3600;
constexpr unsigned epoch_bits = 14;
constexpr std::uint32_t epoch_mask = (1u << epoch_bits) - 1;
constexpr double cover = 0.5;  // how much of a twin elsewhere counts against one in a sensitive column

std::uint32_t epoch_of(double now) noexcept {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(now / bucket_seconds)) & epoch_mask;
}

// Three counts, the newest in the lowest bits, below the epoch of that one.
template <unsigned bits>
struct Buckets {
    static constexpr std::uint64_t most = (std::uint64_t{1} << bits) - 1;
    static constexpr unsigned width = 3 * bits + epoch_bits;

    std::uint64_t counts[3];
    std::uint32_t epoch;

    static Buckets of(std::uint64_t word) noexcept {
        return {{word & most, word >> bits & most, word >> 2 * bits & most},
                static_cast<std::uint32_t>(word >> 3 * bits) & epoch_mask};
    }
    std::uint64_t word() const noexcept {
        return counts[0] | counts[1] << bits | counts[2] << 2 * bits | std::uint64_t{epoch} << 3 * bits;
    }
    // Drops what is 24 h old and older. A late twin counts with the newest.
    void move_to(std::uint32_t now) noexcept {
        constexpr unsigned unused = 32 - epoch_bits;
        const std::int32_t past = static_cast<std::int32_t>((now - epoch) << unused) >> unused;
        if (past <= 0) return;
        for (int i = 3; i-- > 0;) counts[i] = i >= past ? counts[i - past] : 0;
        epoch = now;
    }
    void add_one() noexcept { counts[0] = std::min(counts[0] + 1, most); }
    void take_one() noexcept {
        for (int i = 3; i-- > 0;) {
            if (counts[i] != 0) {
                --counts[i];
                return;
            }
        }
    }
    double sum() const noexcept { return static_cast<double>(counts[0] + counts[1] + counts[2]); }
};

using Cell = Buckets<8>;
using All = Buckets<12>;
constexpr unsigned values_shift = Cell::width, column_shift = values_shift + 16;
static_assert(column_shift == 54);

std::uint64_t column_part(std::uint64_t word) noexcept {
    return word >> column_shift;
}

// A cell and what it counts now.
Cell cell_at(std::uint64_t word, std::uint32_t epoch) noexcept {
    Cell cell = Cell::of(word);
    cell.move_to(epoch);
    return cell;
}

// The word of a column after a twin. 0 stands for no value.
std::uint64_t after_twin(std::uint64_t word, const TwinCounts::Twin& twin, std::uint32_t epoch) noexcept {
    Cell cell = cell_at(word, epoch);
    auto last = static_cast<std::uint8_t>(word >> values_shift);
    auto before = static_cast<std::uint8_t>(word >> (values_shift + 8));
    const auto mine = static_cast<std::uint8_t>(twin.value % 255 + 1);
    const bool shared = mine == last || mine == before || before == 0;
    if (mine != last) {
        before = last;
        last = mine;
    }
    if (twin.sensitive || shared) cell.add_one();
    return column_part(word) << column_shift | std::uint64_t{before} << (values_shift + 8) |
           std::uint64_t{last} << values_shift | cell.word();
}

}  // namespace

void TwinCounts::add(const Twin& twin, double now) noexcept {
    const std::uint32_t epoch = epoch_of(now);
    if ((twin.sensitive || !twin.walking) && !add_to_column(twin, epoch)) return;
    for (int i = 0; !twin.sensitive && i < tries; ++i) {
        const std::uint64_t seen = shared_load(ordinary);
        All all = All::of(seen);
        all.move_to(epoch);
        all.add_one();
        if (shared_exchange_if(ordinary, seen, all.word() | std::uint64_t{twin.sampling} << All::width))
            break;
    }
}

// False: the column's count is at its end, and then it must not count against itself.
bool TwinCounts::add_to_column(const Twin& twin, std::uint32_t epoch) noexcept {
    const std::uint64_t mine = std::uint64_t{twin.column} + 1;
    for (int attempt = 0; attempt < tries; ++attempt) {
        std::size_t chosen = 0;
        std::uint64_t seen = 0;
        double least = std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint64_t word = shared_load(columns[i]);
            const bool found = column_part(word) == mine;
            const double rank = found ? -1 : cell_at(word, epoch).sum();
            if (rank >= least) continue;
            least = rank;
            chosen = i;
            seen = word;
            if (found) break;
        }
        std::uint64_t next = 0;
        if (least > 0) {
            Cell cell = cell_at(seen, epoch);
            cell.take_one();
            next = seen >> Cell::width << Cell::width | cell.word();
        } else {
            const std::uint64_t empty = mine << column_shift | Cell{{}, epoch}.word();
            next = after_twin(least == 0 ? empty : seen, twin, epoch);
        }
        if (next == seen && cell_at(seen, epoch).counts[0] == Cell::most) return false;
        if (shared_exchange_if(columns[chosen], seen, next)) return true;
    }
    return true;
}

TwinCounts::Reading TwinCounts::read(std::size_t i, double now) const noexcept {
    const std::uint64_t word = shared_load(columns[i]);
    if (word == 0) return {0, 0};
    return {static_cast<std::uint16_t>(column_part(word) - 1), cell_at(word, epoch_of(now)).sum()};
}

double TwinCounts::ordinary_twins(double now, double& sampling) const noexcept {
    const std::uint64_t word = shared_load(ordinary);
    if (word == 0) return 0;
    sampling = static_cast<double>(word >> All::width);
    All all = All::of(word);
    all.move_to(epoch_of(now));
    return all.sum();
}

double TwinCounts::score(double records, double others, double sampling, bool sensitive) noexcept {
    const double found =
        sensitive ? records - cover * others * sampling : (records - (others - records)) * sampling;
    return std::max(found, 0.0);
}

double TwinCounts::missing() noexcept {
    return std::numeric_limits<double>::quiet_NaN();
}

TwinCounts TwinCounts::copy() const noexcept {
    TwinCounts out{};
    out.ordinary = shared_load(ordinary);
    out.previous = shared_load(previous);
    for (std::size_t i = 0; i < count; ++i) out.columns[i] = shared_load(columns[i]);
    return out;
}

void TwinCounts::reset() noexcept {
    shared_store(ordinary, 0);
    shared_store(previous, 0);
    for (std::uint64_t& word : columns) shared_store(word, 0);
}

bool TwinCounts::empty() const noexcept {
    std::uint64_t any = shared_load(ordinary);
    for (const std::uint64_t& word : columns) any |= shared_load(word);
    return any == 0;
}

}  // namespace atlascore::track
