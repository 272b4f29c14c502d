#include <doctest/doctest.h>

#include <bit>
#include <set>
#include <vector>

#include "atlascore/track/slab_groups.hpp"

using namespace atlascore::track;

namespace {

struct Groups {
    struct alignas(64) Line {
        std::uint64_t words[8] = {};
    };
    std::vector<Line> memory;
    SlabGroups groups;
    explicit Groups(std::uint32_t slabs)
        : memory(2 + SlabGroups::bytes(slabs) / 64),
          groups(memory[0].words, reinterpret_cast<std::byte*>(&memory[1]), slabs) {}
};

}  // namespace

TEST_CASE("three quarters of the slabs get in, whatever the size; one in each group stays out") {
    for (const std::uint32_t slabs : {1u, 2u, 3u, 4u, 10u, 63u, 64u, 65u, 100u, 400u, 1000u}) {
        Groups g(slabs);
        std::uint32_t in = 0;
        for (std::uint32_t slab = 0; slab < slabs; ++slab) {
            in += g.groups.enter(slab, SlabGroups::none) == SlabGroups::Entry::free_place;
        }
        const std::uint32_t last = slabs % 64;
        CHECK(in == slabs - slabs / 4 - (last > 0 && last < 4 ? 1 : 0));
        for (std::uint32_t i = 0; i < 4 * slabs; ++i) {
            const std::uint32_t slab = g.groups.next_newcomer(g.groups.next_group());
            REQUIRE(slab < slabs);
            CHECK_FALSE(g.groups.in_main(slab));
        }
    }
}

TEST_CASE("every slab has its turn, neighbours far apart") {
    for (const std::uint32_t slabs : {64u, 100u, 400u, 1000u}) {
        Groups g(slabs);
        std::set<std::uint32_t> seen;
        for (std::uint32_t i = 0; i < slabs; ++i) seen.insert(g.groups.next_newcomer(g.groups.next_group()));
        CHECK(seen.size() >= slabs - slabs / 50);
    }
    Groups g(20'000);
    std::vector<std::uint32_t> turns(g.groups.group_of(19'999) + 1);
    for (std::uint32_t i = 0; i < 20'000; ++i) ++turns[g.groups.next_group()];
    for (std::size_t i = 0; i + 1 < turns.size(); ++i) CHECK(turns[i] == 64);
    CHECK(turns.back() == 32);
}

TEST_CASE("probation is recycled oldest first, round what is in the main part") {
    Groups g(64);
    for (std::uint32_t slab = 8; slab < 56; ++slab) g.groups.enter(slab, SlabGroups::none);
    for (int round = 0; round < 3; ++round) {
        for (std::uint32_t slab = 0; slab < 8; ++slab) CHECK(g.groups.next_newcomer(0) == slab);
        for (std::uint32_t slab = 56; slab < 64; ++slab) CHECK(g.groups.next_newcomer(0) == slab);
    }
    for (std::uint32_t slab = 8; slab < 56; ++slab) CHECK(g.groups.next_in_main(0) == slab);
    CHECK(g.groups.next_in_main(0) == 8);
}

TEST_CASE("a full group changes one for one; a victim that has left makes no room") {
    Groups g(64);
    for (std::uint32_t slab = 0; slab < 48; ++slab) g.groups.enter(slab, SlabGroups::none);
    CHECK(g.groups.full(0));
    CHECK(g.groups.enter(50, SlabGroups::none) == SlabGroups::Entry::refused);
    CHECK(g.groups.enter(50, 3) == SlabGroups::Entry::exchanged);
    CHECK(g.groups.enter(51, 3) == SlabGroups::Entry::refused);
    CHECK(g.groups.enter(50, 4) == SlabGroups::Entry::free_place);  // it is in already
    CHECK(g.groups.in_main(4));
    g.groups.leave(4);
    CHECK(g.groups.enter(51, 3) == SlabGroups::Entry::free_place);
    CHECK(std::popcount(g.groups.main(0)) == 48);
}

TEST_CASE("who has no slab is sent where there is room, its own hand leaves the newcomers' alone") {
    Groups g(164);
    for (std::uint32_t slab = 0; slab < 64; ++slab) g.groups.enter(slab, SlabGroups::none);
    for (int i = 0; i < 50; ++i) CHECK(g.groups.next_group_to_enter() != 0);
    CHECK(g.groups.next_group() == 0);
    for (std::uint32_t slab = 64; slab < 164; ++slab) g.groups.enter(slab, SlabGroups::none);
    bool seen[3] = {};
    for (int i = 0; i < 10; ++i) seen[g.groups.next_group_to_enter()] = true;
    CHECK((seen[0] && seen[1] && seen[2]));
}

TEST_CASE("Keep::standing counts while it is in the main part") {
    Groups g(100);
    CHECK(g.groups.standing_room(0) == 16);
    CHECK(g.groups.standing_room(1) == 9);
    g.groups.mark(7, true);
    CHECK(g.groups.standing(0) == 0);
    g.groups.enter(7, SlabGroups::none);
    g.groups.enter(8, SlabGroups::none);
    CHECK(g.groups.standing(0) == 1u << 7);
    g.groups.leave_all(7);
    g.groups.enter(7, SlabGroups::none);
    CHECK(g.groups.standing(0) == 0);
}
