#include "atlascore/track/principal_use.hpp"

#include <doctest/doctest.h>

#include <algorithm>
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
    CHECK(use.reading(start).distinct_models() == 0);
    CHECK(use.reading(start).distinct_endpoints() == 0);
    CHECK(std::isnan(use.reading(start).error_ratio()));
    CHECK(use.reading(start).places() == 0);
    CHECK(use.reading(0).places() == 0);
}

TEST_CASE("bits of models and endpoints are counted, each once") {
    const PrincipalUse use = visited(4, 30);
    CHECK(use.reading(start).places() == 34);
    CHECK(use.reading(start).distinct_models() == doctest::Approx(48 * std::log(48.0 / 44)));
    CHECK(use.reading(start).distinct_endpoints() == doctest::Approx(96 * std::log(96.0 / 66)));
    CHECK(visited(48, 96).reading(start).distinct_endpoints() == doctest::Approx(96 * std::log(96.0)));
    PrincipalUse nowhere{};
    nowhere.add_request(Place::of(0, 0), start);
    CHECK(nowhere.reading(start).places() == 0);
}

TEST_CASE("names spread evenly over the bits") {
    std::mt19937_64 random(3);
    double models = 0, endpoints = 0;
    constexpr int runs = 400;
    for (int run = 0; run < runs; ++run) {
        PrincipalUse use{};
        for (int i = 0; i < 20; ++i)
            use.add_request(Place::of(i < 10 ? random() | 1 : 0, random() | 1), start);
        models += use.reading(start).distinct_models() / runs;
        endpoints += use.reading(start).distinct_endpoints() / runs;
    }
    CHECK(models == doctest::Approx(10).epsilon(0.02));
    CHECK(endpoints == doctest::Approx(20).epsilon(0.02));
}

TEST_CASE("what is older than an hour fades, and is gone after two") {
    const PrincipalUse use = visited(10, 20);
    const double all = use.reading(start).distinct_endpoints(), next_hour = 527'778 * hour;
    CHECK(use.reading(next_hour - 1).distinct_endpoints() == all);
    CHECK(use.reading(next_hour + 900).distinct_endpoints() == doctest::Approx(all * 0.75));
    CHECK(use.reading(next_hour + 900).places() == 30);
    CHECK(use.reading(next_hour + hour).distinct_endpoints() == 0);
    CHECK(use.reading(next_hour + hour).places() == 0);
    CHECK(use.reading(start - hour).distinct_models() == 0);  // not yet
}

TEST_CASE("a request counts in its own hour, however late") {
    PrincipalUse use{};
    use.add_request(at(1, 1), start + hour);
    use.add_request(at(2, 2), start);
    CHECK(use.reading(start + hour).places() == 4);
    CHECK(use.reading(start + 2 * hour).places() == 2);
    use.add_request(at(3, 3), start + 2 * hour);
    use.add_request(at(4, 4), start);  // two hours: its words have gone on
    CHECK(use.reading(start + 2 * hour).places() == 4);
}

TEST_CASE("the share of requests that were refused") {
    PrincipalUse use{};
    for (int i = 0; i < 19; ++i) use.add_request(at(0, 0), start);
    CHECK(std::isnan(use.reading(start).error_ratio()));
    use.add_request(at(0, 0), start);
    CHECK(use.reading(start).error_ratio() == 0);
    for (int i = 0; i < 5; ++i) use.add_error(start);
    CHECK(use.reading(start).error_ratio() == 0.25);
    for (int i = 0; i < 20; ++i) use.add_request(at(0, 0), start + hour);
    // 36 s of the hour have elapsed.
    CHECK(use.reading(start + hour).error_ratio() == doctest::Approx(5 * 0.99 / (20 + 20 * 0.99)));
    use.add_error(start + hour);
    CHECK(use.reading(start + hour).error_ratio() == doctest::Approx((1 + 5 * 0.99) / (20 + 20 * 0.99)));
    for (int i = 0; i < 50; ++i) use.add_error(start);
    CHECK(use.reading(start).error_ratio() == 1);
    use.add_error(start + 5 * hour);
    CHECK(std::isnan(use.reading(start + 5 * hour).error_ratio()));
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
    CHECK(use.reading(start).places() == 4 + 96);
    CHECK(use.reading(start).error_ratio() == doctest::Approx(1.0 / 3).epsilon(0.01));
}

TEST_CASE("a batch counts as its rows, to the end of the counters") {
    PrincipalUse use{};
    use.add_request(at(0, 0), start, 30);
    use.add_error(start, 30);
    use.add_request(at(0, 0), start, 30);
    CHECK(use.reading(start).error_ratio() == 0.5);
    CHECK(use.reading(start).places() == 2);
    use.add_request(at(0, 0), start, 0xFFFFFFFF);
    use.add_error(start, 0xFFFFFFFF);
    CHECK(use.reading(start).error_ratio() == 1);
    CHECK(use.reading(start).distinct_models() == doctest::Approx(1).epsilon(0.02));
}

TEST_CASE("a quiet principal reads as the words say") {
    std::mt19937_64 random(17);
    unsigned quiet = 0;
    for (int run = 0; run < 4000; ++run) {
        PrincipalUse use{};
        const std::uint64_t kinds = random() % 3;  // places
        for (std::uint64_t i = random() % 30; i-- > 0;) {
            const auto place = static_cast<std::uint8_t>(random() % (kinds + 1) * 40);
            const double time = start + static_cast<double>(random() % 4) * hour;
            use.add_request(at(place % 48, place), time);
            if (random() % 200 == 0) use.add_error(time);
        }
        if (random() % 8 == 0) use.evidence[random() % 4] = 1;
        const double now = start + static_cast<double>(random() % 5) * hour;
        const auto requests = use.quiet(at(0, 0), now);
        PrincipalUse::Reading reading = use.reading(now);
        const bool any_evidence = std::any_of(std::begin(reading.evidence), std::end(reading.evidence),
                                              [](std::uint64_t word) { return word != 0; });
        const bool here = reading.models[0] == 1 && reading.endpoints[0][0] == 1;  // this hour
        const bool same = reading.places() == 2 && !any_evidence;
        const bool refused = reading.requests[0] >> 24 != 0 || reading.requests[1] >> 24 != 0;
        REQUIRE(requests.has_value() == (here && same && !refused));
        if (!requests) continue;
        ++quiet;
        CHECK_FALSE(reading.add_request(at(0, 0)));
        CHECK(reading.distinct_models() == PrincipalUse::one_model);
        CHECK(reading.distinct_endpoints() == PrincipalUse::one_endpoint);
        const double ratio = reading.error_ratio();
        CHECK((*requests + 1 >= PrincipalUse::fewest_requests ? ratio == 0 : std::isnan(ratio)));
    }
    CHECK(quiet > 200);
}
