// Decision ids: "dec_" and the lower-case base32 of one AES-128 block over instance, producer and sequence
// number. An id is unique, names its entry to whoever holds the salt, and tells anybody else nothing, not
// even order.
#pragma once

#include <openssl/aes.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "atlascore/log/commitment.hpp"

namespace atlascore::log {

struct DecisionName {
    std::uint64_t instance;
    std::uint16_t producer;
    std::uint64_t sequence;  // below 2^48
    friend bool operator==(const DecisionName&, const DecisionName&) = default;
};

class DecisionIds {
  public:
    // The key is HKDF-SHA-256 of the salt with info "atlascore decision id".
    explicit DecisionIds(const Salt& salt);

    std::string id(const DecisionName& name) const;
    // The name behind an id. Nothing when `id` has not the form of one; an id made with another salt gives a
    // name of no instance.
    std::optional<DecisionName> name(std::string_view id) const;

  private:
    AES_KEY encrypt_;
    AES_KEY decrypt_;
};

}  // namespace atlascore::log
