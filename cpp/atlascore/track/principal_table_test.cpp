#include "atlascore/track/principal_table.hpp"

#include <doctest/doctest.h>

#include "atlascore/base/hash.hpp"

using namespace atlascore;
using track::PrincipalTable;

namespace {

struct Table {
    static constexpr std::uint64_t tracks = 1000;  // so 256 principals
    base::Region region{{"", PrincipalTable::section_bytes(tracks), 0, "", 1}};
    PrincipalTable principals{region, 0, tracks};
};

std::uint64_t principal(std::uint64_t i) {
    return base::mix64(i, 77);
}

}  // namespace

TEST_CASE("records are made while there is room, and then only where another may go") {
    Table t;
    std::uint64_t made = 0;
    for (std::uint64_t i = 0; i < 2000; ++i) made += t.principals.open(principal(i), false).use != nullptr;
    CHECK(made >= 256);
    CHECK(made < 400);
    // Who has a record keeps it; who has none gets one by eviction.
    const auto first = t.principals.open(principal(0), false);
    REQUIRE(first.use != nullptr);
    CHECK_FALSE(t.principals.look(principal(1999)));
    const auto late = t.principals.open(principal(1999), true);
    REQUIRE(late.use != nullptr);
    CHECK(t.principals.look(principal(1999))->use == late.use);
}

TEST_CASE("where a record was found last is a hint, not a promise") {
    Table t;
    std::uint64_t found_last = 0;
    const auto made = t.principals.open(principal(1), true, found_last);
    CHECK(found_last != 0);
    CHECK(t.principals.open(principal(1), false, found_last).use == made.use);
    // Another caller's hint leads to one's own record all the same.
    const auto other = t.principals.open(principal(2), true, found_last);
    CHECK(other.use != made.use);
    CHECK(t.principals.open(principal(2), false, found_last).use == other.use);
    // After the record has changed hands, too.
    for (std::uint64_t i = 3; i < 3000; ++i) {
        for (int request = 0; request < 4; ++request) t.principals.open(principal(i), true);
    }
    CHECK_FALSE(t.principals.look(principal(2)));
    const auto again = t.principals.open(principal(2), true, found_last);
    CHECK(t.principals.look(principal(2))->use == again.use);
    std::uint64_t nonsense = ~std::uint64_t{0};
    CHECK(t.principals.open(principal(2), true, nonsense).use == again.use);
}
