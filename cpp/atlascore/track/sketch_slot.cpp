#include "atlascore/track/sketch_slot.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {
namespace {

template <class Row>
constexpr std::size_t words_in = sizeof(Row::words) / sizeof(std::uint64_t);

// Not over cluster and label, which are known later. Against accidents, not against forgers: four chains of
// multiplications, turned so that no bit of a word stays at the top, where a product leaves it alone.
template <class Row>
std::uint32_t check_of(const Row& content, const SlotKey& key, std::uint64_t owner) noexcept {
    constexpr std::size_t chains = 4;
    constexpr std::uint64_t odd = 0x9E3779B97F4A7C15u;
    std::uint64_t sums[chains] = {owner, key.digest, key.space, words_in<Row>};
    std::size_t at = 0;
    for (; at + chains <= words_in<Row>; at += chains) {
        for (std::size_t i = 0; i < chains; ++i)
            sums[i] = std::rotl((sums[i] ^ content.words[at + i]) * odd, 29);
    }
    for (; at < words_in<Row>; ++at) sums[0] = std::rotl((sums[0] ^ content.words[at]) * odd, 29);
    return static_cast<std::uint32_t>(
        base::mix64(base::mix64(sums[0], sums[1]), base::mix64(sums[2], sums[3])));
}

// Acquire loads keep the sequence word's second reading behind them; release stores keep the first writing
// before.
template <class Row>
void copy_out(const Row& from, Row& to) noexcept {
    for (std::size_t i = 0; i < words_in<Row>; ++i) {
        to.words[i] = shared_load(from.words[i], std::memory_order_acquire);
    }
}

template <class Row>
bool write(SlotMeta& meta, Row& row, const Row& content, const SlotKey& key, std::uint64_t owner) noexcept {
    const std::uint32_t before = shared_load(meta.sequence);
    // An odd word is a writer that died or sleeps: the next odd one takes the slot from it.
    const std::uint32_t writing = before % 2 == 0 ? before + 1 : before + 2;
    if (!shared_exchange_if(meta.sequence, before, writing)) return false;
    for (std::size_t i = 0; i < words_in<Row>; ++i) {
        shared_store(row.words[i], content.words[i], std::memory_order_release);
    }
    shared_store(meta.key, key.word(), std::memory_order_release);
    shared_store(meta.check, check_of(content, key, owner), std::memory_order_release);
    const std::uint32_t after = writing + 1 == 0 ? 2 : writing + 1;
    return shared_exchange_if(meta.sequence, writing, after);
}

template <class Row>
bool read(const SlotMeta& meta, const Row& row, std::uint32_t sequence, std::uint64_t owner,
          Row& out) noexcept {
    copy_out(row, out);
    const SlotKey key = key_of(meta);
    const std::uint32_t check = shared_load(meta.check, std::memory_order_acquire);
    return shared_load(meta.sequence) == sequence && check == check_of(out, key, owner);
}

void raw_distances_of(const Sketch& query, const SlotRow* rows, std::size_t count, float* out) noexcept {
    if (query.kind == SketchKind::dense) {
        return simd::squared_distances(query.linear, reinterpret_cast<const std::uint16_t*>(rows), count,
                                       out);
    }
    constexpr std::size_t at_once = 64;
    std::uint32_t equal[at_once];
    for (std::size_t done = 0; done < count; done += at_once) {
        const std::size_t some = std::min(at_once, count - done);
        simd::equal_bytes(query.minhash, reinterpret_cast<const std::uint8_t*>(rows + done), sizeof(SlotRow),
                          some, equal);
        for (std::size_t i = 0; i < some; ++i) {
            out[done + i] = static_cast<float>(static_cast<int>(minhash_size) - static_cast<int>(equal[i]));
        }
    }
}

}  // namespace

SlotRow pack(const Sketch& sketch) noexcept {
    SlotRow row{};
    if (sketch.kind == SketchKind::dense) {
        simd::pack_halves(sketch.linear, reinterpret_cast<std::uint16_t*>(row.words));
    } else {
        std::memcpy(row.words, sketch.minhash, minhash_size);
    }
    return row;
}

bool write_slot(SlotMeta& meta, SlotRow& row, const SlotRow& content, const SlotKey& key,
                std::uint64_t owner) noexcept {
    return write(meta, row, content, key, owner);
}

bool write_slot(SlotMeta& meta, HeadRow& row, const HeadRow& content, const SlotKey& key,
                std::uint64_t owner) noexcept {
    return write(meta, row, content, key, owner);
}

bool read_slot(const SlotMeta& meta, const SlotRow& row, std::uint32_t sequence, std::uint64_t owner,
               SlotRow& out) noexcept {
    return read(meta, row, sequence, owner, out);
}

bool read_slot(const SlotMeta& meta, const HeadRow& row, std::uint32_t sequence, std::uint64_t owner,
               HeadRow& out) noexcept {
    return read(meta, row, sequence, owner, out);
}

void clear_slot(SlotMeta& meta) noexcept {
    shared_store(meta.sequence, 0, std::memory_order_release);
}

#if defined(__SANITIZE_THREAD__)
// The kernels read rows that may be written meanwhile; what was torn is discarded by read_slot. The thread
// sanitizer cannot know that, so under it the rows are read word by word.
void raw_distances(const Sketch& query, const SlotRow* rows, std::size_t count, float* out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        SlotRow copy;
        copy_out(rows[i], copy);
        raw_distances_of(query, &copy, 1, out + i);
    }
}

void four_products(const float* vectors, const SlotRow* rows, std::size_t count, float* out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        SlotRow copy;
        copy_out(rows[i], copy);
        simd::four_dots(vectors, reinterpret_cast<const std::uint16_t*>(&copy), 1, out + 4 * i);
    }
}
#else
void raw_distances(const Sketch& query, const SlotRow* rows, std::size_t count, float* out) noexcept {
    raw_distances_of(query, rows, count, out);
}

void four_products(const float* vectors, const SlotRow* rows, std::size_t count, float* out) noexcept {
    simd::four_dots(vectors, reinterpret_cast<const std::uint16_t*>(rows), count, out);
}
#endif

float distance_of(const Sketch& query, float raw) noexcept {
    if (query.kind == SketchKind::dense) return std::sqrt(raw / static_cast<float>(query.width));
    // Equal bytes happen by chance once in 256.
    const float equal = 1.0f - raw / static_cast<float>(minhash_size);
    return 1.0f - std::max(0.0f, (equal - 1.0f / 256) / (1.0f - 1.0f / 256));
}

}  // namespace atlascore::track
