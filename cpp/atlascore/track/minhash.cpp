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
constexpr std::size_t batch = 512;      // windows hashed at a time
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

// Terms and least hash per bin. Within a bin the least hash is the one of least rank.
struct SignatureSink {
    alignas(64) std::uint32_t counts[128] = {};  // by bits 0..6: bit 6 set counts up, clear counts down
    alignas(64) std::uint64_t minima[64];

    SignatureSink() { std::fill(std::begin(minima), std::end(minima), unfilled); }
    void operator()(std::uint64_t h) noexcept {
        ++counts[h & 127];
        std::uint64_t& least = minima[h >> 8 & 63];
        if (h < least) [[unlikely]] {
            least = h;
        }
    }
};

struct PowerOfTwoSink {
    std::uint64_t* minima;
    std::uint64_t mask;
    void operator()(std::uint64_t h) noexcept {
        std::uint64_t& least = minima[h >> 8 & mask];
        if (h < least) least = h;
    }
};

struct AnySink {
    std::uint64_t* minima;
    std::uint64_t bins;
    void operator()(std::uint64_t h) noexcept {
        std::uint64_t& least = minima[(h >> 8) % bins];
        if (h < least) least = h;
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
            for (std::size_t i = 0; i < some; ++i) sink_(buffers_.hashes[i]);
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

void minhash_words(std::string_view text, std::uint64_t seed, AnySink sink) {
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
    SignatureSink sink;
    out.shingles = consume(text, seed, scratch, sink, &out.digest);
    for (std::size_t i = 0; i < 64; ++i) {
        out.terms[i] = static_cast<std::int32_t>(sink.counts[64 + i] - sink.counts[i]);
    }
    if (out.shingles < minimum_shingles) {
        std::fill(std::begin(out.ranks), std::end(out.ranks), 0);
        return;
    }
    std::copy(std::begin(sink.minima), std::end(sink.minima), out.ranks);
    densify(out.ranks, seed);
}

void minhash(std::string_view text, std::uint64_t seed, bool words, TextScratch& scratch,
             std::span<std::uint64_t> out) {
    std::fill(out.begin(), out.end(), unfilled);
    if (words) {
        minhash_words(text, seed, AnySink{out.data(), out.size()});
    } else if (std::has_single_bit(out.size())) {
        PowerOfTwoSink sink{out.data(), out.size() - 1};
        consume(text, seed, scratch, sink, nullptr);
    } else {
        AnySink sink{out.data(), out.size()};
        consume(text, seed, scratch, sink, nullptr);
    }
    densify(out, seed);
}

}  // namespace atlascore::track
