#include "atlascore/track/minhash.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "atlascore/base/hash.hpp"
#include "atlascore/simd/kernels.hpp"
#include "atlascore/text/unicode.hpp"

using namespace atlascore;

namespace {

constexpr std::uint64_t seed = 0x5EED;

std::vector<std::uint64_t> plain_hashes(std::string_view text) {
    std::string normal(1, ' ');
    normal.append(text::normalise(text)).push_back(' ');
    std::vector<std::size_t> starts;
    const char* at = normal.data();
    const char* end = at + normal.size();
    while (at != end) {
        starts.push_back(static_cast<std::size_t>(at - normal.data()));
        text::decode_utf8(at, end);
    }
    starts.push_back(normal.size());
    std::vector<std::uint64_t> hashes;
    for (std::size_t i = 0; i + 5 < starts.size(); ++i) {
        hashes.push_back(base::hash64(normal.data() + starts[i], starts[i + 5] - starts[i], seed));
    }
    if (hashes.empty()) hashes.push_back(base::hash64(normal, seed));
    return hashes;
}

void check_signature(std::string_view text, track::TextScratch& scratch) {
    track::TextSignature signature;
    track::text_signature(text, seed, scratch, signature);
    const auto hashes = plain_hashes(text);
    std::int32_t terms[64] = {};
    std::map<std::uint64_t, std::uint64_t> ranks;
    for (const std::uint64_t h : hashes) {
        terms[h % 64] += h >> 6 & 1 ? 1 : -1;
        const auto [place, fresh] = ranks.try_emplace(h >> 8 & 63, h >> 14);
        if (!fresh) place->second = std::min(place->second, h >> 14);
    }
    CHECK(signature.shingles == hashes.size());
    CHECK(std::equal(terms, terms + 64, signature.terms));
    if (hashes.size() >= track::minimum_shingles) {
        for (const auto& [bin, rank] : ranks) CHECK(signature.ranks[bin] == rank);
    }
    const std::string normal = text::normalise(text);
    CHECK(signature.digest == base::digest128(normal.data(), normal.size(), seed));
    std::uint64_t bins[64];
    track::minhash(text, seed, false, scratch, bins);
    if (hashes.size() >= track::minimum_shingles) CHECK(std::equal(bins, bins + 64, signature.ranks));
}

}  // namespace

TEST_CASE("signatures of short, long, plain and mixed texts on every target") {
    std::mt19937 generator(1);
    const char* const parts[] = {"word ",      "a",   "\u00e9",     "\u6f22\u5b57",
                                 "\U0001F600", " \n", "The Quick ", "\xFF"};
    track::TextScratch scratch;
    for (const std::int64_t target : simd::available_targets()) {
        simd::force_target_for_test(target);
        for (const std::size_t size : {0, 1, 4, 5, 15, 17, 100, 1000, 16383, 16384, 16390, 40000}) {
            check_signature(std::string(size, 'x'), scratch);
            std::string mixed;
            while (mixed.size() < size) mixed += parts[generator() % (size % 2 == 0 ? 8 : 2)];
            check_signature(mixed, scratch);
        }
    }
    simd::force_target_for_test(0);
}

TEST_CASE("an empty bin takes the first filled bin of its sequence") {
    track::TextScratch scratch;
    std::uint64_t bins[64];
    track::minhash("hi", seed, false, scratch, bins);
    const std::uint64_t only = base::hash64(" hi ", seed) >> 14;
    for (const std::uint64_t bin : bins) CHECK(bin == only);
}

TEST_CASE("words: windows of five, fewer are one shingle") {
    track::TextScratch scratch;
    std::uint64_t one[1];
    track::minhash("One  two THREE", seed, true, scratch, one);
    CHECK(one[0] == base::hash64("one two three", seed) >> 14);
    track::minhash("a b c d e f", seed, true, scratch, one);
    CHECK(one[0] == std::min(base::hash64("a b c d e", seed), base::hash64("b c d e f", seed)) >> 14);
    track::minhash("", seed, true, scratch, one);
    CHECK(one[0] == base::hash64("", seed) >> 14);
}
