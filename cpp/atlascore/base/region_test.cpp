#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "atlascore/base/error.hpp"
#include "atlascore/base/region.hpp"

using namespace atlascore::base;

namespace {

struct TemporaryFile {
    std::string path =
        std::filesystem::temp_directory_path() / ("atlascore-region-" + std::to_string(::getpid()));
    ~TemporaryFile() {
        std::filesystem::remove(path);
        std::filesystem::remove(path + ".refused");
    }
};

RegionSpec spec(const std::string& name, std::uint64_t configuration = 7) {
    return {name, {100, 5000}, configuration, "two sections", {}};
}

void patch(const std::string& path, std::streamoff offset, std::uint8_t byte) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file.put(static_cast<char>(byte));
}

}  // namespace

TEST_CASE("an anonymous region is zero, aligned and seeded") {
    Region a(spec("")), b(spec(""));
    CHECK(a.fresh());
    CHECK(a.seed() != b.seed());
    CHECK(a.instance() != b.instance());
    CHECK(reinterpret_cast<std::uintptr_t>(a.section(1)) % 4096 == 0);
    for (int i = 0; i < 5000; ++i) REQUIRE(a.section(1)[i] == std::byte{0});
    RegionSpec fixed = spec("");
    fixed.seed = 99;
    CHECK(Region(fixed).seed() == 99);
}

TEST_CASE("a file survives, and the same configuration finds its content") {
    TemporaryFile file;
    std::uint64_t seed;
    {
        Region region(spec(file.path));
        CHECK(region.fresh());
        region.section(0)[3] = std::byte{42};
        region.add(Counter::late, 5);
        seed = region.seed();
    }
    struct stat status {};
    REQUIRE(::stat(file.path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    Region again(spec(file.path));
    CHECK_FALSE(again.fresh());
    CHECK(again.seed() == seed);
    CHECK(again.section(0)[3] == std::byte{42});
    CHECK(again.counters()[static_cast<std::size_t>(Counter::late)] == 5);
    CHECK_THROWS_AS(Region(spec(file.path, 8)), Error);
}

TEST_CASE("a damaged region is set aside and a fresh one made") {
    // offset -> what damage reads like: magic, layout version, checksum
    for (const auto& [offset, why] :
         {std::pair{0, "not an AtlasCore region"}, {8, "layout version"}, {30, "damaged"}}) {
        TemporaryFile file;
        { Region region(spec(file.path)); }
        patch(file.path, offset, 0x77);
        Region region(spec(file.path));
        CHECK(region.fresh());
        CHECK(region.refused().find(why) != std::string::npos);
        CHECK(std::filesystem::exists(file.path + ".refused"));
    }
    TemporaryFile file;
    std::ofstream(file.path) << "short";
    ::chmod(file.path.c_str(), 0600);
    Region region(spec(file.path));
    CHECK(region.refused().find("too short") != std::string::npos);
}

TEST_CASE("a region that others can write is refused") {
    TemporaryFile file;
    { Region region(spec(file.path)); }
    ::chmod(file.path.c_str(), 0666);
    CHECK_THROWS_AS(Region(spec(file.path)), Error);
}

TEST_CASE("claims of the dead are recognised, also after fork") {
    const std::string name = "shm:atlascore-region-test-" + std::to_string(::getpid());
    Region region(spec(name));
    CHECK(Region::is_claim(region.claim()));
    CHECK(region.claim_alive(region.claim()));
    int pipes[2];
    REQUIRE(::pipe(pipes) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const std::uint64_t claim = region.claim();  // the child's own, not the parent's
        (void)!::write(pipes[1], &claim, sizeof claim);
        ::pause();
        ::_exit(0);
    }
    std::uint64_t claim = 0;
    REQUIRE(::read(pipes[0], &claim, sizeof claim) == sizeof claim);
    CHECK(claim != region.claim());
    CHECK(region.claim_alive(claim));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK_FALSE(region.claim_alive(claim));
    CHECK(region.claim_alive(region.claim()));
    CHECK(Region::unlink(name));
}

TEST_CASE("names that cannot be a state are refused with a sentence") {
    CHECK_THROWS_AS(Region(spec("shm:")), Error);
    CHECK_THROWS_AS(Region(spec("shm:a/b")), Error);
    CHECK_THROWS_AS(Region(spec("/nowhere/at/all")), SystemError);
    CHECK_THROWS(Region(spec("/dev")));
}
