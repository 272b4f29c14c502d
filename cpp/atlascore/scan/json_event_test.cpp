#include "atlascore/scan/json_event.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>

#include "atlascore/scan/line_source.hpp"
#include "atlascore/scan/timestamp.hpp"

using namespace atlascore::scan;
using atlascore::event::Value;
using atlascore::event::ValueKind;

namespace {

const std::vector<std::string> fields = {"client.address", "tags", "a.b", "n", "messages.role", "time"};

// A line in memory of exactly its size and the padding, so that the sanitizer sees reads behind it.
struct Reader {
    FieldTable table{fields};
    JsonEventParser parser{table};
    ScanEvent event;
    std::unique_ptr<char[]> memory;

    std::string_view keep(std::string_view line) {
        memory = std::make_unique<char[]>(line.size() + LineSource::padding);
        std::memcpy(memory.get(), line.data(), line.size());
        return {memory.get(), line.size()};
    }
    bool parse(std::string_view line) { return parser.parse(keep(line), event); }
    std::optional<double> time(std::string_view line) { return parser.time(keep(line)); }
    const Value& field(std::size_t i) const { return event.fields[i]; }
};

}  // namespace

TEST_CASE("the arguments of decide and record, under either name") {
    Reader r;
    REQUIRE(
        r.parse(R"({"time":1,"api.principal":"k","model":"m","api":{"method":"predict"},"endpoint":"/e",)"
                R"("session":7,"request_id":"q","text":"caf\u00e9","cost":2,"digest":"ab",)"
                R"("response":{"label":"spam","scores":[0.25,0.75],"text":"no","cost":0.5,"status":429}})"));
    CHECK(r.event.principal == "k");
    CHECK(r.event.model == "m");
    CHECK(r.event.method == "predict");
    CHECK(r.event.endpoint == "/e");
    CHECK(r.event.session == "7");
    CHECK(r.event.request_id == "q");
    CHECK(r.event.has_text);
    CHECK(r.event.text == "caf\xC3\xA9");
    CHECK(r.event.cost == 2);
    CHECK(r.event.digest == "ab");
    CHECK(r.event.response.present);
    CHECK(r.event.response.label.as_text() == "spam");
    CHECK(r.event.response.scores.values == std::vector<double>{0.25, 0.75});
    CHECK(r.event.response.text == "no");
    CHECK(r.event.response.cost == 0.5);
    CHECK(r.event.response.status == 429);

    REQUIRE(r.parse(R"({"principal":null,"text":null,"response":null,"vector":null,"row":null})"));
    CHECK(r.event.principal.empty());
    CHECK_FALSE(r.event.has_text);
    CHECK_FALSE(r.event.response.present);
    CHECK(r.event.response.status == 200);
    CHECK(r.event.vector.rank == 0);
    CHECK(r.event.rows == 0);
}

TEST_CASE("vectors, images and rows, one or a batch") {
    Reader r;
    REQUIRE(r.parse(
        R"({"vector":[1,-2.5,3e2],"image":[[[1],[2]],[[3],[4]],[[5],[6]]],"row":{"age":31,"job":"x"}})"));
    CHECK(r.event.vector.values == std::vector<float>{1, -2.5, 300});
    CHECK(r.event.vector.rank == 1);
    CHECK(r.event.image.rank == 3);
    CHECK(r.event.image.shape == std::array<std::size_t, 4>{3, 2, 1, ~std::size_t{0}});
    CHECK(r.event.rows == 1);
    CHECK(r.event.row[1].name == "job");
    CHECK(r.event.row[1].value.as_text() == "x");

    REQUIRE(
        r.parse(R"({"vector":[[1,2],[3,4],[5,6]],"row":[[1,"a"],{"x":null}],"response":{"label":[1,2,3]}})"));
    CHECK(r.event.vector.rank == 2);
    CHECK(r.event.vector.shape[0] == 3);
    CHECK(r.event.vector.shape[1] == 2);
    CHECK(r.event.rows == 2);
    CHECK(r.event.row[2].row == 1);
    CHECK(r.event.row[2].value.kind == ValueKind::null);
    CHECK(r.event.response.label.size == 3);
    CHECK(r.event.response.label.items[2].int64 == 3);

    for (const char* line :
         {R"({"vector":[]})", R"({"vector":[[1],[2,3]]})", R"({"vector":[1,[2]]})", R"({"vector":[[1],2]})",
          R"({"vector":["a"]})", R"({"vector":{}})", R"({"vector":[[[[[1]]]]]})", R"({"row":3})",
          R"({"row":[1,[2]]})", R"({"row":{"a":[1]}})", R"({"principal":["a"]})", R"({"principal":{}})",
          R"({"text":5})", R"({"cost":"1"})", R"({"response":[]})", R"({"response":{"label":{}}})",
          R"({"response":{"status":"200"}})", R"({"fields":1})"}) {
        CAPTURE(line);
        CHECK_FALSE(r.parse(line));
        CHECK(r.parser.reason().find(": ") != std::string::npos);
    }
}

TEST_CASE("event fields: flattened, the flatter key wins, arrays yield all elements") {
    Reader r;
    REQUIRE(r.parse(R"({"client":{"address":"1.2.3.4"},"a.b":1,"a":{"b":2},"tags":["x",["y",null]],)"
                    R"("messages":[{"role":"user"},{"role":"tool","x":1},{"role":["a","b"]}],"n":true})"));
    CHECK(r.field(0).as_text() == "1.2.3.4");
    REQUIRE(r.field(1).size == 3);
    CHECK(r.field(1).items[1].as_text() == "y");
    CHECK(r.field(1).items[2].kind == ValueKind::null);
    CHECK(r.field(2).int64 == 1);
    CHECK(r.field(3).boolean);
    REQUIRE(r.field(4).size == 4);
    CHECK(r.field(4).items[1].as_text() == "tool");
    CHECK(r.field(4).items[3].as_text() == "b");

    REQUIRE(r.parse(R"({"a":{"b":2},"a.b":1,"tags":[],"tags":"last","n":1,"n":2,"time":5})"));
    CHECK(r.field(0).kind == ValueKind::missing);
    CHECK(r.field(1).as_text() == "last");
    CHECK(r.field(2).int64 == 1);
    CHECK(r.field(3).int64 == 2);
    CHECK(r.field(5).int64 == 5);

    REQUIRE(r.parse(R"({"tags":"first","tags":[1],"tags":[2,3],"fields":{"n":4,"a.b":5,"principal":"no"}})"));
    CHECK(r.field(1).size == 2);
    CHECK(r.field(2).int64 == 5);
    CHECK(r.field(3).int64 == 4);
    CHECK(r.event.principal.empty());
}

TEST_CASE("a list of texts is a batch") {
    Reader r;
    REQUIRE(r.parse(R"({"text":["one","tw\u00f6",""]})"));
    CHECK(r.event.has_text);
    CHECK(r.event.texts == std::vector<std::string_view>{"one", "tw\xC3\xB6", ""});
    CHECK(r.event.text == "one\ntw\xC3\xB6\n");
    REQUIRE(r.parse(R"({"text":["a","b"],"text":"alone"})"));
    CHECK(r.event.texts.empty());
    CHECK(r.event.text == "alone");
    for (const char* line : {R"({"text":[]})", R"({"text":["a",5]})", R"({"text":["a",null]})",
                             R"({"text":[["a"]]})", R"({"text":["a"})"}) {
        CAPTURE(line);
        CHECK_FALSE(r.parse(line));
    }
}

TEST_CASE("numbers keep their value, or their text where none fits") {
    Reader r;
    const auto number = [&](const std::string& text) {
        REQUIRE(r.parse("{\"n\":" + text + "}"));
        return r.field(3);
    };
    CHECK(number("-9223372036854775808").int64 == std::numeric_limits<std::int64_t>::min());
    CHECK(number("18446744073709551615").uint64 == std::numeric_limits<std::uint64_t>::max());
    CHECK(number("18446744073709551616").as_text() == "18446744073709551616");
    CHECK(number("-99999999999999999999 ").as_text() == "-99999999999999999999");
    CHECK(number("1e999").as_text() == "1e999");
    CHECK(number("0.1").real == 0.1);
    for (const char* line : {R"({"n":01})", R"({"n":1a})", R"({"n":-})", R"({"n":99999999999999999999x})",
                             R"({"n":nul})", R"({"n":tru})", R"({"n":})"}) {
        CAPTURE(line);
        CHECK_FALSE(r.parse(line));
    }
}

TEST_CASE("strings: escapes, surrogates, bytes that are not UTF-8") {
    Reader r;
    const auto text = [&](const std::string& json) {
        REQUIRE(r.parse("{\"text\":\"" + json + "\"}"));
        return std::string(r.event.text);
    };
    CHECK(text(R"(\"\\\/\b\f\n\r\t)") == "\"\\/\b\f\n\r\t");
    CHECK(text(R"(\ud83d\ude00!)") == "\xF0\x9F\x98\x80!");
    CHECK(text(R"(\ud83dx\ude00\ud83d\ud83d\ude00)") ==
          "\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\x98\x80");
    CHECK(text("\xff\xc3(") == "\xEF\xBF\xBD\xEF\xBF\xBD(");
    CHECK(text(R"(\u0000)") == std::string(1, '\0'));
    CHECK(r.parse(R"({"\u0074ext":"key"})"));
    CHECK(r.event.text == "key");
    for (const char* line : {R"({"text":"\x"})", R"({"text":"\u12g4"})", R"({"text":"\u-123"})",
                             R"({"text":"\u12"})", "{\"text\":\"a\tb\"}"}) {
        CAPTURE(line);
        CHECK_FALSE(r.parse(line));
    }
}

TEST_CASE("time: the first of time and now that has a value") {
    Reader r;
    CHECK(r.time(R"({"time": 12.5, "x": 1})") == 12.5);
    CHECK(r.time(R"({"now":1e3})") == 1000);
    CHECK(r.time(R"({"x":1,"time":null,"now":"2026-09-01T00:00:00Z"})") == 1788220800.0);
    CHECK(r.time(R"({"x":{"time":1},"\u0074ime":-3})") == -3);
    CHECK(r.time(R"({"time":0})") == 0);
    CHECK_FALSE(r.time(R"({"x":1})"));
    CHECK(r.parser.reason() == "time missing");
    for (const char* line : {R"({"time":"soon"})", R"({"time":01})", R"({"time":1.})", R"({"time":[1]})",
                             R"({"time":true})", R"({"time":1e999})", "[1]", "", "null", "{"}) {
        CAPTURE(line);
        CHECK_FALSE(r.time(line));
    }
}

TEST_CASE("timestamps of RFC 3339") {
    CHECK(parse_timestamp("1970-01-01T00:00:00Z") == 0.0);
    CHECK(parse_timestamp("2026-09-01t12:00:00.25+02:00") == 1788256800.25);
    CHECK(parse_timestamp("2026-09-01 12:00:00-00:30") == 1788265800.0);
    CHECK(parse_timestamp("2016-12-31T23:59:60z") == parse_timestamp("2017-01-01T00:00:00z"));
    CHECK(parse_timestamp("2024-02-29T00:00:00Z"));
    for (const char* text :
         {"", "2026-09-01", "2026-09-01T12:00:00", "2026-09-31T12:00:00Z", "2026-13-01T12:00:00Z",
          "2026-09-01T24:00:00Z", "2026-09-01T12:00:00.Z", "2026-09-01T12:00:00+0200",
          "2026-09-01T12:00:00Zx", "2023-02-29T00:00:00Z", "+026-09-01T12:00:00Z"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_timestamp(text));
    }
}

TEST_CASE("bad lines are refused: cut off, joined, nested too deep") {
    Reader r;
    const std::string deep = "{\"tags\":" + std::string(100, '[') + std::string(100, ']') + "}";
    CHECK_FALSE(r.parse(deep));
    CHECK(r.parser.reason() == "nested deeper than 64");
    CHECK(r.parse("{\"tags\":" + std::string(63, '[') + std::string(63, ']') + "}"));
    const std::string whole = R"({"time":1,"client":{"address":"a"},"tags":["x",{"y":1}]})";
    REQUIRE(r.parse(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(r.parse(whole.substr(0, size)));
    }
    CHECK_FALSE(r.parse(whole + whole));
    CHECK_FALSE(r.parse(whole + "x"));
    CHECK_FALSE(r.parse(R"({"a" 1})"));
}

TEST_CASE("mutated lines never crash") {
    Reader r;
    const std::string whole =
        R"({"time":1795000000.5,"principal":"k","text":"a\ud83d\ude00\n","vector":[[1,2],[3,4.5e-3]],"row":{"a":null},)"
        R"("tags":["x",{"y":[1]}],"messages":[{"role":"u"}],"n":18446744073709551616,"fields":{"a.b":false},)"
        R"("response":{"label":[1],"scores":[0.5],"status":200}})";
    std::mt19937_64 random(7);
    const std::string alphabet = "{}[]\",:\\0123456789.eE+-tfnu \xff\xc3\xed\x80";
    std::uint64_t good = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string line = whole;
        for (auto left = random() % 4; left-- > 0 && !line.empty();) {
            const std::size_t at = random() % line.size();
            switch (random() % 4) {
                case 0:
                    line[at] = alphabet[random() % alphabet.size()];
                    break;
                case 1:
                    line.erase(at, random() % 9);
                    break;
                case 2:
                    line.insert(at, 1, alphabet[random() % alphabet.size()]);
                    break;
                default:
                    line.insert(at, line.substr(random() % line.size(), random() % 20));
                    break;
            }
        }
        r.time(line);
        good += r.parse(line);
    }
    CHECK(good > 3'000);
    CHECK(good < 17'000);
}
