#include "atlascore/track/cluster_keys.hpp"

#include <doctest/doctest.h>

#include "atlascore/base/hash.hpp"

using namespace atlascore;
using track::ClusterKeys;

namespace {

constexpr double start = 1.7e9, day = 86'400;

struct Table {
    static constexpr std::uint64_t tracks = 1000;  // so 256 keys
    base::Region region{{"", ClusterKeys::section_bytes(tracks), 0, "", 1}};
    ClusterKeys keys{region, 0, tracks};
};

std::uint64_t hashed(std::uint64_t i) {
    return base::mix64(i, 77);
}

}  // namespace

TEST_CASE("a key remembers a track that showed it for seven days") {
    Table t;
    const auto key = t.keys.open(hashed(1));
    CHECK(t.keys.holder(key, start).track == 0);
    t.keys.set(key, 42, false, start);
    const auto holder = t.keys.holder(t.keys.open(hashed(1)), start + 100);
    CHECK(holder.track == 42);
    CHECK(holder.age == 100);
    CHECK_FALSE(holder.shared);
    t.keys.set(key, 43, true, start + day);
    CHECK(t.keys.holder(key, start + 2 * day).track == 43);
    CHECK(t.keys.holder(key, start + 2 * day).shared);
    CHECK(t.keys.holder(key, start).age == 0);  // an event out of order
    CHECK(t.keys.holder(key, start + 8 * day).track == 0);
    CHECK_FALSE(t.keys.holder(key, start + 8 * day).shared);
    CHECK(t.keys.holder(t.keys.open(hashed(2)), start).track == 0);
}

TEST_CASE("a flood of keys does not wash shared ones away, and what lost its record is not written") {
    Table t;
    const auto shared = t.keys.open(hashed(1));
    t.keys.set(shared, 42, true, start);
    const auto single = t.keys.open(hashed(2));
    t.keys.set(single, 43, false, start);
    for (std::uint64_t i = 3; i < 5000; ++i) t.keys.set(t.keys.open(hashed(i)), i, false, start + 1);
    CHECK(t.keys.holder(t.keys.open(hashed(1)), start + 2).track == 42);
    t.keys.set(single, 44, true, start + 2);  // whose record another key has by now
    CHECK(t.keys.holder(single, start + 2).track != 44);
}
