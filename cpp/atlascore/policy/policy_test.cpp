#include <doctest/doctest.h>

#include "atlascore/policy/policy.hpp"

using namespace atlascore::policy;

TEST_CASE("globs match whole names") {
    CHECK(glob_match("fraud-v3", "fraud-v3"));
    CHECK_FALSE(glob_match("fraud", "fraud-v3"));
    CHECK(glob_match("chat-*", "chat-"));
    CHECK(glob_match("*a*b*", "xxaxxbxx"));
    CHECK_FALSE(glob_match("*a*b", "xxaxxbxx"));
    CHECK(glob_match("/v1/models/*:predict", "/v1/models/fraud-v3:predict"));
    CHECK(glob_match("v?", "v3"));
    CHECK_FALSE(glob_match("v?", "v"));
    CHECK(glob_match("", ""));
    CHECK_FALSE(glob_match("", "x"));
}

TEST_CASE("an empty selector matches everything, a filled one both parts") {
    Selector everywhere;
    CHECK(everywhere.matches("m", "/r"));
    Selector both{{"fraud-*"}, {"/v1/*"}};
    CHECK(both.matches("fraud-v3", "/v1/x"));
    CHECK_FALSE(both.matches("fraud-v3", "/v2/x"));
    CHECK_FALSE(both.matches("chat", "/v1/x"));
}

TEST_CASE("a model that was measured has its own components off, any other those of all") {
    Model model;
    CHECK(model.evidence_off("m1") == 0);
    model.measured_off = {{"m1", 1}, {"m2", 2}, {"m3", 0}};
    model.others_off = 3;
    CHECK(model.evidence_off("m1") == 1);
    CHECK(model.evidence_off("m2") == 2);
    CHECK(model.evidence_off("m3") == 0);
    CHECK(model.evidence_off("m4") == 3);
}
