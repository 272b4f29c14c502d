// Threads that push, load policies, intern names and ask for indexes while the writer drains: for the thread
// sanitizer, and for the promise that every number is in the file or in a gap.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "atlascore/log/jsonl_sink.hpp"
#include "atlascore/log/log.hpp"
#include "atlascore/log/test_directory.hpp"

using namespace atlascore::log;

namespace {

std::uint64_t integer(const std::string& line, const std::string& member) {
    const std::size_t at = line.find('"' + member + "\":");
    REQUIRE(at != std::string::npos);
    return std::stoull(line.substr(at + member.size() + 3));
}

}  // namespace

TEST_CASE("every sequence number is written or named in a gap, in order, and indexes are right") {
    constexpr std::uint64_t producers = 3, each = 20'000;
    const TestDirectory directory;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> indexes;
    std::uint64_t lost = 0;
    {
        Log log(directory.path(), {.capacity = 256, .version = ""});
        std::atomic<bool> stop{false};
        std::vector<std::thread> threads;
        for (std::uint64_t p = 0; p < producers; ++p) {
            threads.emplace_back([&log, p] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    Record record;
                    record.action = static_cast<Action>(i & 3);
                    record.model = log.intern("model-" + std::to_string(i % 50));
                    log.push(record);
                    if (i % 64 == p) {
                        std::this_thread::yield();
                    }
                }
            });
        }
        std::thread asks([&] {
            for (int reloads = 0; !stop.load(); ++reloads) {
                if (reloads < 1'000) log.add_policy(Policy{});
                const std::uint64_t sequence = log.statistics().issued;
                if (const auto index = log.index_of(sequence)) {
                    indexes.emplace_back(sequence, *index);
                }
            }
        });
        for (std::thread& thread : threads) {
            thread.join();
        }
        stop = true;
        asks.join();
        CHECK(log.close());
        lost = log.statistics().lost;
    }
    const std::vector<std::string> lines = directory.lines(JsonlSink::file_name);
    std::uint64_t next = 1, own = 1, in_gaps = 0;
    for (const std::string& line : lines) {
        if (line.find(R"("prod":1,)") != std::string::npos) {
            REQUIRE(integer(line, "pseq") == next);
            ++next;
            continue;
        }
        REQUIRE(integer(line, "pseq") == own);
        ++own;
        if (line.find(R"("kind":"gap")") != std::string::npos) {
            REQUIRE(integer(line, "from") == next);
            next = integer(line, "to") + 1;
            in_gaps += integer(line, "count");
            REQUIRE(integer(line, "count") == integer(line, "ALLOW") + integer(line, "BLOCK") +
                                                  integer(line, "CONSTRAIN") + integer(line, "LOG"));
        }
    }
    CHECK(next == producers * each + 1);
    CHECK(in_gaps == lost);
    for (const auto& [sequence, index] : indexes) {
        REQUIRE(index < lines.size());
        REQUIRE(integer(lines[index], "pseq") == sequence);
    }
}
