// The low-level SHA-256 calls are deprecated in OpenSSL 3 in favour of EVP, whose contexts live on the heap.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "atlascore/log/commitment.hpp"

#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "atlascore/base/error.hpp"

namespace atlascore::log {
namespace {

constexpr std::size_t block_size = 64;

SHA256_CTX keyed(const std::array<std::uint8_t, block_size>& key, std::uint8_t pad) noexcept {
    std::array<std::uint8_t, block_size> block;
    std::transform(key.begin(), key.end(), block.begin(),
                   [pad](std::uint8_t byte) { return static_cast<std::uint8_t>(byte ^ pad); });
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, block.data(), block.size());
    return context;
}

[[noreturn]] void fail(const std::string& doing, const std::string& path, int code) {
    throw base::SystemError("cannot " + doing + " the salt file " + path + ": " + std::strerror(code), code);
}

// Makes the file whole or not at all: several processes may start at once, and all must read the same salt.
void make_salt(const std::string& path) {
    Salt salt;
    if (RAND_bytes(salt.data(), static_cast<int>(salt.size())) != 1) {
        fail("draw random bytes for", path, EIO);
    }
    const std::string draft = path + '.' + std::to_string(::getpid());
    const int file = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        fail("make", path, errno);
    }
    const bool whole = ::write(file, salt.data(), salt.size()) == static_cast<ssize_t>(salt.size()) &&
                       ::fsync(file) == 0 && (::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
    const int code = errno;
    ::close(file);
    ::unlink(draft.c_str());
    if (!whole) {
        fail("make", path, code);
    }
}

}  // namespace

Hmac::Hmac(std::span<const std::uint8_t> key) {
    std::array<std::uint8_t, block_size> block{};
    if (key.size() > block_size) {
        SHA256(key.data(), key.size(), block.data());
    } else {
        std::copy(key.begin(), key.end(), block.begin());
    }
    inner_ = keyed(block, 0x36);
    outer_ = keyed(block, 0x5C);
}

Hmac::Digest Hmac::operator()(std::span<const std::uint8_t> message) const noexcept {
    Digest digest;
    SHA256_CTX context = inner_;
    SHA256_Update(&context, message.data(), message.size());
    SHA256_Final(digest.data(), &context);
    context = outer_;
    SHA256_Update(&context, digest.data(), digest.size());
    SHA256_Final(digest.data(), &context);
    return digest;
}

Commitment Hmac::commit(std::string_view name) const noexcept {
    const Digest digest = (*this)({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
    Commitment commitment;
    std::copy_n(digest.begin(), commitment.size(), commitment.begin());
    return commitment;
}

Salt load_salt(const std::string& path) {
    int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        make_salt(path);
        file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    }
    if (file < 0) {
        fail("open", path, errno);
    }
    std::array<std::uint8_t, 33> bytes;
    struct stat status;
    const ssize_t got = ::read(file, bytes.data(), bytes.size());
    const bool examined = ::fstat(file, &status) == 0;
    const int code = errno;
    ::close(file);
    if (got < 0 || !examined) {
        fail("read", path, code);
    }
    if ((status.st_mode & 077) != 0) {
        throw base::Error("the salt file " + path + " is open to group or others; run chmod 600 on it");
    }
    Salt salt;
    if (got != static_cast<ssize_t>(salt.size())) {
        throw base::Error("the salt file " + path +
                          " must hold exactly 32 bytes; restore it, or remove it to "
                          "start with a new salt that is not linked to the old commitments");
    }
    std::copy_n(bytes.begin(), salt.size(), salt.begin());
    return salt;
}

}  // namespace atlascore::log
