#include "atlascore/simd/kernels.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

namespace simd = atlascore::simd;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

double plain_dot(const float* a, const float* b, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

double half_value(std::uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double size =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
    return half & 0x8000 ? -size : size;
}

std::string plain_fold(std::string text) {
    for (char& c : text) {
        const bool white = (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
        const bool digit = c >= '0' && c <= '9';
        c = white ? ' ' : digit ? '0' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    return text;
}

// Runs the test once for every instruction set, and proves that it was that one.
template <class Test>
void on_every_target(Test&& test) {
    for (const std::int64_t target : simd::available_targets()) {
        simd::force_target_for_test(target);
        const std::string name = simd::target_name(target);
        CAPTURE(name);
        REQUIRE(simd::active_target() == name);
        test();
    }
    simd::force_target_for_test(0);
}

}  // namespace

TEST_CASE("several targets are built and the best one is active") {
    CHECK(simd::available_targets().size() >= 2);
    CHECK(std::string(simd::active_target()) == simd::target_name(simd::available_targets().front()));
}

TEST_CASE("dot and cosine, every length") {
    const auto a = random_floats(300, 1), b = random_floats(300, 2);
    on_every_target([&] {
        for (std::size_t n = 0; n <= 300; ++n) {
            CHECK(simd::dot(a.data(), b.data(), n) ==
                  doctest::Approx(plain_dot(a.data(), b.data(), n)).epsilon(1e-4));
            const double norms =
                std::sqrt(plain_dot(a.data(), a.data(), n) * plain_dot(b.data(), b.data(), n));
            const double expected = n == 0 ? 0 : plain_dot(a.data(), b.data(), n) / norms;
            CHECK(std::abs(simd::cosine(a.data(), b.data(), n) - expected) < 2e-6);
        }
    });
}

TEST_CASE("nearest, all group sizes, zero rows, ties and extreme values") {
    on_every_target([&] {
        for (std::size_t rows = 1; rows <= 11; ++rows) {
            for (const std::size_t width : {1u, 7u, 16u, 63u, 384u}) {
                auto matrix = random_floats(rows * width, static_cast<unsigned>(rows * 1000 + width));
                const auto query = random_floats(width, 9);
                if (rows > 2) std::fill_n(matrix.begin() + width, width, 0.0f);
                std::size_t best = 0;
                double value = -2;
                for (std::size_t row = 0; row < rows; ++row) {
                    const float* values = matrix.data() + row * width;
                    const double square = plain_dot(values, values, width);
                    if (square == 0) continue;
                    const double cosine = plain_dot(query.data(), values, width) /
                                          std::sqrt(square * plain_dot(query.data(), query.data(), width));
                    if (cosine > value + 1e-6) {
                        value = cosine;
                        best = row;
                    }
                }
                const simd::Nearest found = simd::nearest(query.data(), matrix.data(), rows, width);
                // With one value a row all cosines are 1 or -1, equal but for rounding.
                CHECK((width == 1 || found.index == best));
                CHECK(std::abs(found.cosine - value) < 2e-6);
            }
        }
        const float query[2] = {1, 1}, zeros[10] = {}, huge[4] = {-3e38f, 3e38f, 3e38f, 2e38f};
        CHECK(simd::nearest(query, zeros, 5, 2).index == 0);
        CHECK(simd::nearest(query, zeros, 5, 2).cosine == 0);
        CHECK(simd::nearest(query, huge, 2, 2).index == 1);
        const float bad[10] = {1, 1, 1, 1, 1, std::nanf(""), 1, 1, 1, 1};
        CHECK(std::isnan(simd::nearest(query, bad, 5, 2).cosine));
        CHECK(simd::nearest(query, bad, 5, 2).index == 2);
    });
}

TEST_CASE("a value that is not finite, or minus zero, is seen wherever it stands") {
    on_every_target([&] {
        for (std::size_t n = 1; n <= 70; ++n) {
            std::vector<float> x(n, 1.0f);
            CHECK(simd::check_floats(x.data(), n).finite);
            CHECK_FALSE(simd::check_floats(x.data(), n).negative_zero);
            for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
                for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
                    auto y = x;
                    y[at] = bad;
                    CHECK_FALSE(simd::check_floats(y.data(), n).finite);
                }
                auto y = x;
                y[at] = -0.0f;
                CHECK(simd::check_floats(y.data(), n).finite);
                CHECK(simd::check_floats(y.data(), n).negative_zero);
            }
        }
        const float largest[2] = {std::numeric_limits<float>::max(),
                                  std::numeric_limits<float>::denorm_min()};
        CHECK(simd::check_floats(largest, 2).finite);
    });
}

TEST_CASE("values off their grid") {
    std::mt19937 generator(8);
    std::uniform_int_distribution<int> level(0, 255);
    for (const std::size_t n : {1u, 5u, 16u, 33u, 100u}) {
        std::vector<float> x(n), origins(n, -1.0f), steps(n, 2.0f / 255), inverses(n, 255 / 2.0f);
        for (float& value : x) value = -1.0f + static_cast<float>(level(generator)) * 2.0f / 255;
        const simd::Grid one{nullptr, nullptr, nullptr, -1.0f, 2.0f / 255, 255 / 2.0f};
        const simd::Grid each{origins.data(), steps.data(), inverses.data(), 0, 0, 0};
        on_every_target([&] {
            CHECK(simd::count_off_grid(x.data(), n, one) == 0);
            CHECK(simd::count_off_grid(x.data(), n, each) == 0);
        });
        for (std::size_t i = 0; i < n; i += 3) x[i] += 0.002f * 2.0f / 255;
        on_every_target([&] {
            CHECK(simd::count_off_grid(x.data(), n, one) == (n + 2) / 3);
            CHECK(simd::count_off_grid(x.data(), n, each) == (n + 2) / 3);
        });
        std::fill(inverses.begin(), inverses.end(), 0.0f);  // no grid
        on_every_target([&] { CHECK(simd::count_off_grid(x.data(), n, each) == 0); });
    }
    // What float32 cannot tell apart is on the grid: 100,000.01 and its neighbours are 0.008 apart.
    const float amounts[3] = {0.07f, 123.45f, 100'000.01f};
    const simd::Grid cents{nullptr, nullptr, nullptr, 0.0f, 0.01f, 100.0f};
    const float between[1] = {0.015f};
    on_every_target([&] {
        CHECK(simd::count_off_grid(amounts, 3, cents) == 0);
        CHECK(simd::count_off_grid(between, 1, cents) == 1);
    });
}

TEST_CASE("blocks of the CountSketch, the same bits on every target") {
    const auto x = random_floats(200, 3), centers = random_floats(200, 4), inverses = random_floats(200, 5);
    const simd::SketchBlock blocks[4] = {
        {0x123456789ABCDEFull, 0}, {~0ull, 63}, {0xF0F0F0F0F0F0F0F0ull, 17}, {5, 40}};
    for (const bool arrays : {false, true}) {
        const simd::Affine scale{arrays ? centers.data() : nullptr, arrays ? inverses.data() : nullptr, 0.5f,
                                 2.0f};
        for (const std::size_t width : {64u, 65u, 130u, 200u}) {
            float expected[128] = {};
            for (std::size_t i = 0; i < width; ++i) {
                const float z = (x[i] - (arrays ? centers[i] : 0.5f)) * (arrays ? inverses[i] : 2.0f);
                const auto& block = blocks[i / 64];
                expected[i % 64 + block.rotation] += block.signs >> (i % 64) & 1 ? -z : z;
            }
            on_every_target([&] {
                float sums[128] = {};
                simd::add_blocks(x.data(), width, scale, blocks, sums);
                CHECK(std::memcmp(sums, expected, sizeof sums) == 0);
                std::vector<float> scaled(width);
                simd::scale_values(x.data(), width, scale, scaled.data());
                CHECK(scaled[width - 1] == (x[width - 1] - (arrays ? centers[width - 1] : 0.5f)) *
                                               (arrays ? inverses[width - 1] : 2.0f));
            });
        }
    }
}

TEST_CASE("halves: to nearest even, clamped, small values kept") {
    on_every_target([&] {
        float x[64] = {0.0f,
                       1.0f,
                       -2.0f,
                       65504.0f,
                       1e6f,
                       -1e30f,
                       0x1p-24f,
                       0x1.8p-24f,
                       0x1p-25f,
                       0x1p-14f,
                       1.0f + 0x1p-11f,
                       1.0f + 3 * 0x1p-11f,
                       1.0f + 0x1.1p-11f,
                       0.1f};
        const auto more = random_floats(50, 7);
        std::copy(more.begin(), more.end(), x + 14);
        std::uint16_t halves[64];
        simd::pack_halves(x, halves);
        for (int i = 0; i < 64; ++i) {
            const double clamped = std::max(-65504.0, std::min(65504.0, static_cast<double>(x[i])));
            const double unit =
                std::max(0x1p-24, std::ldexp(1.0, std::ilogb(clamped == 0 ? 1 : clamped) - 10));
            CAPTURE(x[i]);
            CHECK(std::abs(half_value(halves[i]) - clamped) <= unit / 2);
        }
        CHECK(half_value(halves[10]) == 1.0);
        CHECK(half_value(halves[11]) == 1.0 + 0x1p-9);
        CHECK(half_value(halves[12]) == 1.0 + 0x1p-10);
    });
}

TEST_CASE("distances to rows of halves, equal bytes, hamming, minimum") {
    const auto values = random_floats(64 * 7, 8), x = random_floats(64, 9);
    std::vector<std::uint16_t> rows(64 * 7);
    for (int row = 0; row < 7; ++row) simd::pack_halves(values.data() + 64 * row, rows.data() + 64 * row);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(rows.data());
    std::vector<std::uint64_t> words(17), others(17);
    std::mt19937_64 generator(1);
    for (auto& word : words) word = generator();
    for (auto& word : others) word = generator();
    on_every_target([&] {
        float squares[7];
        simd::squared_distances(x.data(), rows.data(), 7, squares);
        for (int row = 0; row < 7; ++row) {
            double sum = 0;
            for (int i = 0; i < 64; ++i) sum += std::pow(x[i] - half_value(rows[64 * row + i]), 2);
            CHECK(squares[row] == doctest::Approx(sum).epsilon(1e-5));
        }
        std::uint32_t counts[17];
        simd::equal_bytes(bytes, bytes, 128, 7, counts);
        for (int row = 0; row < 7; ++row) {
            std::uint32_t equal = 0;
            for (int i = 0; i < 64; ++i) equal += bytes[i] == bytes[128 * row + i];
            CHECK(counts[row] == equal);
        }
        simd::hamming(words[3], words.data(), 17, counts);
        for (int i = 0; i < 17; ++i) CHECK(counts[i] == std::popcount(words[3] ^ words[i]));
        auto merged = words;
        simd::min_merge(merged.data(), others.data(), 17);
        for (int i = 0; i < 17; ++i) CHECK(merged[i] == std::min(words[i], others[i]));
    });
}

TEST_CASE("ASCII prefix and folding") {
    std::string text;
    for (int c = 0; c < 128; ++c) text += {static_cast<char>(c), 'x'};
    text += "The QUICK brown fox 0123456789, again and again and again and again and again and again.";
    on_every_target([&] {
        for (std::size_t n = 0; n < text.size(); ++n) {
            CHECK(simd::ascii_prefix(text.data(), n) == n);
            auto other = text;
            other[n] = '\x80';
            CHECK(simd::ascii_prefix(other.data(), other.size()) == n);
        }
        std::string out(text.size() + 64, '\0');
        for (std::size_t n = 0; n <= text.size(); ++n) {
            CHECK(simd::fold_ascii(text.data(), n, false, out.data()) == n);
            CHECK(std::string_view(out.data(), n) == plain_fold(text.substr(0, n)));
        }
        for (std::size_t at = 0; at < 140; ++at) {
            const std::string before(at, 'a');
            CHECK(simd::fold_ascii((before + "\t b").data(), at + 3, true, out.data()) ==
                  (at == 0 ? 0 : at + 1));
            CHECK(simd::fold_ascii((before + "\x80" + before).data(), 2 * at + 1, true, out.data()) == at);
        }
    });
}

TEST_CASE("what may be the least of a bin stays among the candidates") {
    std::mt19937_64 generator(5);
    on_every_target([&] {
        for (const std::size_t bins : {1u, 4u, 8u, 64u, 256u}) {
            std::vector<std::uint64_t> minima(bins);
            for (auto& least : minima) least = generator();
            for (std::size_t count = 0; count <= 40; ++count) {
                std::vector<std::uint64_t> hashes(count + 8);
                for (auto& hash : hashes) hash = generator();
                auto kept = hashes, expected = minima, lowered = minima;
                kept.resize(simd::keep_candidates(kept.data(), count, minima.data(), bins));
                REQUIRE(kept.size() <= count);
                hashes.resize(count);
                for (const auto h : hashes)
                    expected[(h >> 8) % bins] = std::min(expected[(h >> 8) % bins], h);
                for (const auto h : kept) lowered[(h >> 8) % bins] = std::min(lowered[(h >> 8) % bins], h);
                CHECK(lowered == expected);
            }
        }
    });
}

TEST_CASE("hashes of five-byte windows are equal on every target") {
    std::string text =
        "windows of five bytes, hashed eight at a time, on every instruction set" + std::string(80, ' ');
    std::vector<std::uint64_t> expected;
    on_every_target([&] {
        std::vector<std::uint64_t> hashes(80);
        simd::hash_windows5(text.data(), 66, 0x0123456789ABCDEFull, hashes.data());
        hashes.resize(66);
        if (expected.empty()) expected = hashes;
        CHECK(hashes == expected);
    });
}

TEST_CASE("one half at a time is what 64 at a time are") {
    auto values = random_floats(64, 12);
    values[0] = 1e6f;
    values[1] = -1e6f;
    values[2] = 0x1.8p-24f;
    values[3] = -0.0f;
    std::uint16_t halves[64];
    float back[64];
    on_every_target([&] {
        simd::pack_halves(values.data(), halves);
        simd::unpack_halves(halves, back);
        for (int i = 0; i < 64; ++i) {
            CHECK(simd::to_half(values[i]) == halves[i]);
            CHECK(simd::from_half(halves[i]) == back[i]);
            CHECK(back[i] == half_value(halves[i]));
        }
    });
}

TEST_CASE("four products with every row") {
    const auto vectors = random_floats(4 * 64, 13), values = random_floats(64 * 7, 14);
    std::vector<std::uint16_t> rows(64 * 7);
    for (int row = 0; row < 7; ++row) simd::pack_halves(values.data() + 64 * row, rows.data() + 64 * row);
    on_every_target([&] {
        float products[4 * 7];
        simd::four_dots(vectors.data(), rows.data(), 7, products);
        for (int row = 0; row < 7; ++row) {
            for (int v = 0; v < 4; ++v) {
                double sum = 0;
                for (int i = 0; i < 64; ++i) sum += vectors[64 * v + i] * half_value(rows[64 * row + i]);
                CHECK(products[4 * row + v] == doctest::Approx(sum).epsilon(1e-4));
            }
        }
    });
}

TEST_CASE("projections, any number of outputs") {
    std::mt19937 random(12);
    std::normal_distribution<float> normal;
    on_every_target([&] {
        for (const std::size_t inputs : {1, 2, 7, 64}) {
            for (const std::size_t outputs : {1, 5, 16, 48, 49, 100, 131}) {
                std::vector<float> matrix(inputs * outputs), x(inputs), out(outputs + 1, -1.0f);
                for (float& value : matrix) value = normal(random);
                for (float& value : x) value = normal(random);
                simd::project(matrix.data(), x.data(), inputs, outputs, out.data());
                for (std::size_t j = 0; j < outputs; ++j) {
                    double sum = 0;
                    for (std::size_t i = 0; i < inputs; ++i)
                        sum += static_cast<double>(x[i]) * static_cast<double>(matrix[i * outputs + j]);
                    CHECK(static_cast<double>(out[j]) == doctest::Approx(sum).epsilon(1e-4).scale(10));
                }
                CHECK(out[outputs] == -1.0f);
            }
        }
    });
}

TEST_CASE("cosines and sines, any number") {
    const auto x = random_floats(40, 21);
    on_every_target([&] {
        for (const std::size_t count : {0, 1, 7, 16, 33, 40}) {
            std::vector<float> angles(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(count));
            for (float& angle : angles) angle *= 20;
            std::vector<float> cosines(count + 1, -7.0f), sines(count + 1, -7.0f);
            simd::cos_sin(angles.data(), count, 0.5f, cosines.data(), sines.data());
            for (std::size_t i = 0; i < count; ++i) {
                const auto angle = static_cast<double>(angles[i]);
                CHECK(static_cast<double>(cosines[i]) ==
                      doctest::Approx(0.5 * std::cos(angle)).scale(1).epsilon(1e-5));
                CHECK(static_cast<double>(sines[i]) ==
                      doctest::Approx(0.5 * std::sin(angle)).scale(1).epsilon(1e-5));
            }
            CHECK(cosines[count] == -7.0f);
            CHECK(sines[count] == -7.0f);
        }
    });
}

TEST_CASE("outcomes of a ring are tallied as one by one") {
    std::mt19937_64 random(15);
    for (int round = 0; round < 200; ++round) {
        std::uint64_t a[64], b[64];
        std::uint32_t traits[64];
        simd::OutcomeTags tags{
            static_cast<std::uint8_t>(random() % 3), static_cast<std::uint8_t>(random() % 3),
            static_cast<std::uint32_t>(random() % 64), 64, static_cast<std::uint32_t>(random() % 70)};
        if (round % 4 == 0) tags.valid = tags.split;
        const auto now = static_cast<std::uint32_t>(random());
        for (int i = 0; i < 64; ++i) {
            const std::uint32_t time = now - static_cast<std::uint32_t>(random() % 2000) + 300;
            a[i] = (random() % 3) << 56 | (random() & 0xFFFFFF) << 32 | time;
            b[i] = (random() % 3) << 56 | (random() & 0xFFFFFFFFFFFFFF);
            traits[i] = static_cast<std::uint32_t>(random() % 3 << 24 | (random() & 0x3FFFF));
        }
        simd::OutcomeTally expected{};
        simd::TraitTally lying{};
        for (std::uint32_t i = 0; i < tags.valid; ++i) {
            const std::uint64_t tag = i < tags.split ? tags.current : tags.before;
            const bool may_count =
                a[i] >> 56 == tag && i != tags.omitted && now - static_cast<std::uint32_t>(a[i]) < 1000;
            if (may_count && traits[i] >> 24 == tag) {
                lying.ranks += traits[i] >> 16 & 1;
                lying.rank_sum += traits[i] & 255;
                lying.off_grids += traits[i] >> 17 & 1;
                lying.off_grid_sum += traits[i] >> 8 & 255;
            }
            if (!may_count || b[i] >> 56 != tag) continue;
            ++expected.queries;
            for (int bit = 0; bit < 16; ++bit) {
                expected.flags[bit] =
                    static_cast<std::uint8_t>(expected.flags[bit] + (a[i] >> (32 + bit) & 1));
            }
            if (a[i] >> 34 & 1) expected.values += b[i] >> 48 & 255;
        }
        on_every_target([&] {
            const simd::OutcomeTally tally = simd::tally_outcomes(a, b, tags, now, 1000, 2);
            CHECK(tally.queries == expected.queries);
            CHECK(tally.values == expected.values);
            for (int bit = 0; bit < 16; ++bit) CHECK(tally.flags[bit] == expected.flags[bit]);
            const simd::TraitTally where = simd::tally_traits(a, traits, tags, now, 1000);
            CHECK(where.ranks == lying.ranks);
            CHECK(where.rank_sum == lying.rank_sum);
            CHECK(where.off_grids == lying.off_grids);
            CHECK(where.off_grid_sum == lying.off_grid_sum);
        });
    }
}

TEST_CASE("word bits, every byte at every place") {
    on_every_target([&] {
        for (unsigned value = 0; value < 256; ++value) {
            for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 130u}) {
                std::string text(size, 'x');
                const std::size_t at = size == 0 ? 0 : value * 7 % size;
                if (size != 0) text[at] = static_cast<char>(value);
                std::vector<std::uint64_t> spaces(size / 64 + 1), special(size / 64 + 1);
                simd::word_bits(text.data(), size, spaces.data(), special.data());
                const bool space = (value >= 9 && value <= 13) || (value >= 28 && value <= 32);
                const bool odd =
                    value >= 128 || (value >= '0' && value <= '9') || value == '"' || value == '\'';
                for (std::size_t i = 0; i < 64 * spaces.size(); ++i) {
                    CHECK((spaces[i / 64] >> i % 64 & 1) == (i >= size || (i == at && space)));
                    CHECK((special[i / 64] >> i % 64 & 1) == (i < size && i == at && odd));
                }
            }
        }
    });
}

TEST_CASE("words whose lower half is the one looked for") {
    std::mt19937_64 random(21);
    std::vector<std::uint64_t> words(64);
    for (std::uint64_t& word : words) word = random() | 1;  // odd
    for (const std::size_t at : {0u, 7u, 31u, 63u}) {
        const std::uint64_t before = words[at];
        on_every_target([&] {
            words[at] = before;
            CHECK_FALSE(simd::any_low_half(words.data(), 0xABCDEF00));
            words[at] = 0x1234567800000000 | 0xABCDEF00;
            CHECK(simd::any_low_half(words.data(), 0xABCDEF00));
            words[at] = 0xABCDEF0000000001;  // in the upper half
            CHECK_FALSE(simd::any_low_half(words.data(), 0xABCDEF00));
        });
        words[at] = before;
    }
}

TEST_CASE("rings of buckets, any size, epochs that wrap") {
    std::mt19937_64 random(22);
    constexpr std::uint64_t generation = 5ull << simd::ring_count_bits;
    for (const std::size_t places : {2u, 3u, 4u, 5u, 8u, 20u, 32u}) {
        for (const std::uint64_t epoch : {1'000ull, 3ull, 0xFFFFFFFFull}) {
            for (std::size_t current = 0; current < places; ++current) {
                std::vector<std::uint64_t> ring(places);
                std::uint64_t expected = 0;
                for (std::size_t place = 0; place < places; ++place) {
                    const std::size_t behind = (current + places - place) % places;
                    const std::uint64_t count = random() % 100;
                    const unsigned kind = random() % 4;
                    const std::uint64_t other = kind == 0   ? places
                                                : kind == 1 ? ~std::uint64_t{0}
                                                            : 0;  // epochs off
                    ring[place] = (epoch - behind - other) << 32 | (kind == 2 ? 0 : generation) | count;
                    expected += kind == 3 ? count : 0;
                }
                on_every_target([&] {
                    CHECK(simd::count_ring(ring.data(), places, current, epoch << 32 | generation) ==
                          expected);
                });
            }
        }
    }
}
