#include "atlascore/log/commitment.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "atlascore/base/error.hpp"
#include "atlascore/log/decision_id.hpp"
#include "atlascore/log/json.hpp"
#include "atlascore/log/test_directory.hpp"

using namespace atlascore::log;

namespace {

// Of the test vectors in the blueprint: bytes 20..3f.
Salt principal_salt() {
    Salt salt;
    std::iota(salt.begin(), salt.end(), std::uint8_t{0x20});
    return salt;
}

std::string hex(std::span<const std::uint8_t> bytes) {
    std::string out;
    append_hex(out, bytes.data(), bytes.size());
    return out;
}

std::span<const std::uint8_t> bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

TEST_CASE("HMAC-SHA-256: RFC 4231 cases 2 and 6, the second with a key longer than a block") {
    CHECK(hex(Hmac(bytes("Jefe"))(bytes("what do ya want for nothing?"))) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hex(Hmac(bytes(std::string(131, '\xaa')))(
              bytes("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("a principal's commitment is the published vector") {
    CHECK(hex(Hmac(principal_salt()).commit("alice")) == "a8b7fcb4329d2d8ae10fad35ea43dcb8");
}

TEST_CASE("decision ids go both ways and refuse what has not their form") {
    const DecisionIds ids(principal_salt());
    for (const DecisionName& name : {DecisionName{0, 0, 0}, DecisionName{0x0011223344556677, 1, 1},
                                     DecisionName{~std::uint64_t{0}, 0xFFFF, (std::uint64_t{1} << 48) - 1}}) {
        const std::string id = ids.id(name);
        CHECK(id.size() == 30);
        REQUIRE(ids.name(id));
        CHECK(*ids.name(id) == name);
    }
    const std::string id = ids.id({1, 1, 1});
    CHECK(id != ids.id({1, 1, 2}));
    CHECK_FALSE(ids.name(""));
    CHECK_FALSE(ids.name(id.substr(1)));
    CHECK_FALSE(ids.name(id + 'a'));
    CHECK_FALSE(ids.name("dec_" + std::string(26, '1')));
    CHECK_FALSE(ids.name("dec_" + std::string(26, '7')));  // the two bits after the 128th are not zero
    CHECK(*DecisionIds(Salt{}).name(id) != DecisionName{1, 1, 1});
}

TEST_CASE("a salt file is made once, kept, and refused when it is open or of a wrong size") {
    const TestDirectory directory;
    const std::string path = directory.path() + "/salt";
    const Salt salt = load_salt(path);
    CHECK(salt != Salt{});
    CHECK(load_salt(path) == salt);
    struct stat status;
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);

    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    CHECK_THROWS_AS(load_salt(path), atlascore::base::Error);
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    std::ofstream(path, std::ios::app) << "x";
    CHECK_THROWS_AS(load_salt(path), atlascore::base::Error);
    CHECK_THROWS_AS(load_salt(directory.path() + "/missing/salt"), atlascore::base::SystemError);
}
