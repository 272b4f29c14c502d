// A bounded ring of fixed slots: many producers, one consumer, no locks. A producer never waits for the
// consumer: a full ring refuses the record, and what was refused is known exactly afterwards.
//
//     producers                state  [ sequence : 48 | position : 16 ]
//        |   one compare-exchange takes the next sequence number and, if its slot is free, the position
//        v
//     slots   [turn|sequence|record] [turn|sequence|record] ...      position p lives in slot p mod capacity
//        |
//        v   the consumer takes positions in order, and therefore sequence numbers in order
//
// Turn of the slot of position p (the bounded queue of D. Vyukov): p = free for p, p + 1 = published,
// p + capacity = free for the next lap; modulo 2^16. A position that came round cannot be mistaken for an old
// one, because the exchanged word also holds the sequence number.
//
// Refusals. Every push takes a sequence number, a refused one too: the refused numbers are exactly the holes
// between two records that follow each other in the ring. All refusals of one hole meet the same position,
// since the position moves only when a record is accepted; they count themselves, per class, in that
// position's cell. A cell has two banks, one for even and one for odd laps: refusals for p arise while the
// ring is full and thus while position p - capacity, with a hole of its own before it, may still wait for the
// consumer.
//
// Questions
//   A producer stops between taking a position and publishing it?  The consumer waits there without spinning
//   and
//     the others go on until the ring is full.
//   A producer stops between being refused and counting itself?  The hole is reported only when its counts
//   add
//     up to its length; until then it, and the records after it, stay.
//   What does the consumer see?  Publishing releases the turn, taking acquires it: a taken record is whole.
//   May two threads consume?  One at a time, with a happens-before between them.
//
// The memory is the caller's and holds no pointer, so that it may lie in a shared region.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>

#include "atlascore/base/error.hpp"

namespace atlascore::base {

// Classes: the kinds of records that refusals are counted by.
template <class Record, std::size_t Classes>
class Ring {
    static_assert(std::is_trivially_copyable_v<Record>);
    static_assert(alignof(Record) <= 16);

  public:
    static constexpr std::size_t min_capacity = 4;
    static constexpr std::size_t max_capacity = 1 << 14;

    struct Pushed {
        std::uint64_t sequence;  // 1, 2, 3 ... over all producers
        bool accepted;
    };

    struct Refused {
        std::uint64_t from;  // first and last refused sequence number
        std::uint64_t to;
        std::array<std::uint64_t, Classes> counts;
    };

    // Bytes of memory for `capacity` records. Throws Error unless that is a power of two in range.
    static std::size_t bytes(std::size_t capacity) {
        if (!std::has_single_bit(capacity) || capacity < min_capacity || capacity > max_capacity) {
            throw Error("a ring holds a power of two between " + std::to_string(min_capacity) + " and " +
                        std::to_string(max_capacity) + " records; " + std::to_string(capacity) + " is not");
        }
        return sizeof(Header) + capacity * (sizeof(Slot) + sizeof(Cell));
    }

    // Formats bytes(capacity) bytes at `memory`, which is aligned to 64 and outlives the ring.
    Ring(void* memory, std::size_t capacity)
        : header_(new (memory) Header),
          slots_(reinterpret_cast<Slot*>(static_cast<std::byte*>(memory) + sizeof(Header))),
          cells_(reinterpret_cast<Cell*>(slots_ + capacity)),
          capacity_(static_cast<std::uint16_t>(capacity)) {
        for (std::size_t i = 0; i < capacity; ++i) {
            (new (&slots_[i]) Slot)->turn.store(static_cast<std::uint16_t>(i), std::memory_order_relaxed);
            new (&cells_[i]) Cell;
        }
    }

    // Takes a sequence number and, unless the ring is full, calls fill(record storage). `of` is the class
    // that a refusal counts in. fill must be short: the consumer cannot pass a slot that is being filled.
    template <class Fill>
    Pushed push(std::size_t of, Fill&& fill) noexcept {
        std::uint64_t state = header_->state.load(std::memory_order_relaxed);
        for (;;) {
            const auto position = static_cast<std::uint16_t>(state);
            const std::uint64_t sequence = (state >> 16) + 1;
            Slot& slot = slots_[position & (capacity_ - 1)];
            const std::uint16_t turn = slot.turn.load(std::memory_order_acquire);
            if (turn == position) {
                const std::uint64_t next = sequence << 16 | static_cast<std::uint16_t>(position + 1);
                if (header_->state.compare_exchange_weak(state, next, std::memory_order_relaxed)) {
                    slot.sequence = sequence;
                    fill(static_cast<std::byte*>(slot.record));
                    slot.turn.store(static_cast<std::uint16_t>(position + 1), std::memory_order_release);
                    return {sequence, true};
                }
            } else if (occupied(turn, position)) {
                const std::uint64_t next = sequence << 16 | position;
                if (header_->state.compare_exchange_weak(state, next, std::memory_order_relaxed)) {
                    bank(position)[of].fetch_add(1, std::memory_order_release);
                    return {sequence, false};
                }
            } else {
                state = header_->state.load(std::memory_order_relaxed);
            }
        }
    }

    // The sequence number given last; 0 before the first.
    std::uint64_t issued() const noexcept { return header_->state.load(std::memory_order_relaxed) >> 16; }

    // Records accepted and not yet taken.
    std::size_t size() const noexcept {
        const std::uint64_t head = header_->head.load(std::memory_order_acquire);
        return static_cast<std::uint16_t>(header_->state.load(std::memory_order_relaxed) - head);
    }

    // Takes at most `limit` records: take(sequence, const Record&), and lose(const Refused&) for the hole
    // before a record, in sequence order. Returns the number of records taken.
    template <class Take, class Lose>
    std::size_t drain(std::size_t limit, Take&& take, Lose&& lose) {
        std::size_t taken = 0;
        for (; taken < limit; ++taken) {
            const std::uint64_t head = header_->head.load(std::memory_order_relaxed);
            const auto position = static_cast<std::uint16_t>(head);
            Slot& slot = slots_[position & (capacity_ - 1)];
            if (slot.turn.load(std::memory_order_acquire) != static_cast<std::uint16_t>(position + 1)) {
                break;
            }
            if (slot.sequence != header_->last + 1 && !settle(position, slot.sequence - 1, lose)) {
                break;
            }
            take(slot.sequence, *std::launder(reinterpret_cast<const Record*>(slot.record)));
            header_->last = slot.sequence;
            header_->head.store(head + 1, std::memory_order_release);
            slot.turn.store(static_cast<std::uint16_t>(position + capacity_), std::memory_order_release);
        }
        return taken;
    }

    // Reports the refusals after the last record, if the ring is empty: no record may ever follow them.
    template <class Lose>
    void drain_refused(Lose&& lose) {
        const auto position = static_cast<std::uint16_t>(header_->head.load(std::memory_order_relaxed));
        const std::uint64_t state = header_->state.load(std::memory_order_relaxed);
        if (static_cast<std::uint16_t>(state) == position && (state >> 16) != header_->last) {
            settle(position, state >> 16, lose);
        }
    }

  private:
    struct alignas(64) Header {
        std::atomic<std::uint64_t> state{0};
        alignas(64) std::atomic<std::uint64_t> head{0};  // the next position to take
        std::uint64_t last = 0;                          // sequence number accounted for by the consumer
    };
    struct alignas(64) Slot {
        std::atomic<std::uint16_t> turn;
        std::uint64_t sequence;
        alignas(alignof(Record)) std::byte record[sizeof(Record)];
    };
    struct Cell {
        std::atomic<std::uint32_t> counts[2][Classes] = {};
    };
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

    // The slot of `position` still holds the record of the lap before, published or being filled.
    bool occupied(std::uint16_t turn, std::uint16_t position) const noexcept {
        const auto before = static_cast<std::uint16_t>(position - capacity_);
        return turn == before || turn == static_cast<std::uint16_t>(before + 1);
    }

    std::atomic<std::uint32_t>* bank(std::uint16_t position) noexcept {
        return cells_[position & (capacity_ - 1)].counts[(position / capacity_) & 1];
    }

    // Reports the hole (last, to] that lies before `position`, if all its refusals have counted themselves.
    template <class Lose>
    bool settle(std::uint16_t position, std::uint64_t to, Lose&& lose) {
        std::atomic<std::uint32_t>* counts = bank(position);
        Refused refused{header_->last + 1, to, {}};
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < Classes; ++i) {
            refused.counts[i] = counts[i].load(std::memory_order_acquire);
            sum += refused.counts[i];
        }
        if (sum != to - header_->last) {
            return false;
        }
        // An open hole may have grown between the two readings, so that the sum fits by chance: one refusal
        // not counted yet, a later one counted. Its number is then visible here.
        const std::uint64_t state = header_->state.load(std::memory_order_relaxed);
        if (static_cast<std::uint16_t>(state) == position && (state >> 16) != to) {
            return false;
        }
        for (std::size_t i = 0; i < Classes; ++i) {
            counts[i].fetch_sub(static_cast<std::uint32_t>(refused.counts[i]), std::memory_order_relaxed);
        }
        header_->last = to;
        lose(refused);
        return true;
    }

    Header* header_;
    Slot* slots_;
    Cell* cells_;
    std::uint16_t capacity_;
};

}  // namespace atlascore::base
