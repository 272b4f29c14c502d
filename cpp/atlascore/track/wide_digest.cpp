#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// xxHash takes its vector code from this macro, and the pragma lets the compiler emit it.
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#define XXH_VECTOR 2  // XXH_AVX2
#define XXH_INLINE_ALL
#include <xxhash.h>

static XXH128_hash_t digest_avx2(const void* data, size_t size, uint64_t seed) {
    return XXH3_128bits_withSeed(data, size, seed);
}
#pragma GCC pop_options
#define ATLASCORE_DIGEST_AVX2
#endif

#include "atlascore/track/wide_digest.hpp"

namespace atlascore::track {

base::Digest128 wide_digest(const void* data, std::size_t size, std::uint64_t seed) noexcept {
#ifdef ATLASCORE_DIGEST_AVX2
    static const bool has_avx2 = __builtin_cpu_supports("avx2");
    if (has_avx2) {
        const XXH128_hash_t h = digest_avx2(data, size, seed);
        return {h.low64, h.high64};
    }
#endif
    return base::digest128(data, size, seed);
}

}  // namespace atlascore::track
