#include "atlascore/rule/pattern.hpp"

#include "atlascore/rule/fold.hpp"

namespace atlascore::rule {
namespace {

// Sigma escapes: `\*` and `\?` are literal, `\\` is one backslash, any other backslash stands for itself.
std::u32string unescape(std::string_view text, bool cased) {
    std::u32string out;
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end) {
        if (*p == '\\' && p + 1 != end && (p[1] == '*' || p[1] == '?' || p[1] == '\\')) {
            out += static_cast<char32_t>(p[1]);
            p += 2;
        } else if (*p == '*' || *p == '?') {
            out += *p == '*' ? any_run : any_one;
            ++p;
        } else {
            const char32_t c = next_code_point(p, end);
            out += cased ? c : fold(c);
        }
    }
    return out;
}

std::u32string merge_runs(const std::u32string& glob) {
    std::u32string out;
    for (const char32_t c : glob) {
        if (c != any_run || out.empty() || out.back() != any_run) out += c;
    }
    return out;
}

}  // namespace

Pattern parse_pattern(std::string_view text, bool open_start, bool open_end, bool cased) {
    Pattern pattern;
    if (open_start) pattern.glob += any_run;
    pattern.glob += unescape(text, cased);
    if (open_end) pattern.glob += any_run;
    pattern.glob = merge_runs(pattern.glob);

    std::u32string_view inner = pattern.glob;
    const bool starts = inner.starts_with(any_run);
    if (starts) inner.remove_prefix(1);
    const bool ends = inner.ends_with(any_run);
    if (ends) inner.remove_suffix(1);
    using enum Pattern::Shape;
    if (inner.find_first_of(std::u32string{any_run, any_one}) != std::u32string_view::npos) {
        pattern.shape = glob;
        return pattern;
    }
    pattern.shape = starts ? (inner.empty() ? anything : ends ? substring : suffix) : ends ? prefix : exact;
    for (const char32_t c : inner) append_utf8(c, pattern.literal);
    return pattern;
}

bool glob_matches(std::u32string_view glob, std::string_view text, bool fold_text) noexcept {
    const char* p = text.data();
    const char* const end = p + text.size();
    std::size_t at = 0;
    std::size_t resume = std::u32string_view::npos;  // just after the last `*` seen
    const char* restart = p;                         // where the text after that `*` was assumed to begin
    while (p != end) {
        if (at < glob.size() && glob[at] == any_run) {
            resume = ++at;
            restart = p;
            continue;
        }
        const char* next = p;
        const char32_t raw = next_code_point(next, end);
        if (at < glob.size() && (glob[at] == any_one || glob[at] == (fold_text ? fold(raw) : raw))) {
            ++at;
            p = next;
        } else if (resume != std::u32string_view::npos) {
            next_code_point(restart, end);
            p = restart;
            at = resume;
        } else {
            return false;
        }
    }
    while (at < glob.size() && glob[at] == any_run) ++at;
    return at == glob.size();
}

}  // namespace atlascore::rule
