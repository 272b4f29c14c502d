#include "atlascore/track/geometry.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "atlascore/base/bits.hpp"
#include "atlascore/simd/kernels.hpp"

namespace atlascore::track {

Between between(const float* x, const float* a, const float* b, float shortest) noexcept {
    float uu = 0, vv = 0, qq = 0, uv = 0, qv = 0;
    for (std::size_t i = 0; i < linear_size; ++i) {
        const float u = x[i] - a[i], v = b[i] - a[i], q = b[i] - x[i];
        uu += u * u;
        vv += v * v;
        qq += q * q;
        uv += u * v;
        qv += q * v;
    }
    const float least = shortest * shortest;
    if (uu < least || vv < least || qq < least) return {};
    const float u = std::sqrt(uu), v = std::sqrt(vv), q = std::sqrt(qq);
    Between result;
    result.between = uv > collinear_cosine * u * v && qv > collinear_cosine * q * v;
    result.midpoint = result.between && u > halving_from * v && u < halving_to * v;
    return result;
}

std::uint64_t changed_coordinates(const SlotRow& a, const SlotRow& b) noexcept {
    float x[linear_size], y[linear_size];
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(a.words), x);
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(b.words), y);
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < linear_size; ++i) {
        mask |= static_cast<std::uint64_t>(std::abs(x[i] - y[i]) > coordinate_change) << i;
    }
    return mask;
}

std::uint64_t dominant_coordinates(const SlotRow& a, const SlotRow& b) noexcept {
    constexpr float share = collinear_cosine * collinear_cosine;
    float x[linear_size], y[linear_size];
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(a.words), x);
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(b.words), y);
    float total = 0, first = 0, second = 0;
    std::size_t at_first = 0, at_second = 0;
    for (std::size_t i = 0; i < linear_size; ++i) {
        const float square = (x[i] - y[i]) * (x[i] - y[i]);
        total += square;
        if (square > first) {
            second = first;
            at_second = at_first;
            first = square;
            at_first = i;
        } else if (square > second) {
            second = square;
            at_second = i;
        }
    }
    if (total == 0) return 0;
    if (first >= share * total) return std::uint64_t{1} << at_first;
    if (first + second < share * total) return ~std::uint64_t{0};
    return std::uint64_t{1} << at_first | std::uint64_t{1} << at_second;
}

bool is_sparse(std::uint64_t changed, std::uint32_t width) noexcept {
    const unsigned count = base::count_bits(changed);
    if (count == 0) return false;  // nothing that a coordinate could explain
    if (width > linear_size) return count <= 4;
    return count <= std::max(2.0, 0.05 * width);
}

bool is_dense(std::uint64_t changed, std::uint32_t width) noexcept {
    const std::uint32_t coordinates = std::min<std::uint32_t>(width, linear_size);
    return base::count_bits(changed) >= std::max(8u, (coordinates + 3) / 4);
}

namespace {

constexpr std::size_t latest_words = linear_size * sizeof(float) / 8;
constexpr std::size_t direction_words = linear_size * sizeof(std::uint16_t) / 8;

}  // namespace

Head unpack(const HeadRow& row) noexcept {
    Head head;
    std::memcpy(head.latest, row.words, sizeof head.latest);
    simd::unpack_halves(reinterpret_cast<const std::uint16_t*>(row.words + latest_words), head.direction);
    head.step = std::bit_cast<float>(static_cast<std::uint32_t>(row.words[latest_words + direction_words]));
    return head;
}

HeadRow pack(const Head& head) noexcept {
    HeadRow row{};
    std::memcpy(row.words, head.latest, sizeof head.latest);
    simd::pack_halves(head.direction, reinterpret_cast<std::uint16_t*>(row.words + latest_words));
    row.words[latest_words + direction_words] = std::bit_cast<std::uint32_t>(head.step);
    return row;
}

Head first_head(const float* x) noexcept {
    Head head{};
    std::memcpy(head.latest, x, sizeof head.latest);
    return head;
}

Turn step_from(const Head& head, const float* x, Head& next) noexcept {
    std::memcpy(next.latest, x, sizeof next.latest);
    for (std::size_t i = 0; i < linear_size; ++i) next.direction[i] = x[i] - head.latest[i];
    const auto product = [](const float* a, const float* b) { return simd::dot(a, b, linear_size); };
    next.step = std::sqrt(product(next.direction, next.direction));
    const float scale = next.step > 0 ? 1 / next.step : 0.0f;
    for (float& value : next.direction) value *= scale;
    const float shortest = head_precision * std::sqrt(product(x, x));
    Turn turn;
    turn.measured = next.step >= shortest && head.step >= shortest && head.step > 0 && next.step > 0;
    if (!turn.measured) return turn;
    turn.cosine =
        product(next.direction, head.direction) / std::sqrt(product(head.direction, head.direction));
    turn.ratio = next.step / head.step;
    return turn;
}

}  // namespace atlascore::track
