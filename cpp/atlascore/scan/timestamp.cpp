#include "atlascore/scan/timestamp.hpp"

#include <chrono>
#include <cstdint>

namespace atlascore::scan {
namespace {

class Cursor {
  public:
    explicit Cursor(std::string_view text) noexcept : text_(text) {}

    // Exactly `digits` decimal digits; -1 when there are fewer.
    int number(int digits) noexcept {
        int value = 0;
        for (; digits > 0; --digits) {
            const int digit = take_digit();
            if (digit < 0) {
                return -1;
            }
            value = value * 10 + digit;
        }
        return value;
    }
    int take_digit() noexcept {
        if (text_.empty() || text_[0] < '0' || text_[0] > '9') {
            return -1;
        }
        const int digit = text_[0] - '0';
        text_.remove_prefix(1);
        return digit;
    }
    // The next character when it is one of `any`, else 0.
    char take(std::string_view any) noexcept {
        if (text_.empty() || any.find(text_[0]) == std::string_view::npos) {
            return 0;
        }
        const char c = text_[0];
        text_.remove_prefix(1);
        return c;
    }
    bool at_end() const noexcept { return text_.empty(); }

  private:
    std::string_view text_;
};

// Digits after the point as a fraction; negative when there are none.
double fraction(Cursor& at) noexcept {
    std::int64_t value = 0, scale = 1;
    int digits = 0;
    for (int digit; (digit = at.take_digit()) >= 0; ++digits) {
        if (digits < 15) {
            value = value * 10 + digit;
            scale *= 10;
        }
    }
    return digits == 0 ? -1.0 : static_cast<double>(value) / static_cast<double>(scale);
}

}  // namespace

std::optional<double> parse_timestamp(std::string_view text) noexcept {
    Cursor at(text);
    const int year = at.number(4);
    const bool dash1 = at.take("-");
    const int month = at.number(2);
    const bool dash2 = at.take("-");
    const int day = at.number(2);
    const bool separator = at.take("Tt ");
    const int hour = at.number(2);
    const bool colon1 = at.take(":");
    const int minute = at.number(2);
    const bool colon2 = at.take(":");
    const int second = at.number(2);
    const double part = at.take(".") ? fraction(at) : 0.0;
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!dash1 || !dash2 || !separator || !colon1 || !colon2 || year < 0 || !date.ok() || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || part < 0) {
        return std::nullopt;
    }
    std::int64_t seconds = std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86'400} +
                           std::int64_t{hour} * 3'600 + std::int64_t{minute} * 60 + second;
    const char zone = at.take("Zz+-");
    if (zone == '+' || zone == '-') {
        const int zone_hour = at.number(2);
        const bool colon = at.take(":");
        const int zone_minute = at.number(2);
        if (!colon || zone_hour < 0 || zone_hour > 23 || zone_minute < 0 || zone_minute > 59) {
            return std::nullopt;
        }
        const int offset = zone_hour * 3'600 + zone_minute * 60;
        seconds += zone == '+' ? -offset : offset;
    } else if (zone == 0) {
        return std::nullopt;
    }
    return at.at_end() ? std::optional(static_cast<double>(seconds) + part) : std::nullopt;
}

}  // namespace atlascore::scan
