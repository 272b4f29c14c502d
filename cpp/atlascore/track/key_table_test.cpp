#include <doctest/doctest.h>

#include <random>
#include <unordered_map>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/track/key_table.hpp"
#include "atlascore/track/window.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr std::uint32_t slot_words = 4;

struct Table {
    std::uint32_t pairs;
    base::Region region;
    KeyTable keys;
    explicit Table(std::uint64_t capacity)
        : pairs(KeyTable::pairs_for(capacity)),
          region(
              {"", {KeyTable::group_bytes(pairs), KeyTable::slot_count(pairs) * slot_words * 8}, 0, "", 1}),
          keys(region, region.section(0), region.section(1), pairs, slot_words, 3) {}
};

std::uint64_t tag(std::uint64_t i) {
    return KeyTable::tag_of(base::hash64(&i, sizeof i, 42));
}

}  // namespace

TEST_CASE("every key keeps its slot, up to the capacity") {
    Table table(10'000);
    std::unordered_map<std::uint64_t, std::uint32_t> where;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        const SlotRef slot = table.keys.find_or_insert(tag(i));
        REQUIRE(slot.created);
        where[i] = slot.index;
    }
    for (const auto& [i, index] : where) {
        const SlotRef slot = table.keys.find(tag(i));
        REQUIRE(slot);
        CHECK(slot.index == index);
        CHECK_FALSE(table.keys.find_or_insert(tag(i)).created);
    }
    CHECK(table.keys.census().live == 10'000);
    CHECK(table.region.counters()[static_cast<std::size_t>(base::Counter::evictions_cold)] == 0);
    CHECK_FALSE(table.keys.find(tag(10'001)));
}

TEST_CASE("a flood of new keys recycles, and what is worth keeping stays") {
    Table table(2'000);
    for (std::uint64_t i = 0; i < 100; ++i) {
        const SlotRef slot = table.keys.find_or_insert(tag(i));
        table.keys.keep(slot.index, i % 2 == 0 ? Keep::standing : Keep::suspect);
        table.keys.words(slot.index)[1] = i + 1;
    }
    for (std::uint64_t i = 1'000; i < 300'000; ++i) table.keys.find_or_insert(tag(i));
    for (std::uint64_t i = 0; i < 100; ++i) {
        const SlotRef slot = table.keys.find(tag(i));
        REQUIRE(slot);
        CHECK(table.keys.words(slot.index)[1] == i + 1);
    }
    const KeyTable::Census census = table.keys.census();
    CHECK(census.live + census.empty == table.keys.slots());
    CHECK(census.by_class[2] == 50);
    CHECK(census.by_class[3] == 50);
}

TEST_CASE("used keys outlive keys seen once") {
    Table table(2'000);
    for (std::uint64_t i = 0; i < 500; ++i) table.keys.find_or_insert(tag(i));
    std::uint64_t next = 1'000'000;
    for (int round = 0; round < 200; ++round) {
        for (std::uint64_t i = 0; i < 500; ++i) table.keys.find_or_insert(tag(i));
        for (int n = 0; n < 300; ++n) table.keys.find_or_insert(tag(next++));
    }
    std::size_t kept = 0;
    for (std::uint64_t i = 0; i < 500; ++i) kept += static_cast<bool>(table.keys.find(tag(i)));
    CHECK(kept >= 495);
}

TEST_CASE("a recycled slot is clean and has a new generation") {
    Table table(28);
    const SlotRef first = table.keys.find_or_insert(tag(1));
    for (std::uint32_t i = 1; i < slot_words; ++i) table.keys.words(first.index)[i] = ~std::uint64_t{0};
    std::uint64_t next = 100;
    while (table.keys.holds(first, tag(1))) table.keys.find_or_insert(tag(next++));
    CHECK(table.keys.generation(first.index) == first.generation + 1);
    CHECK(table.keys.words(first.index)[1] == 0);
    CHECK(bucket::generation(table.keys.words(first.index)[3]) == ((first.generation + 1) & 15));
}

TEST_CASE("tags never look empty, tentative or claimed") {
    for (const std::uint64_t hash :
         {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x7FFF} << 48, std::uint64_t{1} << 63}) {
        const std::uint64_t t = KeyTable::tag_of(hash);
        CHECK(t != 0);
        CHECK((t >> 63) == 0);
        CHECK_FALSE(base::Region::is_claim(t | std::uint64_t{1} << 63));
    }
}
