// Where a principal goes, over all models: 96 B of its record (principal_table.hpp).
//
//   models      two words, hours of even and of odd number: hour 16 | bits 48
//   endpoints   two of two such words
//   requests    two words: hour 16 | refused 24 | made 24
//   evidence    four words, of reconnaissance; the layer above knows their form
//
// Distinct names by linear counting: a name sets one bit, and n bits of which z are unset stand for n ln(n /
// z) names. Standard error at 10 models and at 20 endpoints: one and one and a half. It ends at 186 models
// and 438 endpoints.
//
// Two generations of an hour each. With `all` the union of both and f the elapsed share of the hour, a
// reading is all - f (all - current); requests of the previous hour count by 1 - f. So a reading covers one
// to two hours, what is older than one less and less.
//
// Who may see what when
//   A word is replaced by compare-exchange, at most 16 tries; then a request is not counted. The hour that a
//   word is of stands in it, so the first request of an hour empties it with its own write: it is never torn,
//   and who is killed leaves it whole.
//   A writer that slept while the record changed hands adds at most one request. Hours are equal again after
//   seven years. Time is the caller's; a late request counts where it belongs. All-zero memory is valid and
//   empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace atlascore::track {

// A model and an endpoint, as their bits.
struct Place {
    static constexpr std::uint8_t nowhere = 0xFF;
    std::uint8_t model = nowhere;
    std::uint8_t endpoint = nowhere;

    // Hashes of the names; 0 stands for none.
    static Place of(std::uint64_t model, std::uint64_t endpoint) noexcept;
};

struct PrincipalUse {
    static constexpr double generation_seconds = 3600.0;
    static constexpr unsigned word_bits = 48;
    static constexpr std::size_t endpoint_words = 2, evidence_words = 4;
    static constexpr std::uint32_t fewest_requests = 20;

    // What the words hold of the hour and of the one before it, at one time: to be read, and to try out on
    // what a request would change.
    struct Reading {
        // [0]: of this hour; [1]: of both, of requests only the hour before.
        std::uint64_t models[2], endpoints[endpoint_words][2], requests[2];
        std::uint64_t evidence[evidence_words];
        double elapsed;  // share of the hour

        // Whether the model or the endpoint is new.
        bool add_request(Place place, std::uint64_t rows = 1) noexcept;
        double distinct_models() const noexcept;
        double distinct_endpoints() const noexcept;
        double error_ratio() const noexcept;  // NaN below 20 requests
        // Different models and endpoints of both hours, by their bits.
        unsigned places() const noexcept;
    };
    Reading reading(double now) const noexcept;
    // The usual case without a reading: this hour the principal was at this place and nowhere else, in the
    // hour before at most there, nothing was refused, and nothing is in evidence. Then the number of its
    // requests.
    std::optional<std::uint64_t> quiet(Place place, double now) const noexcept;
    static const double one_model, one_endpoint;  // what a reading says of one

    // A batch counts as its rows.
    void add_request(Place place, double now, std::uint64_t rows = 1) noexcept;
    // The request made at `made` was refused.
    void add_error(double made, std::uint64_t rows = 1) noexcept;

    // Layout; only the member functions touch it.
    std::uint64_t models[2];
    std::uint64_t endpoints[2][endpoint_words];
    std::uint64_t requests[2];
    std::uint64_t evidence[evidence_words];
};
static_assert(sizeof(PrincipalUse) == 96 && std::is_trivially_copyable_v<PrincipalUse>);

}  // namespace atlascore::track
