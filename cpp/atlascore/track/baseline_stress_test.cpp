// Many threads on the baselines of few tracks, and processes killed at any instruction.
#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "atlascore/track/baseline_table.hpp"

using namespace atlascore;
using track::Baseline;
using track::BaselineTable;
using track::BlockMeans;

namespace {

constexpr std::uint32_t start = 500'000;
constexpr std::uint64_t capacity = 1;  // so 64 entries

BlockMeans half() {
    BlockMeans means;
    means.mean[BlockMeans::similarity] = 0.5;
    means.count[BlockMeans::similarity] = 10;
    return means;
}

// What one thread does for a track in one hour. Costs of track t are 2^t.
void use(BaselineTable& table, std::uint64_t tag, std::uint32_t hour) {
    const std::uint32_t entry = table.open(tag, hour);
    if (entry == 0) return;
    for (int i = 0; i < 8; ++i) table.add_cost(entry, tag, std::exp2(static_cast<double>(tag)));
    table.close(entry, tag, hour, half());
}

bool sound(const Baseline& past) {
    bool fine = true;
    for (std::size_t i = 0; i < track::baseline_series; ++i) {
        fine &= std::isfinite(past.mean[i]) && past.variance[i] >= 0 && std::isfinite(past.covariance[i]);
        fine &= past.cusum[i] <= 16 * Baseline::steps;
    }
    return fine;
}

}  // namespace

TEST_CASE("threads that close the same hours count each of them once and lose no cost to another track") {
    constexpr int threads = 4;
    constexpr std::uint32_t hours = 2'000;
    constexpr std::uint64_t tags = 5;
    std::vector<std::uint64_t> words(BaselineTable::bytes(capacity) / 8);
    BaselineTable table(reinterpret_cast<std::byte*>(words.data()), capacity);
    std::vector<std::uint32_t> entries;
    for (std::uint64_t tag = 1; tag <= tags; ++tag) entries.push_back(table.open(tag, start));
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&] {
            for (std::uint32_t hour = start + 1; hour <= start + hours; ++hour) {
                for (std::uint64_t tag = 1; tag <= tags; ++tag) use(table, tag, hour);
            }
        });
    }
    for (std::thread& worker : workers) worker.join();
    for (std::uint64_t tag = 1; tag <= tags; ++tag) {
        const auto past = table.look(entries[tag - 1], tag);
        REQUIRE(past);
        CHECK(sound(*past));
        CHECK(past->block == start + hours);
        CHECK(past->hours[BlockMeans::similarity] <= hours);
        CHECK(past->hours[BlockMeans::similarity] > 0);
        CHECK(past->mean[BlockMeans::similarity] == 0.5f);
        CHECK(past->mean[BlockMeans::cost] == doctest::Approx(static_cast<double>(tag)));
        CHECK(past->cusum[BlockMeans::cost] == 0);
    }
}

TEST_CASE("entries that change hands while processes are killed stay sound and in use") {
    const std::size_t bytes = BaselineTable::bytes(capacity);
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    BaselineTable table(static_cast<std::byte*>(memory), capacity);
    for (unsigned round = 0; round < 12; ++round) {
        std::vector<pid_t> children;
        for (unsigned child = 0; child < 2; ++child) {
            const pid_t id = fork();
            REQUIRE(id >= 0);
            if (id == 0) {
                std::mt19937 random(round * 2 + child);
                for (std::uint32_t hour = start;; hour += 100)
                    use(table, 1 + random() % 300, hour % (1u << 21));
            }
            children.push_back(id);
        }
        usleep(5'000);
        for (const pid_t id : children) kill(id, SIGKILL);
        for (const pid_t id : children) waitpid(id, nullptr, 0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1'100));  // claims of the killed are given up
    const std::uint32_t late = (1u << 22) - 1;
    std::uint32_t opened = 0;
    for (std::uint64_t tag = 1'000; tag < 1'400; ++tag) {
        const std::uint32_t entry = table.open(tag, late);
        if (entry == 0) continue;
        ++opened;
        CHECK(table.close(entry, tag, late, half()).has_value());
        CHECK(sound(table.look(entry, tag).value()));
    }
    CHECK(opened == table.entries());
    munmap(memory, bytes);
}
