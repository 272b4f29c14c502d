// How many records of a track have a twin (twin_table.hpp), by the column in which the twins differ: 64 B of
// its hot slab.
//
//   ordinary   twins in columns that are not sensitive: rows per key kept 5 | epoch 14 | counts 3 x 12
//   columns    6 words: column + 1, 10 | two values, 8 each | epoch 14 | counts 3 x 8
//   previous   two keys, 32 bits each, under which the row before had another value than an earlier row
//
// Counts are of 8 h each, so a reading covers the last 16 to 24 h; they end at 255 and 4,095. A column that
// finds no word takes one from the smallest count (Misra and Gries), so a count may be too low, never too
// high, and one column that has the majority keeps its word.
//
// What tells attribute inference from honest traffic that has twins too
//   - Forms are edited in many columns, and where columns have few values ordinary rows are twins of each
//     other in all of them. One column is enumerated. So twins in the other columns count against a column:
//     an ordinary one by as many as they are, a sensitive one by half, because an attacker can send twins as
//     cover and should pay two queries for one.
//   - What drifts (a balance, an age) has a value of its own for each record. Who enumerates tries the same
//     few values on all of them. So in an ordinary column a twin counts when its value is one of the last two
//     that twins in this column have brought. A sensitive column counts whatever is tried: values can be
//     dithered.
//   - A sweep over two columns begins like an enumeration of one: but it walks along the other. In an
//     ordinary column a twin does not count when its row and the one before it have such a key of another
//     column in common.
//
// Concurrency: a word is replaced by compare-exchange, at most 16 tries; then a twin is not counted. A writer
// that slept while the slab changed hands adds at most one. All-zero memory is valid and empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace atlascore::track {

struct TwinCounts {
    static constexpr std::size_t count = 6;
    static constexpr double observed = 3;  // twins in one column, below which the signal is missing

    // Two rows that differ in one column. `value`: of the second. `walking`: as above. `sampling`: of so many
    // keys of ordinary columns one is kept.
    struct Twin {
        std::uint16_t column;
        std::uint16_t value;
        bool sensitive;
        bool walking;
        unsigned sampling;
    };
    void add(const Twin& twin, double now) noexcept;
    // Records with a twin in the column that has most, less what speaks against it; NaN below three.
    template <class IsSensitive>
    double value(double now, const IsSensitive& is_sensitive) const noexcept;
    TwinCounts copy() const noexcept;
    void reset() noexcept;
    bool empty() const noexcept;

    std::uint64_t ordinary;
    std::uint64_t columns[count];
    std::uint64_t previous;

  private:
    bool add_to_column(const Twin& twin, std::uint32_t epoch) noexcept;
    struct Reading {
        std::uint16_t column;
        double records;  // 0: none
    };
    Reading read(std::size_t i, double now) const noexcept;
    double ordinary_twins(double now, double& sampling) const noexcept;
    static double score(double records, double others, double sampling, bool sensitive) noexcept;
    static double missing() noexcept;
};
static_assert(sizeof(TwinCounts) == 64 && std::is_trivially_copyable_v<TwinCounts>);

template <class IsSensitive>
double TwinCounts::value(double now, const IsSensitive& is_sensitive) const noexcept {
    double best = -1, sampling = 1;
    const double others = ordinary_twins(now, sampling);
    for (std::size_t i = 0; i < count; ++i) {
        const Reading of = read(i, now);
        if (of.records < observed) continue;
        const double found = score(of.records, others, sampling, is_sensitive(of.column));
        best = found > best ? found : best;
    }
    return best < 0 ? missing() : best;
}

}  // namespace atlascore::track
