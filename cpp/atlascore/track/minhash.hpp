// MinHash of texts: shingles of 5 code points over the normalised text, one permutation, densified. Source:
// detection specification, section 2.3; one-permutation hashing and its densification after Li, Owen and
// Zhang (2012) and Shrivastava (2017).
//
// One pass computes h = xxh3-64(UTF-8 of the shingle) and uses it for the MinHash and for the linear sketch.
// Any size of text works without allocation: the text is normalised and shingled piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "atlascore/base/hash.hpp"
#include "atlascore/text/normalise.hpp"

namespace atlascore::track {

// A text of fewer shingles can only be an exact duplicate of another, never a near pair.
inline constexpr std::uint32_t minimum_shingles = 16;

// The working memory of one thread, made before the hot path. About 22 KB.
class TextScratch {
  public:
    TextScratch();
    ~TextScratch();
    TextScratch(const TextScratch&) = delete;
    TextScratch& operator=(const TextScratch&) = delete;

    struct Buffers;
    Buffers& buffers() noexcept { return *buffers_; }

  private:
    std::unique_ptr<Buffers> buffers_;
};

struct TextSignature {
    alignas(64) std::int32_t terms[64];  // signed hashed term frequencies, not normalised
    std::uint64_t ranks[64];             // least h >> 14 of each bin, densified; 0 below minimum_shingles
    base::Digest128 digest;              // of the normalised text
    std::uint64_t shingles;              // occurrences
};

// The signature behind a text sketch.
void text_signature(std::string_view text, std::uint64_t seed, TextScratch& scratch,
                    TextSignature& out) noexcept;

// The public form: any number of bins, bin = (h >> 8) mod bins, ranks kept whole, shingles of 5 code points
// or 5 words. With 64 bins of code points the ranks are those of text_signature. `out` has at least one bin.
// Words allocate.
void minhash(std::string_view text, std::uint64_t seed, bool words, TextScratch& scratch,
             std::span<std::uint64_t> out);

}  // namespace atlascore::track
