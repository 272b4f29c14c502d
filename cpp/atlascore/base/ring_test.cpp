#include "atlascore/base/ring.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using atlascore::base::Error;

namespace {

struct Item {
    std::uint64_t producer;
    std::uint64_t number;
};
using Ring = atlascore::base::Ring<Item, 2>;

struct Memory {
    explicit Memory(std::size_t capacity)
        : bytes(static_cast<std::byte*>(std::aligned_alloc(64, Ring::bytes(capacity)))) {}
    ~Memory() { std::free(bytes); }
    std::byte* bytes;
};

Ring::Pushed push(Ring& ring, std::size_t of, Item item) {
    return ring.push(of, [&](std::byte* to) { std::memcpy(to, &item, sizeof item); });
}

// What the consumer saw, in order: every sequence number once, as a record or inside a hole.
struct Seen {
    std::uint64_t next = 1;
    std::vector<Item> items;
    std::vector<Ring::Refused> holes;

    std::size_t drain(Ring& ring, std::size_t limit) {
        return ring.drain(
            limit,
            [&](std::uint64_t sequence, const Item& item) {
                REQUIRE(sequence == next);
                ++next;
                items.push_back(item);
            },
            [&](const Ring::Refused& hole) { lose(hole); });
    }
    void drain_refused(Ring& ring) {
        ring.drain_refused([&](const Ring::Refused& hole) { lose(hole); });
    }
    void lose(const Ring::Refused& hole) {
        REQUIRE(hole.from == next);
        REQUIRE(hole.counts[0] + hole.counts[1] == hole.to - hole.from + 1);
        next = hole.to + 1;
        holes.push_back(hole);
    }
};

}  // namespace

TEST_CASE("a capacity that is no power of two in range is refused") {
    CHECK_THROWS_AS(Ring::bytes(0), Error);
    CHECK_THROWS_AS(Ring::bytes(1000), Error);
    CHECK_THROWS_AS(Ring::bytes(Ring::max_capacity * 2), Error);
}

TEST_CASE("records come out in order, over many laps of the 16-bit position") {
    Memory memory(8);
    Ring ring(memory.bytes, 8);
    Seen seen;
    for (std::uint64_t i = 0; i < 200'000; ++i) {
        const Ring::Pushed pushed = push(ring, 0, {0, i});
        REQUIRE(pushed.accepted);
        REQUIRE(pushed.sequence == i + 1);
        if (i % 5 == 4) {
            REQUIRE(ring.size() == 5);
            REQUIRE(seen.drain(ring, 100) == 5);
        }
    }
    CHECK(seen.items.size() == 200'000);
    CHECK(seen.items.back().number == 199'999);
    CHECK(ring.issued() == 200'000);
}

TEST_CASE("a full ring refuses, and holes have exact ranges and counts") {
    Memory memory(4);
    Ring ring(memory.bytes, 4);
    Seen seen;
    for (int i = 0; i < 4; ++i) {
        CHECK(push(ring, 0, {}).accepted);
    }
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(push(ring, i == 1 ? 1 : 0, {}).accepted);  // 5, 6, 7
    }
    seen.drain_refused(ring);
    CHECK(seen.holes.empty());  // the ring is not empty: a record may follow

    CHECK(seen.drain(ring, 1) == 1);
    CHECK(push(ring, 0, {}).accepted);        // 8
    CHECK_FALSE(push(ring, 1, {}).accepted);  // 9, for a position whose slot also waits with a hole before it
    CHECK(seen.drain(ring, 100) == 4);
    REQUIRE(seen.holes.size() == 1);
    CHECK(seen.holes[0].from == 5);
    CHECK(seen.holes[0].to == 7);
    CHECK(seen.holes[0].counts == std::array<std::uint64_t, 2>{2, 1});

    seen.drain_refused(ring);
    REQUIRE(seen.holes.size() == 2);
    CHECK(seen.holes[1].from == 9);
    CHECK(seen.holes[1].counts == std::array<std::uint64_t, 2>{0, 1});
    seen.drain_refused(ring);
    CHECK(seen.holes.size() == 2);
}

TEST_CASE("threads: every number comes out once, and every producer's records stay in order") {
    constexpr std::uint64_t producers = 4, each = 50'000;
    for (const std::size_t capacity : {4u, 64u, 4096u}) {
        Memory memory(capacity);
        Ring ring(memory.bytes, capacity);
        std::atomic<std::uint64_t> refused[2] = {};
        std::atomic<unsigned> running{producers};
        std::vector<std::thread> threads;
        for (std::uint64_t p = 0; p < producers; ++p) {
            threads.emplace_back([&, p] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    if (!push(ring, p & 1, {p, i}).accepted) {
                        refused[p & 1].fetch_add(1, std::memory_order_relaxed);
                    }
                }
                running.fetch_sub(1);
            });
        }
        Seen seen;
        while (running.load() != 0 || seen.next != producers * each + 1) {
            if (seen.drain(ring, 64) == 0) {
                seen.drain_refused(ring);
                std::this_thread::yield();
            }
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        std::uint64_t counted[2] = {};
        for (const Ring::Refused& hole : seen.holes) {
            counted[0] += hole.counts[0];
            counted[1] += hole.counts[1];
        }
        CHECK(counted[0] == refused[0].load());
        CHECK(counted[1] == refused[1].load());
        std::uint64_t expected[producers] = {};
        for (const Item& item : seen.items) {
            REQUIRE(item.number >= expected[item.producer]);
            expected[item.producer] = item.number + 1;
        }
        CHECK(seen.items.size() + counted[0] + counted[1] == producers * each);
    }
}
