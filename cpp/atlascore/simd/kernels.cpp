#include "atlascore/simd/kernels.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "atlascore/simd/kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
// After foreach_target.h.
#include <hwy/contrib/math/math-inl.h>

#include "atlascore/simd/load_tail-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace atlascore::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;

const char* Target() {
    return hwy::TargetName(HWY_TARGET);
}

// Four running sums hide the latency of the fused multiply-add.
float Dot(const float* a, const float* b, std::size_t count) {
    const F32 d;
    const std::size_t n = hn::Lanes(d);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    std::size_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
        s1 = hn::MulAdd(hn::LoadU(d, a + i + n), hn::LoadU(d, b + i + n), s1);
        s2 = hn::MulAdd(hn::LoadU(d, a + i + 2 * n), hn::LoadU(d, b + i + 2 * n), s2);
        s3 = hn::MulAdd(hn::LoadU(d, a + i + 3 * n), hn::LoadU(d, b + i + 3 * n), s3);
    }
    for (; i + n <= count; i += n) s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    if (i < count) s1 = hn::MulAdd(load_tail(d, a + i, count - i), load_tail(d, b + i, count - i), s1);
    return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// a.b, a.a and b.b.
void PairProducts(const float* a, const float* b, std::size_t count, float* out) {
    const F32 d;
    const std::size_t n = hn::Lanes(d);
    auto ab0 = hn::Zero(d), aa0 = ab0, bb0 = ab0, ab1 = ab0, aa1 = ab0, bb1 = ab0;
    std::size_t i = 0;
    for (; i + 2 * n <= count; i += 2 * n) {
        const auto a0 = hn::LoadU(d, a + i), a1 = hn::LoadU(d, a + i + n);
        const auto b0 = hn::LoadU(d, b + i), b1 = hn::LoadU(d, b + i + n);
        ab0 = hn::MulAdd(a0, b0, ab0);
        aa0 = hn::MulAdd(a0, a0, aa0);
        bb0 = hn::MulAdd(b0, b0, bb0);
        ab1 = hn::MulAdd(a1, b1, ab1);
        aa1 = hn::MulAdd(a1, a1, aa1);
        bb1 = hn::MulAdd(b1, b1, bb1);
    }
    for (; i < count; i += n) {
        const auto a0 = i + n <= count ? hn::LoadU(d, a + i) : load_tail(d, a + i, count - i);
        const auto b0 = i + n <= count ? hn::LoadU(d, b + i) : load_tail(d, b + i, count - i);
        ab0 = hn::MulAdd(a0, b0, ab0);
        aa0 = hn::MulAdd(a0, a0, aa0);
        bb0 = hn::MulAdd(b0, b0, bb0);
    }
    out[0] = hn::GetLane(hn::SumOfLanes(d, hn::Add(ab0, ab1)));
    out[1] = hn::GetLane(hn::SumOfLanes(d, hn::Add(aa0, aa1)));
    out[2] = hn::GetLane(hn::SumOfLanes(d, hn::Add(bb0, bb1)));
}

// The sums of the lanes of four vectors at once: less than half the work of four sums.
template <class D>
HWY_INLINE void store_sums(D d, hn::Vec<D> a, hn::Vec<D> b, hn::Vec<D> c, hn::Vec<D> e, float* out) {
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
    out[0] = hn::GetLane(hn::SumOfLanes(d, a));
    out[1] = hn::GetLane(hn::SumOfLanes(d, b));
    out[2] = hn::GetLane(hn::SumOfLanes(d, c));
    out[3] = hn::GetLane(hn::SumOfLanes(d, e));
#else
    if constexpr (hn::MaxLanes(D()) > 4) {
        const hn::Half<D> half;
        const auto fold = [&](auto v)
                              HWY_ATTR { return hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)); };
        store_sums(half, fold(a), fold(b), fold(c), fold(e), out);
    } else {
        // Pairs of lanes side by side: a0+a2 b0+b2 a1+a3 b1+b3, and so for c and e.
        const auto ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
        const auto ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
        hn::StoreU(hn::Add(hn::ConcatLowerLower(d, ce, ab), hn::ConcatUpperUpper(d, ce, ab)), d, out);
    }
#endif
}

// Dot products and squared norms of four rows in one pass: each value of the query is loaded once for the
// four. Vectors of at most 32 bytes: arrays come aligned to 16, and wider loads would cross a cache line each
// time. The rows that come next are asked for early, because four short streams at a time are too many for
// some prefetchers.
void FourRows(const float* query, const float* rows, std::size_t width, bool prefetch, float* products,
              float* squares) {
    const hn::CappedTag<float, 8> d;
    const std::size_t n = hn::Lanes(d);
    const float *r0 = rows, *r1 = rows + width, *r2 = rows + 2 * width, *r3 = rows + 3 * width;
    auto p0 = hn::Zero(d), p1 = p0, p2 = p0, p3 = p0, q0 = p0, q1 = p0, q2 = p0, q3 = p0;
    const auto step = [&](auto q, auto v0, auto v1, auto v2, auto v3) HWY_ATTR {
        p0 = hn::MulAdd(q, v0, p0);
        p1 = hn::MulAdd(q, v1, p1);
        p2 = hn::MulAdd(q, v2, p2);
        p3 = hn::MulAdd(q, v3, p3);
        q0 = hn::MulAdd(v0, v0, q0);
        q1 = hn::MulAdd(v1, v1, q1);
        q2 = hn::MulAdd(v2, v2, q2);
        q3 = hn::MulAdd(v3, v3, q3);
    };
    std::size_t i = 0;
    for (; i + n <= width; i += n) {
        if (prefetch) {
            hwy::Prefetch(r0 + 4 * width + i);
            hwy::Prefetch(r1 + 4 * width + i);
            hwy::Prefetch(r2 + 4 * width + i);
            hwy::Prefetch(r3 + 4 * width + i);
        }
        step(hn::LoadU(d, query + i), hn::LoadU(d, r0 + i), hn::LoadU(d, r1 + i), hn::LoadU(d, r2 + i),
             hn::LoadU(d, r3 + i));
    }
    if (const std::size_t rest = width - i; rest != 0) {
        step(load_tail(d, query + i, rest), load_tail(d, r0 + i, rest), load_tail(d, r1 + i, rest),
             load_tail(d, r2 + i, rest), load_tail(d, r3 + i, rest));
    }
    store_sums(d, p0, p1, p2, p3, products);
    store_sums(d, q0, q1, q2, q3, squares);
}

// As integers: the largest magnitude says whether all are finite, and -0 with its sign turned is the least of
// all.
FloatCheck CheckFloats(const float* x, std::size_t count) {
    const hn::ScalableTag<std::uint32_t> d;
    const std::size_t n = hn::Lanes(d);
    const auto* bits = reinterpret_cast<const std::uint32_t*>(x);
    const auto minus = hn::Set(d, 0x80000000u);
    auto largest = hn::Zero(d), least = minus;
    const auto look = [&](auto v) HWY_ATTR {
        largest = hn::Max(largest, hn::AndNot(minus, v));
        least = hn::Min(least, hn::Xor(v, minus));
    };
    std::size_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        look(hn::LoadU(d, bits + i));
        look(hn::LoadU(d, bits + i + n));
        look(hn::LoadU(d, bits + i + 2 * n));
        look(hn::LoadU(d, bits + i + 3 * n));
    }
    for (; i + n <= count; i += n) look(hn::LoadU(d, bits + i));
    if (i < count) look(load_tail(d, bits + i, count - i));
    return {hn::GetLane(hn::MaxOfLanes(d, largest)) < 0x7F800000u,
            hn::GetLane(hn::MinOfLanes(d, least)) == 0};
}

template <class D>
HWY_INLINE hn::Vec<D> scaled(D d, hn::Vec<D> x, const Affine& scale, std::size_t at) {
    const auto center = scale.centers ? hn::LoadU(d, scale.centers + at) : hn::Set(d, scale.center);
    const auto inverse = scale.inverses ? hn::LoadU(d, scale.inverses + at) : hn::Set(d, scale.inverse);
    return hn::Mul(hn::Sub(x, center), inverse);
}

HWY_INLINE float scaled_one(float x, const Affine& scale, std::size_t at) {
    return (x - (scale.centers ? scale.centers[at] : scale.center)) *
           (scale.inverses ? scale.inverses[at] : scale.inverse);
}

void ScaleValues(const float* x, std::size_t count, const Affine& scale, float* out) {
    const F32 d;
    const std::size_t n = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + n <= count; i += n) hn::StoreU(scaled(d, hn::LoadU(d, x + i), scale, i), d, out + i);
    for (; i < count; ++i) out[i] = scaled_one(x[i], scale, i);
}

std::size_t CountOffGrid(const float* x, std::size_t count, const Grid& grid) {
    const F32 d;
    const std::size_t n = hn::Lanes(d);
    const auto most = hn::Set(d, 1e-3f), resolution = hn::Set(d, 0x1p-23f), zero = hn::Zero(d);
    const auto at = [&](const float* values, float one, std::size_t i, std::size_t rest) HWY_ATTR {
        if (values == nullptr) return hn::Set(d, one);
        return rest >= n ? hn::LoadU(d, values + i) : load_tail(d, values + i, rest);
    };
    std::size_t off = 0;
    for (std::size_t i = 0; i < count; i += n) {
        const std::size_t rest = count - i;
        const auto value = rest >= n ? hn::LoadU(d, x + i) : load_tail(d, x + i, rest);
        const auto inverse = at(grid.inverses, grid.inverse, i, rest);
        const auto step = at(grid.steps, grid.step, i, rest);
        const auto from = hn::Sub(value, at(grid.origins, grid.origin, i, rest));
        const auto beside = hn::Abs(hn::NegMulAdd(hn::Round(hn::Mul(from, inverse)), step, from));
        const auto finest = hn::Mul(resolution, hn::Max(hn::Abs(value), hn::Abs(from)));
        auto is_off = hn::Gt(beside, hn::Max(hn::Mul(most, step), finest));
        is_off = hn::And(is_off, hn::Ne(inverse, zero));
        if (rest < n) is_off = hn::And(is_off, hn::FirstN(d, rest));
        off += hn::CountTrue(d, is_off);
    }
    return off;
}

// Bit l of `signs` as the sign of lane l, for the lanes from `first`.
template <class D>
HWY_INLINE hn::Vec<D> with_signs([[maybe_unused]] D d, hn::Vec<D> v, std::uint64_t signs, std::size_t first) {
#if HWY_TARGET == HWY_SCALAR
    return (signs >> first) & 1 ? hn::Neg(v) : v;
#else
    const hn::RebindToUnsigned<D> du;
    // Lanes are at most 16: their sign bits fit a 32-bit word that each lane shifts to its own top.
    const auto word = hn::Set(du, static_cast<std::uint32_t>(signs >> first));
    const auto top = hn::Shl(word, hn::Sub(hn::Set(du, 31), hn::Iota(du, 0)));
    return hn::BitCast(d, hn::Xor(hn::BitCast(du, v), hn::And(top, hn::Set(du, 0x80000000u))));
#endif
}

// `scale_at(v, at)`: the features from `at` on, scaled.
template <class ScaleOf>
HWY_INLINE void add_blocks_scaled(const float* x, std::size_t width, const SketchBlock* blocks, float* sums,
                                  const Affine& scale, const ScaleOf& scale_at) {
    const hn::CappedTag<float, 16> d;
    const std::size_t n = hn::Lanes(d);
    const auto add = [&](float* into, std::size_t at, std::uint64_t signs, std::size_t l) HWY_ATTR {
        const auto z = scale_at(hn::LoadU(d, x + at + l), at + l);
        hn::StoreU(hn::Add(hn::LoadU(d, into + l), with_signs(d, z, signs, l)), d, into + l);
    };
    std::size_t first = 0;
    for (; first + 64 <= width; first += 64) {
        const SketchBlock block = *blocks++;
        for (std::size_t l = 0; l < 64; l += n) add(sums + block.rotation, first, block.signs, l);
    }
    if (first == width) return;
    const SketchBlock block = *blocks;
    float* const into = sums + block.rotation;
    std::size_t l = 0;
    for (; first + l + n <= width; l += n) add(into, first, block.signs, l);
    for (; first + l < width; ++l) {
        const float z = scaled_one(x[first + l], scale, first + l);
        into[l] += (block.signs >> l) & 1 ? -z : z;
    }
}

void AddBlocks(const float* x, std::size_t width, const Affine& scale, const SketchBlock* blocks,
               float* sums) {
    const hn::CappedTag<float, 16> d;
    const float *const centers = scale.centers, *const inverses = scale.inverses;
    if (centers != nullptr && inverses != nullptr) {
        add_blocks_scaled(x, width, blocks, sums, scale, [&](auto v, std::size_t at) HWY_ATTR {
            return hn::Mul(hn::Sub(v, hn::LoadU(d, centers + at)), hn::LoadU(d, inverses + at));
        });
    } else if (centers == nullptr && inverses == nullptr) {
        const auto center = hn::Set(d, scale.center), inverse = hn::Set(d, scale.inverse);
        add_blocks_scaled(x, width, blocks, sums, scale,
                          [&](auto v, std::size_t) HWY_ATTR { return hn::Mul(hn::Sub(v, center), inverse); });
    } else {
        add_blocks_scaled(x, width, blocks, sums, scale,
                          [&](auto v, std::size_t at) HWY_ATTR { return scaled(d, v, scale, at); });
    }
}

// By integer arithmetic, because not every target's own conversion rounds to the nearest.
void PackHalves(const float* x, std::uint16_t* out) {
    const hn::CappedTag<float, 16> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Rebind<std::uint16_t, decltype(d)> d16;
    const auto largest = hn::Set(d, 65504.0f), least_normal = hn::Set(d, 0x1p-14f), half = hn::Set(d, 0.5f);
    for (std::size_t i = 0; i < 64; i += hn::Lanes(d)) {
        const auto v = hn::LoadU(d, x + i);
        const auto size = hn::Min(hn::Abs(v), largest);
        const auto bits = hn::BitCast(di, size);
        // A normal half: rebias the exponent, and round the 13 bits that go to the nearest even.
        const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(di, 1));
        const auto normal = hn::ShiftRight<13>(hn::Add(hn::Sub(bits, hn::Set(di, (112 << 23) - 0xFFF)), odd));
        // A subnormal one: adding 0.5 rounds at the right bit.
        const auto subnormal = hn::Sub(hn::BitCast(di, hn::Add(size, half)), hn::BitCast(di, half));
        const auto is_subnormal = hn::RebindMask(di, hn::Lt(size, least_normal));
        const auto sign = hn::BitCast(di, hn::ShiftRight<16>(hn::BitCast(hn::RebindToUnsigned<decltype(d)>(),
                                                                         hn::And(v, hn::Set(d, -0.0f)))));
        const auto halves = hn::Or(hn::IfThenElse(is_subnormal, subnormal, normal), sign);
        hn::StoreU(hn::DemoteTo(d16, halves), d16, out + i);
    }
}

template <class D>
HWY_INLINE hn::Vec<D> squared_differences(D d, const float* x, const hwy::float16_t* halves) {
    const hn::Rebind<hwy::float16_t, D> dh;
    const std::size_t n = hn::Lanes(d);
    auto even = hn::Zero(d), odd = even;
    for (std::size_t i = 0; i + 2 * n <= 64; i += 2 * n) {
        const auto u = hn::Sub(hn::LoadU(d, x + i), hn::PromoteTo(d, hn::LoadU(dh, halves + i)));
        const auto v = hn::Sub(hn::LoadU(d, x + i + n), hn::PromoteTo(d, hn::LoadU(dh, halves + i + n)));
        even = hn::MulAdd(u, u, even);
        odd = hn::MulAdd(v, v, odd);
    }
    return hn::Add(even, odd);
}

void SquaredDistances(const float* x, const std::uint16_t* rows, std::size_t count, float* out) {
    const hn::CappedTag<float, 16> d;
    const auto* halves = reinterpret_cast<const hwy::float16_t*>(rows);
    const auto row = [&](std::size_t i) HWY_ATTR { return squared_differences(d, x, halves + 64 * i); };
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) store_sums(d, row(i), row(i + 1), row(i + 2), row(i + 3), out + i);
    for (; i < count; ++i) out[i] = hn::GetLane(hn::SumOfLanes(d, row(i)));
}

void UnpackHalves(const std::uint16_t* x, float* out) {
    const hn::CappedTag<float, 16> d;
    const hn::Rebind<hwy::float16_t, decltype(d)> dh;
    const auto* halves = reinterpret_cast<const hwy::float16_t*>(x);
    for (std::size_t i = 0; i < 64; i += hn::Lanes(d)) {
        hn::StoreU(hn::PromoteTo(d, hn::LoadU(dh, halves + i)), d, out + i);
    }
}

void FourDots(const float* vectors, const std::uint16_t* rows, std::size_t count, float* out) {
    const hn::CappedTag<float, 16> d;
    const hn::Rebind<hwy::float16_t, decltype(d)> dh;
    const auto* halves = reinterpret_cast<const hwy::float16_t*>(rows);
    for (std::size_t row = 0; row < count; ++row, halves += 64) {
        auto a = hn::Zero(d), b = a, c = a, e = a;
        for (std::size_t i = 0; i < 64; i += hn::Lanes(d)) {
            const auto x = hn::PromoteTo(d, hn::LoadU(dh, halves + i));
            a = hn::MulAdd(x, hn::LoadU(d, vectors + i), a);
            b = hn::MulAdd(x, hn::LoadU(d, vectors + 64 + i), b);
            c = hn::MulAdd(x, hn::LoadU(d, vectors + 128 + i), c);
            e = hn::MulAdd(x, hn::LoadU(d, vectors + 192 + i), e);
        }
        store_sums(d, a, b, c, e, out + 4 * row);
    }
}

void EqualBytes(const std::uint8_t* x, const std::uint8_t* rows, std::size_t stride, std::size_t count,
                std::uint32_t* out) {
    const hn::CappedTag<std::uint8_t, 64> d;
    const std::size_t n = hn::Lanes(d);
    for (std::size_t row = 0; row < count; ++row, rows += stride) {
        std::size_t equal = 0;
        for (std::size_t i = 0; i < 64; i += n) {
            equal += hn::CountTrue(d, hn::Eq(hn::LoadU(d, x + i), hn::LoadU(d, rows + i)));
        }
        out[row] = static_cast<std::uint32_t>(equal);
    }
}

// One byte a lane for each of eight bits: 1 where it is set.
template <class D>
HWY_INLINE hn::Vec<D> spread_bits(D d, hn::Vec<D> bits) {
    auto v = hn::And(bits, hn::Set(d, 0xFF));
    v = hn::Or(v, hn::ShiftLeft<8>(v));
    v = hn::Or(v, hn::ShiftLeft<16>(v));
    v = hn::Or(v, hn::ShiftLeft<32>(v));
    // Bit i of byte i is left; the sum carries it to the top of its byte.
    v = hn::Add(hn::And(v, hn::Set(d, 0x8040201008040201u)), hn::Set(d, 0x00406070787C7E7Fu));
    return hn::And(hn::ShiftRight<7>(v), hn::Set(d, 0x0101010101010101u));
}

void TallyOutcomes(const std::uint64_t* a, const std::uint64_t* b, const OutcomeTags& tags, std::uint32_t now,
                   std::uint32_t window, unsigned summed, OutcomeTally* out) {
    constexpr std::size_t places = 64;
    const hn::CappedTag<std::uint64_t, 8> d;
    const auto low_half = hn::Set(d, 0xFFFFFFFFu), byte = hn::Set(d, 0xFF), zero = hn::Zero(d);
    const auto current = hn::Set(d, tags.current), before = hn::Set(d, tags.before);
    const auto split = hn::Set(d, tags.split), valid = hn::Set(d, tags.valid);
    const auto omitted = hn::Set(d, tags.omitted), at_now = hn::Set(d, now), span = hn::Set(d, window);
    const auto summed_flag = hn::Set(d, std::uint64_t{1} << (32 + summed));
    auto first = zero, second = zero, values = zero, queries = zero;
    for (std::size_t i = 0; i < places; i += hn::Lanes(d)) {
        const auto place = hn::Iota(d, i);
        const auto x = hn::LoadU(d, a + i), y = hn::LoadU(d, b + i);
        const auto tag = hn::IfThenElse(hn::Lt(place, split), current, before);
        const auto age = hn::And(hn::Sub(at_now, hn::And(x, low_half)), low_half);
        auto counts = hn::And(hn::Eq(hn::ShiftRight<56>(x), tag), hn::Eq(hn::ShiftRight<56>(y), tag));
        counts = hn::And(counts, hn::And(hn::Lt(age, span), hn::Lt(place, valid)));
        counts = hn::And(counts, hn::Ne(place, omitted));
        const auto flags = hn::IfThenElseZero(counts, x);
        first = hn::Add(first, spread_bits(d, hn::ShiftRight<32>(flags)));
        second = hn::Add(second, spread_bits(d, hn::ShiftRight<40>(flags)));
        const auto adds = hn::Ne(hn::And(flags, summed_flag), zero);
        values = hn::Add(values, hn::IfThenElseZero(adds, hn::And(hn::ShiftRight<48>(y), byte)));
        queries = hn::Add(queries, hn::IfThenElseZero(counts, hn::Set(d, 1)));
    }
    const std::uint64_t sums[2] = {hn::GetLane(hn::SumOfLanes(d, first)),
                                   hn::GetLane(hn::SumOfLanes(d, second))};
    std::memcpy(out->flags, sums, sizeof sums);
    out->values = static_cast<std::uint32_t>(hn::GetLane(hn::SumOfLanes(d, values)));
    out->queries = static_cast<std::uint32_t>(hn::GetLane(hn::SumOfLanes(d, queries)));
}

void TallyTraits(const std::uint64_t* a, const std::uint32_t* traits, const OutcomeTags& tags,
                 std::uint32_t now, std::uint32_t window, TraitTally* out) {
    constexpr std::size_t places = 64;
    const hn::CappedTag<std::uint64_t, 8> d;
    const hn::Rebind<std::uint32_t, decltype(d)> narrow;
    const auto low_half = hn::Set(d, 0xFFFFFFFFu);
    const auto current = hn::Set(d, tags.current), before = hn::Set(d, tags.before);
    const auto split = hn::Set(d, tags.split), valid = hn::Set(d, tags.valid);
    const auto omitted = hn::Set(d, tags.omitted), at_now = hn::Set(d, now), span = hn::Set(d, window);
    auto sums = hn::Zero(d);  // four fields of 16 bits, which 64 bytes cannot fill
    for (std::size_t i = 0; i < places; i += hn::Lanes(d)) {
        const auto place = hn::Iota(d, i);
        const auto x = hn::LoadU(d, a + i), y = hn::PromoteTo(d, hn::LoadU(narrow, traits + i));
        const auto tag = hn::IfThenElse(hn::Lt(place, split), current, before);
        const auto age = hn::And(hn::Sub(at_now, hn::And(x, low_half)), low_half);
        auto counts = hn::And(hn::Eq(hn::ShiftRight<56>(x), tag), hn::Eq(hn::ShiftRight<24>(y), tag));
        counts = hn::And(counts, hn::And(hn::Lt(age, span), hn::Lt(place, valid)));
        counts = hn::And(counts, hn::Ne(place, omitted));
        const auto field = [&](std::uint64_t bits) HWY_ATTR { return hn::And(y, hn::Set(d, bits)); };
        const auto fields =
            hn::Or(hn::Or(field(0xFF), hn::ShiftLeft<8>(field(0xFF00))),
                   hn::Or(hn::ShiftLeft<16>(field(0x10000)), hn::ShiftLeft<31>(field(0x20000))));
        sums = hn::Add(sums, hn::IfThenElseZero(counts, fields));
    }
    const std::uint64_t sum = hn::GetLane(hn::SumOfLanes(d, sums));
    *out = {static_cast<std::uint32_t>(sum >> 32 & 0xFFFF), static_cast<std::uint32_t>(sum & 0xFFFF),
            static_cast<std::uint32_t>(sum >> 48), static_cast<std::uint32_t>(sum >> 16 & 0xFFFF)};
}

bool AnyLowHalf(const std::uint64_t* words, std::uint32_t half) {
    constexpr std::size_t places = 64;
    const hn::CappedTag<std::uint64_t, 8> d;
    const auto wanted = hn::Set(d, half), low_half = hn::Set(d, 0xFFFFFFFFu);
    auto any = hn::Zero(d);
    for (std::size_t i = 0; i < places; i += hn::Lanes(d)) {
        const auto equal = hn::Eq(hn::And(hn::LoadU(d, words + i), low_half), wanted);
        any = hn::Or(any, hn::VecFromMask(d, equal));
    }
    return !hn::AllTrue(d, hn::Eq(any, hn::Zero(d)));
}

void Hamming(std::uint64_t x, const std::uint64_t* words, std::size_t count, std::uint32_t* out) {
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint32_t>(std::popcount(x ^ words[i]));
}

void MinMerge(std::uint64_t* into, const std::uint64_t* from, std::size_t count) {
    const hn::ScalableTag<std::uint64_t> d;
    const std::size_t n = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + n <= count; i += n) {
        hn::StoreU(hn::Min(hn::LoadU(d, into + i), hn::LoadU(d, from + i)), d, into + i);
    }
    for (; i < count; ++i) into[i] = from[i] < into[i] ? from[i] : into[i];
}

// outputs `j` to `j + vectors n` of Project. Every sum runs in `chains` parts, so that six of them, or four,
// hide each other's latency.
template <std::size_t vectors, std::size_t chains, class D>
HWY_INLINE void project_block(D d, const float* matrix, const float* x, std::size_t inputs,
                              std::size_t outputs, float* out) {
    const std::size_t n = hn::Lanes(d);
    hn::Vec<D> sums[vectors * chains];
    for (auto& sum : sums) sum = hn::Zero(d);
    std::size_t i = 0;
    for (; i + chains <= inputs; i += chains) {
        for (std::size_t c = 0; c < chains; ++c) {
            const auto v = hn::Set(d, x[i + c]);
            const float* const row = matrix + (i + c) * outputs;
            for (std::size_t k = 0; k < vectors; ++k)
                sums[c * vectors + k] = hn::MulAdd(v, hn::LoadU(d, row + k * n), sums[c * vectors + k]);
        }
    }
    for (; i < inputs; ++i) {
        for (std::size_t k = 0; k < vectors; ++k)
            sums[k] = hn::MulAdd(hn::Set(d, x[i]), hn::LoadU(d, matrix + i * outputs + k * n), sums[k]);
    }
    for (std::size_t k = 0; k < vectors; ++k) {
        for (std::size_t c = 1; c < chains; ++c) sums[k] = hn::Add(sums[k], sums[c * vectors + k]);
        hn::StoreU(sums[k], d, out + k * n);
    }
}

void Project(const float* matrix, const float* x, std::size_t inputs, std::size_t outputs, float* out) {
    std::size_t j = 0;
#if !HWY_HAVE_SCALABLE
    const hn::CappedTag<float, 16> d;
    const std::size_t n = hn::Lanes(d);
    for (; j + 6 * n <= outputs; j += 6 * n) project_block<6, 1>(d, matrix + j, x, inputs, outputs, out + j);
    for (; j + 3 * n <= outputs; j += 3 * n) project_block<3, 2>(d, matrix + j, x, inputs, outputs, out + j);
    for (; j + n <= outputs; j += n) project_block<1, 4>(d, matrix + j, x, inputs, outputs, out + j);
#endif
    for (; j < outputs; ++j) {
        float sum = 0;
        for (std::size_t i = 0; i < inputs; ++i) sum += x[i] * matrix[i * outputs + j];
        out[j] = sum;
    }
}

void CosSin(const float* x, std::size_t count, float scale, float* cosines, float* sines) {
    const F32 d;
    const std::size_t n = hn::Lanes(d);
    const auto factor = hn::Set(d, scale);
    std::size_t i = 0;
    for (; i + n <= count; i += n) {
        const auto angle = hn::LoadU(d, x + i);
        hn::StoreU(hn::Mul(factor, hn::CallCos(d, angle)), d, cosines + i);
        hn::StoreU(hn::Mul(factor, hn::CallSin(d, angle)), d, sines + i);
    }
    if (i == count) return;
    HWY_ALIGN float lanes[hn::MaxLanes(d)];
    const auto angle = load_tail(d, x + i, count - i);
    hn::Store(hn::Mul(factor, hn::CallCos(d, angle)), d, lanes);
    std::memcpy(cosines + i, lanes, (count - i) * sizeof(float));
    hn::Store(hn::Mul(factor, hn::CallSin(d, angle)), d, lanes);
    std::memcpy(sines + i, lanes, (count - i) * sizeof(float));
}

// The place that is written now is `current`; the epoch of the places behind it is one less each, around the
// ring.
std::uint64_t CountRing(const std::uint64_t* ring, std::size_t places, std::size_t current,
                        std::uint64_t empty) {
    constexpr std::uint64_t epoch = std::uint64_t{1} << 32;
    const auto count_one = [&](std::size_t place) {
        const std::size_t behind = place <= current ? current - place : current + places - place;
        const std::uint64_t count = ring[place] - (empty - behind * epoch);
        return count >> ring_count_bits == 0 ? count : 0;
    };
    std::uint64_t sum = 0;
    std::size_t i = 0;
#if !HWY_HAVE_SCALABLE && HWY_TARGET != HWY_SCALAR
    const hn::CappedTag<std::uint64_t, 4> d;  // rings have few places
    const std::size_t n = hn::Lanes(d);
    const auto zero = hn::Zero(d), turn = hn::Set(d, places * epoch), at = hn::Set(d, current);
    auto place = hn::Iota(d, 0), total = zero;
    auto expected = hn::Add(hn::Set(d, empty - current * epoch), hn::ShiftLeft<32>(place));
    for (; i + n <= places; i += n) {
        const auto of_before = hn::IfThenElseZero(hn::Gt(place, at), turn);
        const auto count = hn::Sub(hn::LoadU(d, ring + i), hn::Sub(expected, of_before));
        const auto fits = hn::Eq(hn::ShiftRight<ring_count_bits>(count), zero);
        total = hn::Add(total, hn::IfThenElseZero(fits, count));
        place = hn::Add(place, hn::Set(d, n));
        expected = hn::Add(expected, hn::Set(d, n * epoch));
    }
    sum = hn::GetLane(hn::SumOfLanes(d, total));
#endif
    for (; i < places; ++i) sum += count_one(i);
    return sum;
}

}  // namespace atlascore::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atlascore::simd {

HWY_EXPORT(Target);
HWY_EXPORT(Dot);
HWY_EXPORT(PairProducts);
HWY_EXPORT(FourRows);
HWY_EXPORT(CheckFloats);
HWY_EXPORT(ScaleValues);
HWY_EXPORT(CountOffGrid);
HWY_EXPORT(AddBlocks);
HWY_EXPORT(PackHalves);
HWY_EXPORT(SquaredDistances);
HWY_EXPORT(UnpackHalves);
HWY_EXPORT(FourDots);
HWY_EXPORT(EqualBytes);
HWY_EXPORT(TallyOutcomes);
HWY_EXPORT(TallyTraits);
HWY_EXPORT(AnyLowHalf);
HWY_EXPORT(Hamming);
HWY_EXPORT(MinMerge);
HWY_EXPORT(Project);
HWY_EXPORT(CosSin);
HWY_EXPORT(CountRing);

namespace {

// In the nearer caches asking early only costs.
constexpr std::size_t prefetch_from = 1 << 17;

// Within these bounds squares and products of float32 neither overflow nor lose digits to underflow.
bool ordinary(float square) {
    return square > 1e-24f && square < 1e30f;
}

double cosine_of(double ab, double aa, double bb) {
    const double norms = std::sqrt(aa) * std::sqrt(bb);
    return norms == 0.0 ? 0.0 : std::fmax(-1.0, std::fmin(1.0, ab / norms));
}

// For values beyond the range of float32 squares: double holds any product of two finite floats.
double wide_cosine(const float* a, const float* b, std::size_t count) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < count; ++i) {
        ab += static_cast<double>(a[i]) * b[i];
        aa += static_cast<double>(a[i]) * a[i];
        bb += static_cast<double>(b[i]) * b[i];
    }
    const double sum = ab + aa + bb;
    return std::isfinite(sum) ? cosine_of(ab, aa, bb) : std::nan("");
}

bool is_zero(const float* x, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        if (x[i] != 0.0f) return false;
    }
    return true;
}

}  // namespace

float dot(const float* a, const float* b, std::size_t count) noexcept {
    return HWY_DYNAMIC_DISPATCH(Dot)(a, b, count);
}

double cosine(const float* a, const float* b, std::size_t count) noexcept {
    float products[3];
    HWY_DYNAMIC_DISPATCH(PairProducts)(a, b, count, products);
    if (!ordinary(products[1]) || !ordinary(products[2])) return wide_cosine(a, b, count);
    return cosine_of(products[0], products[1], products[2]);
}

Nearest nearest(const float* query, const float* rows, std::size_t count, std::size_t width) noexcept {
    const float query_square = dot(query, query, width);
    const bool query_ordinary = ordinary(query_square);
    const double query_scale = 1.0 / std::sqrt(static_cast<double>(query_square));
    Nearest best{0, -2.0};
    bool found = false;
    const auto offer = [&](std::size_t row, float product, float square) {
        double value;
        if (query_ordinary && ordinary(square)) {
            value = product * query_scale / std::sqrt(static_cast<double>(square));
        } else {
            const float* values = rows + row * width;
            value = wide_cosine(query, values, width);
            if (std::isnan(value)) return false;
            if (is_zero(values, width)) return true;
        }
        if (value > best.cosine) best = {row, value};
        found = true;
        return true;
    };
    const auto four_rows = HWY_DYNAMIC_DISPATCH(FourRows);
    const bool prefetch = count * width > prefetch_from;
    float products[4], squares[4];
    std::size_t row = 0;
    for (; row + 4 <= count; row += 4) {
        four_rows(query, rows + row * width, width, prefetch && row + 8 <= count, products, squares);
        for (std::size_t i = 0; i < 4; ++i) {
            if (!offer(row + i, products[i], squares[i])) return {row + i, std::nan("")};
        }
    }
    for (; row < count; ++row) {
        HWY_DYNAMIC_DISPATCH(PairProducts)(query, rows + row * width, width, products);
        if (!offer(row, products[0], products[2])) return {row, std::nan("")};
    }
    if (!found) return {0, 0.0};
    best.cosine = std::fmax(-1.0, std::fmin(1.0, best.cosine));
    return best;
}

FloatCheck check_floats(const float* x, std::size_t count) noexcept {
    return HWY_DYNAMIC_DISPATCH(CheckFloats)(x, count);
}

void scale_values(const float* x, std::size_t count, const Affine& scale, float* out) noexcept {
    HWY_DYNAMIC_DISPATCH(ScaleValues)(x, count, scale, out);
}

std::size_t count_off_grid(const float* x, std::size_t count, const Grid& grid) noexcept {
    return HWY_DYNAMIC_DISPATCH(CountOffGrid)(x, count, grid);
}

void add_blocks(const float* x, std::size_t width, const Affine& scale, const SketchBlock* blocks,
                float* sums) noexcept {
    HWY_DYNAMIC_DISPATCH(AddBlocks)(x, width, scale, blocks, sums);
}

void pack_halves(const float* x, std::uint16_t* out) noexcept {
    HWY_DYNAMIC_DISPATCH(PackHalves)(x, out);
}

void squared_distances(const float* x, const std::uint16_t* rows, std::size_t count, float* out) noexcept {
    HWY_DYNAMIC_DISPATCH(SquaredDistances)(x, rows, count, out);
}

// As PackHalves does it.
std::uint16_t to_half(float x) noexcept {
    const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16 & 0x8000);
    const float size = std::fmin(std::fabs(x), 65504.0f);
    const auto bits = std::bit_cast<std::uint32_t>(size);
    if (size < 0x1p-14f) {
        return static_cast<std::uint16_t>(
            sign | (std::bit_cast<std::uint32_t>(size + 0.5f) - std::bit_cast<std::uint32_t>(0.5f)));
    }
    const std::uint32_t rounded = bits - ((112u << 23) - 0xFFF) + (bits >> 13 & 1);
    return static_cast<std::uint16_t>(sign | rounded >> 13);
}

float from_half(std::uint16_t half) noexcept {
    const std::uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 0) {
        const float size = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -size : size;
    }
    const std::uint32_t biased = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | biased << 23 | fraction << 13);
}

void unpack_halves(const std::uint16_t* x, float* out) noexcept {
    HWY_DYNAMIC_DISPATCH(UnpackHalves)(x, out);
}

void four_dots(const float* vectors, const std::uint16_t* rows, std::size_t count, float* out) noexcept {
    HWY_DYNAMIC_DISPATCH(FourDots)(vectors, rows, count, out);
}

void equal_bytes(const std::uint8_t* x, const std::uint8_t* rows, std::size_t stride, std::size_t count,
                 std::uint32_t* out) noexcept {
    HWY_DYNAMIC_DISPATCH(EqualBytes)(x, rows, stride, count, out);
}

OutcomeTally tally_outcomes(const std::uint64_t* a, const std::uint64_t* b, const OutcomeTags& tags,
                            std::uint32_t now, std::uint32_t window, unsigned summed) noexcept {
    OutcomeTally tally;
    HWY_DYNAMIC_DISPATCH(TallyOutcomes)(a, b, tags, now, window, summed, &tally);
    return tally;
}

TraitTally tally_traits(const std::uint64_t* a, const std::uint32_t* traits, const OutcomeTags& tags,
                        std::uint32_t now, std::uint32_t window) noexcept {
    TraitTally tally;
    HWY_DYNAMIC_DISPATCH(TallyTraits)(a, traits, tags, now, window, &tally);
    return tally;
}

bool any_low_half(const std::uint64_t* words, std::uint32_t half) noexcept {
    return HWY_DYNAMIC_DISPATCH(AnyLowHalf)(words, half);
}

void hamming(std::uint64_t x, const std::uint64_t* words, std::size_t count, std::uint32_t* out) noexcept {
    HWY_DYNAMIC_DISPATCH(Hamming)(x, words, count, out);
}

void min_merge(std::uint64_t* into, const std::uint64_t* from, std::size_t count) noexcept {
    HWY_DYNAMIC_DISPATCH(MinMerge)(into, from, count);
}

void project(const float* matrix, const float* x, std::size_t inputs, std::size_t outputs,
             float* out) noexcept {
    HWY_DYNAMIC_DISPATCH(Project)(matrix, x, inputs, outputs, out);
}

void cos_sin(const float* x, std::size_t count, float scale, float* cosines, float* sines) noexcept {
    HWY_DYNAMIC_DISPATCH(CosSin)(x, count, scale, cosines, sines);
}

std::uint64_t count_ring(const std::uint64_t* ring, std::size_t places, std::size_t current,
                         std::uint64_t empty) noexcept {
    return HWY_DYNAMIC_DISPATCH(CountRing)(ring, places, current, empty);
}

const char* active_target() noexcept {
    return HWY_DYNAMIC_DISPATCH(Target)();
}

std::vector<std::int64_t> available_targets() {
    return hwy::SupportedAndGeneratedTargets();
}

const char* target_name(std::int64_t target) {
    return hwy::TargetName(target);
}

void force_target_for_test(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace atlascore::simd
#endif
