// Part of the kernels: like them, compiled once for every target.
#if defined(ATLASCORE_SIMD_LOAD_TAIL) == defined(HWY_TARGET_TOGGLE)
#ifdef ATLASCORE_SIMD_LOAD_TAIL
#undef ATLASCORE_SIMD_LOAD_TAIL
#else
#define ATLASCORE_SIMD_LOAD_TAIL
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace atlascore::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The last, short vector of an array: the missing lanes are zero.
template <class D>
HWY_INLINE hn::Vec<D> load_tail(D d, const hn::TFromD<D>* from, std::size_t count) {
    HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(d)] = {};
    std::memcpy(lanes, from, count * sizeof(lanes[0]));
    return hn::Load(d, lanes);
}

}  // namespace atlascore::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
