#include "atlascore/scan/json_last.hpp"

#include <unordered_map>
#include <vector>

namespace atlascore::scan {
namespace {

constexpr int depth_limit = 64;  // what is deeper is never read, and copied as it is

class Rewriter {
  public:
    Rewriter(std::string_view json, const ReadKey& read_key)
        : at_(json.data()), end_(at_ + json.size()), read_key_(read_key) {}

    bool rewrite(std::string& out) {
        const bool read = value(out, 0);
        skip_space();
        return read && at_ == end_;
    }

  private:
    bool value(std::string& out, int depth) {
        skip_space();
        if (at_ != end_ && depth < depth_limit) {
            if (*at_ == '{') return object(out, depth);
            if (*at_ == '[') return array(out, depth);
        }
        const char* from = at_;
        if (!skip_value()) return false;
        out.append(from, at_);
        return true;
    }

    bool object(std::string& out, int depth) {
        std::vector<std::string> members;
        std::unordered_map<std::string_view, std::size_t> places;
        ++at_;
        if (!take('}')) {
            do {
                skip_space();
                const char* from = at_;
                std::string_view key;
                if (at_ == end_ || *at_ != '"' || !skip_string() || !read_key_(from + 1, key)) return false;
                std::string member(from, at_);
                member += ':';
                if (!take(':') || !value(member, depth + 1)) return false;
                const auto [place, is_new] = places.try_emplace(key, members.size());
                if (is_new) members.emplace_back();
                members[place->second] = std::move(member);
            } while (take(','));
            if (!take('}')) return false;
        }
        out += '{';
        for (std::size_t i = 0; i < members.size(); ++i) {
            if (i != 0) out += ',';
            out += members[i];
        }
        out += '}';
        return true;
    }

    bool array(std::string& out, int depth) {
        ++at_;
        out += '[';
        if (!take(']')) {
            for (bool more = true; more;) {
                if (!value(out, depth + 1)) return false;
                more = take(',');
                if (more) out += ',';
            }
            if (!take(']')) return false;
        }
        out += ']';
        return true;
    }

    void skip_space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
    }

    bool take(char c) {
        skip_space();
        const bool found = at_ != end_ && *at_ == c;
        at_ += found;
        return found;
    }

    bool skip_string() {
        for (++at_; at_ != end_ && *at_ != '"'; ++at_) {
            if (*at_ == '\\' && ++at_ == end_) return false;
        }
        return at_ != end_ && at_++ != end_;
    }

    // A scalar, or an object or array with all that is in it.
    bool skip_value() {
        const char* from = at_;
        int depth = 0;
        while (at_ != end_) {
            const char c = *at_;
            if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
            if (c == '"') {
                if (!skip_string()) return false;
                continue;
            }
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            ++at_;
        }
        return at_ != from && depth == 0;
    }

    const char* at_;
    const char* end_;
    const ReadKey& read_key_;
};

}  // namespace

bool keep_last(std::string_view json, const ReadKey& read_key, std::string& out) {
    out.clear();
    return Rewriter(json, read_key).rewrite(out);
}

}  // namespace atlascore::scan
