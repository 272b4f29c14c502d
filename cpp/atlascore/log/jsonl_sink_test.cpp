#include "atlascore/log/jsonl_sink.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "atlascore/base/error.hpp"
#include "atlascore/log/test_directory.hpp"

using namespace atlascore::log;

namespace {

Batch batch_of(std::initializer_list<const char*> entries) {
    Batch batch;
    for (const char* entry : entries) {
        batch.bytes += entry;
        batch.end_entry();
    }
    return batch;
}

// Files of this process cannot grow beyond `bytes` while it lives: the writable part of a full disk.
class FileLimit {
  public:
    explicit FileLimit(rlim_t bytes) {
        ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

  private:
    rlimit before_;
};

}  // namespace

TEST_CASE("files and directories are made with their modes") {
    const TestDirectory directory;
    const mode_t mask = ::umask(0);
    const std::string path = directory.path() + "/a/b/";
    JsonlSink sink(path);
    ::umask(mask);
    struct stat status;
    REQUIRE(::stat((directory.path() + "/a/b").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0750);
    REQUIRE(::stat((path + JsonlSink::file_name).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0640);
    CHECK_THROWS_AS(JsonlSink("/proc/nowhere"), atlascore::base::SystemError);
}

TEST_CASE("indexes are line numbers, also with two writers and after a reopening") {
    const TestDirectory directory;
    JsonlSink one(directory.path());
    JsonlSink two(directory.path());
    CHECK(one.append(batch_of({"a", "b"})) == 0);
    CHECK(two.append(batch_of({"c"})) == 2);
    CHECK(two.append(batch_of({"d", "e"})) == 3);
    CHECK(one.append(batch_of({"f"})) == 5);
    CHECK(JsonlSink(directory.path()).append(batch_of({"g"})) == 6);
    CHECK(directory.lines(JsonlSink::file_name) ==
          std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g"});
}

TEST_CASE("a line torn by another process is ended, not continued") {
    const TestDirectory directory;
    JsonlSink sink(directory.path());
    CHECK(sink.append(batch_of({"a"})) == 0);
    std::ofstream(directory.path() + '/' + JsonlSink::file_name, std::ios::app) << "torn";
    CHECK(sink.append(batch_of({"b"})) == 2);
    CHECK(directory.lines(JsonlSink::file_name) == std::vector<std::string>{"a", "torn", "b"});
}

TEST_CASE("a batch that does not fit leaves nothing behind and fits later") {
    const TestDirectory directory;
    JsonlSink sink(directory.path());
    CHECK(sink.append(batch_of({"aaaa"})) == 0);
    {
        const FileLimit limit(10);
        try {
            sink.append(batch_of({"bbbb", "cccc"}));
            FAIL("the batch is longer than the file may be");
        } catch (const atlascore::base::SystemError& error) {
            CHECK(error.code == EFBIG);
        }
        CHECK(directory.lines(JsonlSink::file_name) == std::vector<std::string>{"aaaa"});
    }
    CHECK(sink.append(batch_of({"bbbb", "cccc"})) == 1);
    CHECK(directory.lines(JsonlSink::file_name) == std::vector<std::string>{"aaaa", "bbbb", "cccc"});
}

TEST_CASE("a lock that another process keeps is an error after a while, not a hang") {
    const TestDirectory directory;
    JsonlSink sink(directory.path());
    std::FILE* file = std::fopen((directory.path() + '/' + JsonlSink::file_name).c_str(), "r");
    REQUIRE(file != nullptr);
    REQUIRE(::flock(::fileno(file), LOCK_EX) == 0);
    CHECK_THROWS_AS(sink.append(batch_of({"a"})), atlascore::base::SystemError);
    std::fclose(file);
    CHECK(sink.append(batch_of({"a"})) == 0);
}
