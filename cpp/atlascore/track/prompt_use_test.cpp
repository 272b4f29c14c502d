#include "atlascore/track/prompt_use.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <thread>
#include <vector>

namespace {

using atlascore::track::PromptUse;

constexpr double day = 86'400, start = 20'000 * day;
constexpr std::uint16_t families[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};

}  // namespace

TEST_CASE("the share of the top template needs 20 prompts") {
    PromptUse use{};
    CHECK(std::isnan(use.template_share(start)));
    for (std::uint64_t i = 0; i < 20; ++i) {
        CHECK(std::isnan(use.template_share(start)));
        use.add_template(i % 4 == 3 ? 100 + i : 5, 300, start);
    }
    CHECK(use.template_share(start) == 0.75);
    CHECK(std::isnan(use.template_share(start + 600)));
    use.add_template(5, 60, start);  // another window starts anew
    CHECK(std::isnan(use.template_share(start)));
}

TEST_CASE("more prompts than a count holds keep their shares") {
    PromptUse use{};
    for (int i = 0; i < 200'000; ++i) use.add_template(i % 10 == 0 ? 6 : 5, 86'400, start);
    CHECK(use.template_share(start) == doctest::Approx(0.9).epsilon(0.01));
}

TEST_CASE("known probes are distinct, of one family, and of the last day") {
    PromptUse use{};
    for (int i = 0; i < 5; ++i) use.add_probe(3, start + 60 * i);
    CHECK(use.known_probes(families, start + 300) == 1);
    for (std::uint32_t entry = 0; entry < 3; ++entry) use.add_probe(entry, start + 600);
    use.add_probe(10, start + 600);
    CHECK(use.known_probes(families, start + 600) == 4);
    CHECK(use.known_probes(families, start + 240 + day) == 3);
    CHECK(use.known_probes(families, start + 600 + day) == 0);
    CHECK(use.known_probes({}, start + 600) == 0);  // entries that the dictionary no longer has
}

TEST_CASE("new hits take the place of the oldest") {
    PromptUse use{};
    for (std::uint32_t entry = 0; entry < 12; ++entry) use.add_probe(entry, start + 60 * entry);
    CHECK(use.known_probes(families, start + 720) == 6);
    use.add_probe(2, start);  // late, and forgotten meanwhile
    CHECK(use.known_probes(families, start + 720) >= 5);
}

TEST_CASE("threads on one track count no prompt twice") {
    PromptUse use{};
    std::vector<std::thread> threads;
    for (std::uint32_t n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] {
            for (int i = 0; i < 20'000; ++i) {
                use.add_template(n % 2 + 1, 300, start);
                use.add_probe(n, start);
                const double share = use.template_share(start);
                CHECK((std::isnan(share) || share <= 1));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK((use.totals & 0xFFFFFFFF) <= 80'000);
    CHECK(use.known_probes(families, start) == 4);
}
