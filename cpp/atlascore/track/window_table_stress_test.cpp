// Threads and processes on one region, with processes killed at random.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "atlascore/track/window_table.hpp"

using namespace atlascore;
using namespace atlascore::track;

namespace {

constexpr double horizon = 1e6;  // nothing expires during the test
constexpr double now = 1.7e9;

}  // namespace

TEST_CASE("threads: every count arrives, no key has two slots") {
    const std::vector<double> horizons{horizon};
    for (int round = 0; round < 20; ++round) {
        WindowTable table(500, horizons);
        constexpr int threads = 4, hits = 20'000, keys = 400;
        std::vector<std::thread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&table] {
                double count;
                for (int i = 0; i < hits; ++i)
                    table.hit(table.tag(static_cast<std::uint64_t>(i % keys)), now, 1, &count);
            });
        }
        for (auto& worker : workers) worker.join();
        CHECK(table.keys().census().live == keys);
        double total = 0;
        for (std::uint64_t key = 0; key < keys; ++key) {
            double count;
            table.read(table.tag(key), now, &count);
            total += count;
        }
        CHECK(total == threads * hits);
    }
}

TEST_CASE("threads: no count is lost when the ring turns") {
    const std::vector<double> horizons{10.0, 1e6};
    for (int round = 0; round < 20; ++round) {
        WindowTable table(10, horizons);
        constexpr int threads = 4, hits = 20'000;
        const std::uint64_t tag = table.tag("one");
        std::vector<std::thread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&] {
                double counts[2];
                // Buckets of 0.53 s: every 50th event begins a new one, while the others still count in the
                // last.
                for (int i = 0; i < hits; ++i) table.hit(tag, now + i * 0.01, 1, counts);
            });
        }
        for (auto& worker : workers) worker.join();
        double last[2], read[2];
        table.hit(tag, now + hits * 0.01, 1, last);
        table.read(tag, now + hits * 0.01, read);
        CHECK(last[0] == read[0]);
        CHECK(last[1] == threads * hits + 1);
    }
}

TEST_CASE("threads: a table under constant eviction stays whole") {
    const std::vector<double> horizons{horizon};
    WindowTable table(200, horizons);
    std::atomic<int> without_own{0};
    std::vector<std::thread> workers;
    for (int t = 0; t < 4; ++t) {
        workers.emplace_back([&table, &without_own, t] {
            std::mt19937_64 random(static_cast<std::uint64_t>(t));
            double count;
            for (int i = 0; i < 100'000; ++i) {
                table.hit(table.tag(random() % 5'000), now, 1, &count);
                if (count < 1) ++without_own;
            }
        });
    }
    for (auto& worker : workers) worker.join();
    CHECK(without_own == 0);  // one's own event is in the reading, also when the key was evicted at once
    const KeyTable::Census census = table.keys().census();
    CHECK(census.claimed == 0);
    CHECK(census.tentative == 0);
    CHECK(census.live + census.empty == table.keys().slots());
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("processes: random kills lose no slot and hang nobody; survivors' counts are exact") {
    const std::string state = "shm:atlascore-stress-" + std::to_string(::getpid());
    const std::vector<double> horizons{horizon};
    constexpr std::uint64_t capacity = 2'000;
    constexpr int processes = 8, hits = 125'000;
    std::vector<pid_t> children;
    {
        WindowTable table(capacity, horizons, state);
        std::mt19937_64 random(11);
        double count;
        for (int p = 0; p < processes; ++p) {  // worth keeping, or the crowd would evict them
            const std::uint64_t tag = table.tag("own " + std::to_string(p));
            table.keys().keep(table.keys().find_or_insert(tag).index, Keep::suspect);
        }
        for (int p = 0; p < processes; ++p) {
            const pid_t child = ::fork();
            if (child == 0) {
                WindowTable mine(capacity, horizons, state);
                std::mt19937_64 keys(static_cast<std::uint64_t>(p));
                for (int i = 0; i < hits; ++i) {
                    // The process's own key, which must be exact, and a crowd that evicts all the time.
                    mine.hit(mine.tag("own " + std::to_string(p)), now, 1, &count);
                    mine.hit(mine.tag(keys() % 100'000), now, 1, &count);
                }
                ::_exit(0);
            }
            children.push_back(child);
        }
        // Half of them are killed while they work.
        for (int p = 0; p < processes; p += 2) {
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
            ::kill(children[static_cast<std::size_t>(p)], SIGKILL);
        }
        for (int p = 0; p < processes; ++p) {
            int status = 0;
            REQUIRE(::waitpid(children[static_cast<std::size_t>(p)], &status, 0) ==
                    children[static_cast<std::size_t>(p)]);
            if (p % 2 == 0) continue;
            REQUIRE(WIFEXITED(status));
            CHECK(WEXITSTATUS(status) == 0);
            table.read(table.tag("own " + std::to_string(p)), now, &count);
            CHECK(count == hits);
        }
        // Whatever the dead left claimed is taken over; then every slot is in use again.
        for (std::uint64_t key = 0; key < 200'000; ++key)
            table.hit(table.tag(key + 1'000'000), now, 1, &count);
        const KeyTable::Census census = table.keys().census();
        CHECK(census.claimed == 0);
        CHECK(census.tentative == 0);
        CHECK(census.live == table.keys().slots());
    }
    CHECK(base::Region::unlink(state));
}
#endif
