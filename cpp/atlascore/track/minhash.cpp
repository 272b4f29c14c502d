// The 1 to 20 bytes of a shingle are hashed inline: a library call would cost as much as the hash.
#define XXH_INLINE_ALL
#include "atlascore/track/minhash.hpp"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "atlascore/simd/kernels.hpp"
#include "atlascore/track/wide_digest.hpp"

namespace atlascore::track {
namespace {

constexpr std::size_t shingle_points = 5;
constexpr std::size_t shingle_words = 5;
constexpr std::size_t carry_room = 64;  // 4 code points of up to 4 bytes, aligned
constexpr std::size_t piece_room = 16384;
constexpr std::size_t read_slack = 64;  // hash_windows5 reads so far behind its last window
constexpr std::size_t batch = 128;      // windows hashed at a time
constexpr std::size_t ascii_worthwhile = 12;
constexpr std::uint64_t unfilled = ~std::uint64_t{0};

bool ascii(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x80;
}

// Bytes of the code point that starts with `lead`, in valid UTF-8.
std::size_t point_size(char lead) noexcept {
    const auto byte = static_cast<unsigned char>(lead);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// What xxh3-64 of 5 bytes xors its input with: two words of its secret, less the mixed seed.
std::uint64_t window_flip(std::uint64_t seed) noexcept {
    const auto mixed = seed ^ static_cast<std::uint64_t>(__builtin_bswap32(static_cast<std::uint32_t>(seed)))
                                  << 32;
    return (XXH_readLE64(XXH3_kSecret + 8) ^ XXH_readLE64(XXH3_kSecret + 16)) - mixed;
}

// No branch: whether a hash is the least so far follows no pattern that a processor could learn.
void lower(std::uint64_t& least, std::uint64_t h) noexcept {
    least = std::min(least, h);
}

// Lowers the minima of mask + 1 bins, a power of two. The hashes are used up.
void lower_minima(std::uint64_t* minima, std::uint64_t mask, std::uint64_t* hashes,
                  std::size_t count) noexcept {
    const std::size_t kept = simd::keep_candidates(hashes, count, minima, mask + 1);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kept; ++i) lower(minima[hashes[i] >> 8 & mask], hashes[i]);
}

// Least hash of each bin, which is the one of least rank.
struct MinimaSink {
    std::span<std::uint64_t> minima;
    std::uint64_t mask = std::has_single_bit(minima.size()) ? minima.size() - 1 : 0;

    void operator()(std::uint64_t h) noexcept {
        lower(minima[mask != 0 ? h >> 8 & mask : (h >> 8) % minima.size()], h);
    }
    void take(std::uint64_t* hashes, std::size_t count) noexcept {
        if (mask != 0) return lower_minima(minima.data(), mask, hashes, count);
        for (std::size_t i = 0; i < count; ++i) (*this)(hashes[i]);
    }
};

// The least hash of each of 64 bins, and the terms.
struct SignatureSink {
    std::uint64_t* minima;
    // By bits 0..7: bit 6 set counts up, clear counts down; bit 7 says nothing.
    alignas(64) std::uint32_t counts[256] = {};

    void operator()(std::uint64_t h) noexcept {
        ++counts[h & 255];
        lower(minima[h >> 8 & 63], h);
    }
    void take(std::uint64_t* hashes, std::size_t count) noexcept {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < count; ++i) ++counts[hashes[i] & 255];
        lower_minima(minima, 63, hashes, count);
    }
    std::int32_t term(std::size_t i) const noexcept {
        return static_cast<std::int32_t>(counts[64 + i] + counts[192 + i] - counts[i] - counts[128 + i]);
    }
};

}  // namespace

struct TextScratch::Buffers {
    alignas(64) char text[carry_room + piece_room + read_slack];
    alignas(64) std::uint64_t hashes[batch + 8];
    XXH3_state_t digest;
};

TextScratch::TextScratch() : buffers_(std::make_unique<Buffers>()) {}
TextScratch::~TextScratch() = default;

namespace {

// Cuts normalised text, given in pieces, into shingles and feeds their hashes to a sink.
template <class Sink>
class Shingler {
  public:
    Shingler(TextScratch::Buffers& buffers, std::uint64_t seed, Sink& sink)
        : buffers_(buffers), seed_(seed), flip_(window_flip(seed)), sink_(sink) {
        append_space();
    }

    // Where the next piece goes, of at most piece_room bytes.
    char* room() noexcept { return buffers_.text + carried_; }

    void take(std::size_t size) noexcept {
        const char* end = room() + size;
        const char* rest = hash_windows(buffers_.text, end);
        carried_ = static_cast<std::size_t>(end - rest);
        std::memmove(buffers_.text, rest, carried_);
    }

    // Closes the text with its last space; returns the number of shingles.
    std::uint64_t finish() noexcept {
        append_space();
        take(0);
        if (shingles_ == 0) {
            sink_(XXH3_64bits_withSeed(buffers_.text, carried_, seed_));
            shingles_ = 1;
        }
        return shingles_;
    }

  private:
    struct Step {
        const char* at;
        bool ended;
    };

    void append_space() noexcept { buffers_.text[carried_++] = ' '; }

    // All windows of 5 code points inside [at, end); returns where the first incomplete one starts.
    const char* hash_windows(const char* at, const char* end) noexcept {
        while (true) {
            const std::size_t run = simd::ascii_prefix(at, static_cast<std::size_t>(end - at));
            if (run >= shingle_points) {
                hash_ascii(at, run - (shingle_points - 1));
                at += run - (shingle_points - 1);
            }
            if (at + (shingle_points - 1) >= end) return at;
            const Step step = hash_mixed(at, end);
            if (step.ended) return step.at;
            at = step.at;
        }
    }

    void hash_ascii(const char* at, std::size_t count) noexcept {
        shingles_ += count;
        for (std::size_t done = 0; done < count; done += batch) {
            const std::size_t some = std::min(batch, count - done);
            simd::hash_windows5(at + done, some, flip_, buffers_.hashes);
            sink_.take(buffers_.hashes, some);
        }
    }

    // Window by window from `at`, to the first incomplete one or to an ASCII run that is worth the other way.
    Step hash_mixed(const char* at, const char* end) noexcept {
        const char* stop = at;
        for (std::size_t i = 0; i < shingle_points; ++i) {
            if (stop == end) return {at, true};
            stop += point_size(*stop);
        }
        while (true) {
            sink_(XXH3_64bits_withSeed(at, static_cast<std::size_t>(stop - at), seed_));
            ++shingles_;
            const bool was_ascii = ascii(*at);
            at += point_size(*at);
            if (stop == end) return {at, true};
            if (!was_ascii && ascii(*at) &&
                simd::ascii_prefix(at, static_cast<std::size_t>(end - at)) >= ascii_worthwhile) {
                return {at, false};
            }
            stop += point_size(*stop);
        }
    }

    TextScratch::Buffers& buffers_;
    std::uint64_t seed_, flip_;
    Sink& sink_;
    std::size_t carried_ = 0;
    std::uint64_t shingles_ = 0;
};

// Normalises, shingles and, where asked, digests the text. Returns the number of shingles.
template <class Sink>
std::uint64_t consume(std::string_view text, std::uint64_t seed, TextScratch& scratch, Sink& sink,
                      base::Digest128* digest) noexcept {
    TextScratch::Buffers& buffers = scratch.buffers();
    Shingler<Sink> shingler(buffers, seed, sink);
    text::Normaliser normaliser(text);
    bool first = true, streaming = false;
    while (const std::size_t size = normaliser.next(shingler.room(), piece_room)) {
        if (digest != nullptr) {
            if (first && normaliser.exhausted()) {
                *digest = wide_digest(shingler.room(), size, seed);
            } else {
                if (!streaming) XXH3_128bits_reset_withSeed(&buffers.digest, seed);
                streaming = true;
                XXH3_128bits_update(&buffers.digest, shingler.room(), size);
            }
        }
        first = false;
        shingler.take(size);
    }
    if (digest != nullptr && first) *digest = base::digest128("", 0, seed);
    if (streaming) {
        const XXH128_hash_t h = XXH3_128bits_digest(&buffers.digest);
        *digest = {h.low64, h.high64};
    }
    return shingler.finish();
}

// Least hashes to ranks; an empty bin takes the first bin of its own fixed sequence that some shingle filled.
void densify(std::span<std::uint64_t> bins, std::uint64_t seed) noexcept {
    constexpr std::uint64_t copied = std::uint64_t{1} << 63;  // ranks have 50 bits
    const std::uint64_t count = bins.size();
    std::uint64_t empty = 0;
    for (std::uint64_t& value : bins) {
        if (value == unfilled) {
            ++empty;
        } else {
            value >>= 14;
        }
    }
    if (empty == 0) return;
    for (std::uint64_t bin = 0; bin < count; ++bin) {
        if (bins[bin] != unfilled) continue;
        std::uint64_t attempt = bin, donor;
        do {
            attempt += count;
            donor = XXH3_64bits_withSeed(&attempt, sizeof attempt, seed) % count;
        } while (bins[donor] >= copied);
        bins[bin] = bins[donor] | copied;
    }
    for (std::uint64_t& value : bins) value &= ~copied;
}

void minhash_words(std::string_view text, std::uint64_t seed, MinimaSink sink) {
    const std::string normal = text::normalise(text);
    std::vector<std::size_t> starts;  // of the words, and one past the end of the last
    for (std::size_t at = 0; at < normal.size(); at = normal.find(' ', at) + 1) {
        starts.push_back(at);
        if (normal.find(' ', at) == std::string::npos) break;
    }
    starts.push_back(normal.size() + 1);
    const std::size_t words = starts.size() - 1;
    if (words < shingle_words) return sink(XXH3_64bits_withSeed(normal.data(), normal.size(), seed));
    for (std::size_t first = 0; first + shingle_words <= words; ++first) {
        const std::size_t size = starts[first + shingle_words] - 1 - starts[first];
        sink(XXH3_64bits_withSeed(normal.data() + starts[first], size, seed));
    }
}

}  // namespace

void text_signature(std::string_view text, std::uint64_t seed, TextScratch& scratch,
                    TextSignature& out) noexcept {
    std::fill(std::begin(out.ranks), std::end(out.ranks), unfilled);
    SignatureSink sink{out.ranks};
    out.shingles = consume(text, seed, scratch, sink, &out.digest);
    for (std::size_t i = 0; i < 64; ++i) out.terms[i] = sink.term(i);
    if (out.shingles < minimum_shingles) {
        std::fill(std::begin(out.ranks), std::end(out.ranks), 0);
        return;
    }
    densify(out.ranks, seed);
}

void minhash(std::string_view text, std::uint64_t seed, bool words, TextScratch& scratch,
             std::span<std::uint64_t> out) {
    std::fill(out.begin(), out.end(), unfilled);
    MinimaSink sink{out};
    if (words) {
        minhash_words(text, seed, sink);
    } else {
        consume(text, seed, scratch, sink, nullptr);
    }
    densify(out, seed);
}

}  // namespace atlascore::track
