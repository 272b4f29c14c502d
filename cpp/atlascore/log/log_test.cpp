#include "atlascore/log/log.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/error.hpp"
#include "atlascore/log/jsonl_sink.hpp"
#include "atlascore/log/test_directory.hpp"

using namespace atlascore::log;
using std::chrono::milliseconds;

namespace {

// Keeps entries, or fails with the given code while it is set.
struct Memory {
    std::atomic<int> code{0};
    std::atomic<int> failures{0};
    std::mutex mutex;
    std::vector<std::string> entries;

    std::vector<std::string> copy() {
        const std::lock_guard lock(mutex);
        return entries;
    }
};

class MemorySink final : public Sink {
  public:
    explicit MemorySink(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
    std::uint64_t append(const Batch& batch) override {
        if (const int code = memory_->code.load()) {
            memory_->failures.fetch_add(1);
            throw atlascore::base::SystemError("the test refuses", code);
        }
        const std::lock_guard lock(memory_->mutex);
        const std::uint64_t first = memory_->entries.size();
        std::size_t begin = 0;
        for (const std::uint32_t end : batch.ends) {
            memory_->entries.push_back(batch.bytes.substr(begin, end - 1 - begin));
            begin = end;
        }
        return first;
    }
    void abandon() noexcept override {}

  private:
    std::shared_ptr<Memory> memory_;
};

std::uint64_t push(Log& log, Action action = Action::allow) {
    Record record;
    record.t = atlascore::base::wall_microseconds();
    record.mono = atlascore::base::monotonic_nanoseconds();
    record.action = action;
    return log.push(record);
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("entries reach the file in order, between start and stop, and have their line as index") {
    const TestDirectory directory;
    {
        Log log(directory.path(), {.capacity = 64, .version = "1.2.3"});
        Policy policy;
        policy.mode = "enforce";
        policy.rules = {{"r", {}}};
        policy.files = {{"r.yml", "00"}};
        CHECK(log.add_policy(policy) == 1);
        CHECK(push(log) == 1);
        CHECK(push(log, Action::block) == 2);
        CHECK(log.index_of(2, milliseconds(2'000)) == 3);
        CHECK(log.add_policy(policy) == 2);
        CHECK_FALSE(log.index_of(3));
        CHECK(log.flush());
        CHECK(log.statistics().issued == 2);
        CHECK(log.statistics().lost == 0);
        CHECK(log.close());
        CHECK(log.close());
        CHECK(push(log) == 3);
        CHECK(log.statistics().lost == 1);
    }
    const std::vector<std::string> lines = directory.lines(JsonlSink::file_name);
    REQUIRE(lines.size() == 6);
    CHECK(contains(lines[0], R"("data":{"version":"1.2.3"})"));
    CHECK(contains(lines[0], R"("op":"start")"));
    CHECK(contains(lines[1], R"("files":[{"name":"r.yml","sha256":"00"}])"));
    CHECK(contains(lines[1], R"("op":"load")"));
    CHECK(contains(lines[2], R"("pseq":1,)"));
    CHECK(contains(lines[3], R"("action":"BLOCK")"));
    CHECK(contains(lines[4], R"("op":"reload")"));
    CHECK(contains(lines[5], R"("op":"stop")"));
    CHECK(contains(lines[5], R"("pseq":4)"));
}

TEST_CASE("two logs on one directory share the file and know their indexes") {
    const TestDirectory directory;
    Log one(directory.path(), {.capacity = 64, .version = ""});
    Log two(directory.path(), {.capacity = 64, .version = ""});
    CHECK(one.flush());
    CHECK(two.flush());
    push(one);
    CHECK(one.index_of(1, milliseconds(2'000)) == 2);
    push(two);
    CHECK(two.index_of(1, milliseconds(2'000)) == 3);
    CHECK(one.instance() != two.instance());
}

TEST_CASE("a failing sink: the batch is kept, losses become an exact gap, decisions go on") {
    const auto memory = std::make_shared<Memory>();
    Log log(std::make_unique<MemorySink>(memory), {.capacity = 4, .version = ""});
    CHECK(log.flush());
    memory->code = ENOSPC;
    push(log);
    while (!log.statistics().stalled) {  // the writer says so after the sink has refused
        std::this_thread::sleep_for(milliseconds(1));
    }
    CHECK(memory->failures > 0);
    CHECK(log.statistics().error == "the test refuses");
    for (int i = 0; i < 4; ++i) {
        push(log);  // 2 to 5 fill the ring
    }
    CHECK(push(log, Action::log) == 6);
    CHECK(push(log, Action::block) == 7);
    CHECK_FALSE(log.flush(milliseconds(20)));
    memory->code = 0;
    CHECK(log.flush());
    const std::vector<std::string> entries = memory->copy();
    REQUIRE(entries.size() == 7);
    CHECK(contains(entries[1], R"("pseq":1,)"));
    CHECK(contains(entries[5], R"("pseq":5,)"));
    CHECK(contains(entries[6], R"("count":2,"exact":true,"from":6,)"));
    CHECK(contains(entries[6], R"("lost":{"ALLOW":0,"BLOCK":1,"CONSTRAIN":0,"LOG":1},)"));
    CHECK(contains(entries[6], R"("of":1,)"));
    CHECK(contains(entries[6], R"("reason":"disk_full","t":)"));
    CHECK(contains(entries[6], R"("to":7,)"));
    CHECK(log.statistics().lost == 2);
    CHECK_FALSE(log.index_of(7));
    CHECK(log.close());
}

TEST_CASE("closing over a failing sink ends, and says that something is missing") {
    const auto memory = std::make_shared<Memory>();
    Log log(std::make_unique<MemorySink>(memory), {.capacity = 4, .version = ""});
    memory->code = EIO;
    push(log);
    CHECK_FALSE(log.close(milliseconds(10)));
}

TEST_CASE("notices that are too long are refused; a long list of policy files is left out") {
    const auto memory = std::make_shared<Memory>();
    Log log(std::make_unique<MemorySink>(memory), {.capacity = 4, .version = ""});
    CHECK_THROWS_AS(log.notice("operator", {{"reason", '"' + std::string(max_entry, 'x') + '"'}}),
                    atlascore::base::Error);
    Policy policy;
    policy.files.assign(1'000, {"rule.yml", std::string(64, '0')});
    log.add_policy(policy);
    CHECK(log.flush());
    CHECK(contains(memory->copy()[1], R"("trimmed":true)"));
}

TEST_CASE("an index is remembered for the last records only") {
    const auto memory = std::make_shared<Memory>();
    Log log(std::make_unique<MemorySink>(memory), {.capacity = 1'024, .version = ""});
    for (std::uint64_t i = 1; i <= Writer::remembered + 10; ++i) {
        push(log);
        if (i % 512 == 0) {
            REQUIRE(log.flush());
        }
    }
    REQUIRE(log.flush());
    CHECK_FALSE(log.index_of(10));
    CHECK(log.index_of(11) == 11);
    CHECK(log.index_of(Writer::remembered + 10) == Writer::remembered + 10);
}

TEST_CASE("the child of a fork neither hangs nor writes; its numbers are of another instance") {
    const TestDirectory directory;
    Log log(directory.path(), {.capacity = 64, .version = ""});
    push(log);
    const std::uint64_t instance = log.instance();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const std::uint64_t sequence = push(log);
        const bool quiet = !log.flush() && !log.index_of(sequence) && log.intern("x") != 0 && log.close() &&
                           log.instance() != instance && log.statistics().lost == 1 && sequence == 2;
        log.~Log();
        ::_exit(quiet ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(push(log) == 2);
    CHECK(log.close());
    CHECK(directory.lines(JsonlSink::file_name).size() == 4);
}
