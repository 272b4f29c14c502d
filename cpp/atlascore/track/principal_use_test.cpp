#include "atlascore/track/principal_use.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <thread>
#include <vector>

using namespace atlascore::track;

namespace {

// Within an hour, 36 s from its beginning.
constexpr double hour = 3600, start = 527'777 * hour + 36;

Place at(std::uint8_t model, std::uint8_t endpoint) {
    return {model, endpoint};
}

PrincipalUse visited(unsigned models, unsigned endpoints) {
    PrincipalUse use{};
    for (unsigned i = 0; i < std::max(models, endpoints); ++i) {
        use.add_request(at(static_cast<std::uint8_t>(std::min(i, models - 1)),
                           static_cast<std::uint8_t>(std::min(i, endpoints - 1))),
                        start);
    }
    return use;
}

}  // namespace

TEST_CASE("zero memory is a principal of which nothing is known") {
    const PrincipalUse use{};
    CHECK(use.distinct_models(start) == 0);
    CHECK(use.distinct_endpoints(start) == 0);
    CHECK(std::isnan(use.error_ratio(start)));
    CHECK(use.places(start) == 0);
    CHECK(use.places(0) == 0);
}

TEST_CASE("bits of models and endpoints are counted, each once") {
    const PrincipalUse use = visited(4, 30);
    CHECK(use.places(start) == 34);
    CHECK(use.distinct_models(start) == doctest::Approx(48 * std::log(48.0 / 44)));
    CHECK(use.distinct_endpoints(start) == doctest::Approx(96 * std::log(96.0 / 66)));
    CHECK(visited(48, 96).distinct_endpoints(start) == doctest::Approx(96 * std::log(96.0)));
    PrincipalUse nowhere{};
    nowhere.add_request(Place::of(0, 0), start);
    CHECK(nowhere.places(start) == 0);
}

TEST_CASE("names spread evenly over the bits") {
    std::mt19937_64 random(3);
    double models = 0, endpoints = 0;
    constexpr int runs = 400;
    for (int run = 0; run < runs; ++run) {
        PrincipalUse use{};
        for (int i = 0; i < 20; ++i)
            use.add_request(Place::of(i < 10 ? random() | 1 : 0, random() | 1), start);
        models += use.distinct_models(start) / runs;
        endpoints += use.distinct_endpoints(start) / runs;
    }
    CHECK(models == doctest::Approx(10).epsilon(0.02));
    CHECK(endpoints == doctest::Approx(20).epsilon(0.02));
}

TEST_CASE("what is older than an hour fades, and is gone after two") {
    const PrincipalUse use = visited(10, 20);
    const double all = use.distinct_endpoints(start), next_hour = 527'778 * hour;
    CHECK(use.distinct_endpoints(next_hour - 1) == all);
    CHECK(use.distinct_endpoints(next_hour + 900) == doctest::Approx(all * 0.75));
    CHECK(use.places(next_hour + 900) == 30);
    CHECK(use.distinct_endpoints(next_hour + hour) == 0);
    CHECK(use.places(next_hour + hour) == 0);
    CHECK(use.distinct_models(start - hour) == 0);  // not yet
}

TEST_CASE("a request counts in its own hour, however late") {
    PrincipalUse use{};
    use.add_request(at(1, 1), start + hour);
    use.add_request(at(2, 2), start);
    CHECK(use.places(start + hour) == 4);
    CHECK(use.places(start + 2 * hour) == 2);
    use.add_request(at(3, 3), start + 2 * hour);
    use.add_request(at(4, 4), start);  // two hours: its words have gone on
    CHECK(use.places(start + 2 * hour) == 4);
}

TEST_CASE("the share of requests that were refused") {
    PrincipalUse use{};
    for (int i = 0; i < 19; ++i) use.add_request(at(0, 0), start);
    CHECK(std::isnan(use.error_ratio(start)));
    use.add_request(at(0, 0), start);
    CHECK(use.error_ratio(start) == 0);
    for (int i = 0; i < 5; ++i) use.add_error(start);
    CHECK(use.error_ratio(start) == 0.25);
    for (int i = 0; i < 20; ++i) use.add_request(at(0, 0), start + hour);
    // 36 s of the hour have elapsed.
    CHECK(use.error_ratio(start + hour) == doctest::Approx(5 * 0.99 / (20 + 20 * 0.99)));
    use.add_error(start + hour);
    CHECK(use.error_ratio(start + hour) == doctest::Approx((1 + 5 * 0.99) / (20 + 20 * 0.99)));
    for (int i = 0; i < 50; ++i) use.add_error(start);
    CHECK(use.error_ratio(start) == 1);
    use.add_error(start + 5 * hour);
    CHECK(std::isnan(use.error_ratio(start + 5 * hour)));
}

TEST_CASE("requests of several threads are all counted") {
    PrincipalUse use{};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (unsigned i = 0; i < 3000; ++i) {
                use.add_request(at(static_cast<std::uint8_t>(t), static_cast<std::uint8_t>(i % 24 + 24 * t)),
                                start);
                if (i % 3 == 0) use.add_error(start);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(use.places(start) == 4 + 96);
    CHECK(use.error_ratio(start) == doctest::Approx(1.0 / 3).epsilon(0.01));
}

TEST_CASE("a batch counts as its rows, to the end of the counters") {
    PrincipalUse use{};
    use.add_request(at(0, 0), start, 30);
    use.add_error(start, 30);
    use.add_request(at(0, 0), start, 30);
    CHECK(use.error_ratio(start) == 0.5);
    CHECK(use.places(start) == 2);
    use.add_request(at(0, 0), start, 0xFFFFFFFF);
    use.add_error(start, 0xFFFFFFFF);
    CHECK(use.error_ratio(start) == 1);
    CHECK(use.distinct_models(start) == doctest::Approx(1).epsilon(0.02));
}
