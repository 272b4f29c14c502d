#include "atlascore/scan/json_lines.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include "atlascore/base/error.hpp"

using namespace atlascore::scan;

namespace {

class File {
  public:
    explicit File(const std::string& content) {
        const int file = ::mkstemp(path.data());
        REQUIRE(file >= 0);
        ::close(file);
        std::ofstream(path, std::ios::binary) << content;
    }
    ~File() { ::unlink(path.c_str()); }

    std::string path = "/tmp/atlascore-scan-XXXXXX";
};

struct Scanned {
    std::vector<std::uint64_t> lines;
    std::vector<std::uint64_t> late;
    std::map<std::uint64_t, std::string> bad;
    JsonLinesReader::Counts counts;
};

Scanned scan(const std::string& content, const OrderLimits& limits = {}) {
    const File file(content);
    Scanned all;
    JsonLinesReader reader(
        file.path, {}, [&](std::uint64_t line, std::string_view reason) { all.bad[line] = reason; }, limits);
    while (const ScanEvent* event = reader.next()) {
        all.lines.push_back(event->line);
        if (event->late) {
            all.late.push_back(event->line);
        }
    }
    all.counts = reader.counts();
    return all;
}

std::string lines_at(std::initializer_list<double> times) {
    std::string content;
    for (const double time : times) {
        content += "{\"time\":" + std::to_string(time) + "}\n";
    }
    return content;
}

}  // namespace

TEST_CASE("lines of a file: empty ones, CRLF, a byte order mark, no final line feed") {
    const Scanned all = scan("\xEF\xBB\xBF{\"time\":1}\r\n\n  \n{\"time\":2}\n{\"time\":3}");
    CHECK(all.lines == std::vector<std::uint64_t>{1, 4, 5});
    CHECK(all.counts.lines == 3);
    CHECK(scan("").lines.empty());
    CHECK_THROWS_AS(JsonLinesReader("/nowhere/x.jsonl", {}, {}), atlascore::base::SystemError);
    JsonLinesReader directory("/tmp", {}, {});
    CHECK_THROWS_AS(directory.next(), atlascore::base::SystemError);
}

TEST_CASE("bad lines are reported with their number, counted and skipped") {
    const Scanned all =
        scan("{\"time\":1}\n{\"x\":1}\nnonsense\n{\"time\":2,\"principal\":[]}\n{\"time\":3,\"a\":\"b");
    CHECK(all.lines == std::vector<std::uint64_t>{1});
    CHECK(all.counts.bad == 4);
    CHECK(all.bad.at(2) == "time missing");
    CHECK(all.bad.at(4) == "principal: expected a text");
    CHECK(all.bad.contains(3));
    CHECK(all.bad.contains(5));
}

TEST_CASE("a line above 16 MiB is refused; one just below is read") {
    const std::string head = "{\"time\":1,\"text\":\"";
    const std::string most(LineSource::max_line - head.size() - 2, 'x');
    const Scanned all = scan(lines_at({1}) + head + most + "\"}\n" + head + most + "x\"}\n" +
                             std::string(3 * LineSource::max_line, 'y') + "\n" + lines_at({2}));
    CHECK(all.lines == std::vector<std::uint64_t>{1, 2, 5});
    CHECK(all.bad.at(3) == "the line is longer than 16 MiB");
    CHECK(all.bad.at(4) == "the line is longer than 16 MiB");
}

TEST_CASE("events come in the order of time, ties in the order of the file") {
    CHECK(scan(lines_at({5, 3, 5, 4, 3, 60})).lines == std::vector<std::uint64_t>{2, 5, 4, 1, 3, 6});
    CHECK(scan(lines_at({5, 3, 5, 4, 3, 60})).late.empty());
}

TEST_CASE("what is later than the lateness comes out late, at once") {
    const Scanned all = scan(lines_at({100, 170, 105, 90, 111, 300}), {.lateness = 60});
    CHECK(all.lines == std::vector<std::uint64_t>{1, 3, 4, 5, 2, 6});
    CHECK(all.late == std::vector<std::uint64_t>{4});
    CHECK(all.counts.late == 1);
}

TEST_CASE("no more lines wait than allowed") {
    const Scanned all = scan(lines_at({3, 2, 1}), {.lines = 2});
    CHECK(all.lines == std::vector<std::uint64_t>{2, 3, 1});
    CHECK(all.late == std::vector<std::uint64_t>{3});
}

TEST_CASE("random times: the order is that of a stable sort, chunk by chunk") {
    std::mt19937_64 random(3);
    std::string content;
    std::vector<std::pair<double, std::uint64_t>> expected;
    for (std::uint64_t line = 1; line <= 20'000; ++line) {
        const std::string time =
            std::to_string(line / 100 + random() % 50) + '.' + std::to_string(line % 100);
        expected.emplace_back(std::stod(time), line);
        content += "{\"time\":" + time + ",\"text\":\"" + std::string(random() % 400, 'x') + "\"}\n";
    }
    std::stable_sort(expected.begin(), expected.end(), [](auto& a, auto& b) { return a.first < b.first; });
    const Scanned all = scan(content);
    REQUIRE(all.lines.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        REQUIRE(all.lines[i] == expected[i].second);
    }
    CHECK(all.late.empty());
}

TEST_CASE("next_time is the time of the next event") {
    const File file(lines_at({5, 3, 4}));
    JsonLinesReader reader(file.path, {}, {});
    for (const double time : {3.0, 4.0, 5.0}) {
        CHECK(reader.next_time() == time);
        CHECK(reader.next()->time == time);
    }
    CHECK_FALSE(reader.next_time());
    CHECK(reader.next() == nullptr);
}
