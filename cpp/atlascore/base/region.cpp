#include "atlascore/base/region.hpp"

#include <fcntl.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "atlascore/base/clock.hpp"
#include "atlascore/base/error.hpp"
#include "atlascore/base/hash.hpp"

namespace atlascore::base {
namespace {

constexpr char magic[8] = {'A', 'T', 'L', 'A', 'S', 'R', 'G', 'N'};
constexpr std::uint64_t page = 4096;
constexpr std::uint64_t huge_page = 2u << 20;
constexpr std::uint64_t shard_bytes = 1024;
constexpr std::uint64_t shards = 64;
constexpr std::uint64_t counters_offset = page;
constexpr std::uint64_t sections_offset = counters_offset + shards * shard_bytes;
constexpr std::uint64_t nonces_offset = 1024;  // in the header page: one 32-bit nonce per worker number
constexpr std::uint32_t worker_limit = 512;

struct Header {
    char magic[8];
    std::uint32_t layout_version;
    std::uint32_t sections;
    std::uint64_t total_bytes;
    std::uint64_t configuration;
    std::uint64_t seed;
    std::uint64_t instance;
    std::uint8_t salt[32];
    std::uint64_t checksum;  // xxh3 of everything above
};
static_assert(sizeof(Header) <= nonces_offset && nonces_offset + std::uint64_t{4} * worker_limit <= page);
static_assert(counter_count * sizeof(std::uint64_t) <= shard_bytes);

std::uint64_t checksum(const Header& header) {
    return hash64(&header, offsetof(Header, checksum), 0);
}

// Incremented in every child, so that a region notices that it is used by a process that did not open it.
std::atomic<std::uint32_t> forks{0};
const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) {
    return (n + unit - 1) / unit * unit;
}

[[noreturn]] void fail(const std::string& what, int code) {
    throw SystemError(what + ": " + std::strerror(code), code);
}

struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
    int release() { return std::exchange(fd, -1); }
};

bool is_shm(const std::string& name) {
    return name.rfind("shm:", 0) == 0;
}

std::string shm_name(const std::string& name) {
    const std::string tail = name.substr(4);
    if (tail.empty() || tail.size() > 200 || tail.find('/') != std::string::npos) {
        throw Error("state \"" + name +
                    "\": a shared-memory name is shm: and 1 to 200 characters without \"/\"");
    }
    return "/" + tail;
}

int open_name(const std::string& name, int flags) {
    if (is_shm(name)) return ::shm_open(shm_name(name).c_str(), flags | O_CLOEXEC, 0600);
    return ::open(name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

struct flock byte_lock(short type, std::uint32_t worker) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = worker;  // bytes of the header page: the lock is advisory and touches no data
    lock.l_len = 1;
    return lock;
}

}  // namespace

Region::Region(const RegionSpec& spec) : spec_(spec) {
    (void)fork_handler;
    std::uint64_t offset = sections_offset;
    for (const std::uint64_t bytes : spec.section_bytes) {
        section_offsets_.push_back(offset);
        offset += round_up(bytes, page);
    }
    size_ = round_up(offset, page);
    if (spec.name.empty()) {
        map_anonymous();
    } else {
        open_named();
    }
    const auto* header = reinterpret_cast<const Header*>(data_);
    seed_ = header->seed;
    instance_ = header->instance;
}

Region::~Region() {
    if (data_ != nullptr) ::munmap(data_, size_);
    if (file_ >= 0) ::close(file_);
}

void Region::map_anonymous() {
    void* memory =
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("cannot reserve " + std::to_string(size_ >> 20) + " MiB for the state", errno);
    if (size_ >= 4 * huge_page) ::madvise(memory, size_, MADV_HUGEPAGE);
    data_ = static_cast<std::byte*>(memory);
    initialise(data_);
    fresh_ = true;
}

void Region::open_named() {
    while (!try_open()) {
    }
    if (!take_worker_number()) {
        throw Error("more than " + std::to_string(worker_limit - 1) + " processes share the state " +
                    spec_.name);
    }
}

// One attempt under the file's lock. False: what was there has been set aside, try again.
bool Region::try_open() {
    const std::string& name = spec_.name;
    Descriptor file{open_name(name, O_RDWR | O_CREAT)};
    if (file.fd < 0) fail("cannot open the state " + name, errno);
    while (::flock(file.fd, LOCK_EX) != 0) {
        if (errno != EINTR) fail("cannot lock the state " + name, errno);
    }
    struct stat status {};
    if (::fstat(file.fd, &status) != 0) fail("cannot read the state " + name, errno);
    if (status.st_nlink == 0) return false;  // set aside by another process while this one waited
    if (!is_shm(name) && !S_ISREG(status.st_mode)) {
        throw Error("state \"" + name + "\" is not a regular file; give a file path or shm:NAME");
    }
    if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
        throw Error("state \"" + name +
                    "\" belongs to or is open to others; it must be owned by this user with mode 0600");
    }
    const auto file_size = static_cast<std::uint64_t>(status.st_size);
    if (file_size == 0) {
        if (const int code = ::posix_fallocate(file.fd, 0, static_cast<off_t>(size_)); code != 0) {
            if (is_shm(name))
                ::shm_unlink(shm_name(name).c_str());
            else
                ::unlink(name.c_str());
            fail("cannot reserve " + std::to_string(size_ >> 20) + " MiB for the state " + name, code);
        }
        attach(file.fd);
        initialise(data_);
        fresh_ = true;
    } else if (const std::string why = damage(file.fd, file_size); why.empty()) {
        attach(file.fd);
    } else {
        refused_ = why;
        if (is_shm(name))
            ::shm_unlink(shm_name(name).c_str());
        else
            ::rename(name.c_str(), (name + ".refused").c_str());
        return false;
    }
    ::flock(file.fd, LOCK_UN);
    file_ = file.release();
    return true;
}

// Why the file cannot be used, or "" when it can. A sound region of another configuration is the caller's
// error.
std::string Region::damage(int fd, std::uint64_t file_size) const {
    Header header{};
    if (file_size < sizeof header || ::pread(fd, &header, sizeof header, 0) != ssize_t{sizeof header}) {
        return "it is too short to be a region";
    }
    if (std::memcmp(header.magic, magic, sizeof magic) != 0) {
        // A maker killed before its header was written leaves zeros: nothing is lost, say so.
        return header.magic[0] == 0 ? "its maker died before it was ready" : "it is not an AtlasCore region";
    }
    if (header.layout_version != region_layout_version) {
        return "its layout version is " + std::to_string(header.layout_version) + ", this program has " +
               std::to_string(region_layout_version);
    }
    if (header.checksum != checksum(header)) return "its header is damaged";
    if (header.total_bytes != file_size) return "its size does not agree with its header";
    if (header.configuration != spec_.configuration || header.total_bytes != size_) {
        throw Error("the state " + spec_.name + " was made for another configuration; this one needs " +
                    spec_.configuration_text +
                    ". Use the same capacity and rule timeframes in every process, or another name");
    }
    return "";
}

void Region::attach(int fd) {
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("cannot map the state " + spec_.name, errno);
    data_ = static_cast<std::byte*>(memory);
}

void Region::initialise(std::byte* data) const {
    Header header{};
    std::memcpy(header.magic, magic, sizeof magic);
    header.layout_version = region_layout_version;
    header.sections = static_cast<std::uint32_t>(spec_.section_bytes.size());
    header.total_bytes = size_;
    header.configuration = spec_.configuration;
    RAND_bytes(reinterpret_cast<unsigned char*>(&header.seed), sizeof header.seed);
    RAND_bytes(reinterpret_cast<unsigned char*>(&header.instance), sizeof header.instance);
    RAND_bytes(header.salt, sizeof header.salt);
    if (spec_.seed) header.seed = *spec_.seed;
    header.checksum = checksum(header);
    // The magic goes last: a maker killed half-way leaves a region that nobody mistakes for a sound one.
    std::memcpy(data + sizeof magic, reinterpret_cast<std::byte*>(&header) + sizeof magic,
                sizeof header - sizeof magic);
    std::uint64_t first_word;
    std::memcpy(&first_word, magic, sizeof first_word);
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(data)).store(first_word, std::memory_order_release);
}

std::span<const std::uint8_t, 32> Region::salt() const noexcept {
    return std::span<const std::uint8_t, 32>(reinterpret_cast<const Header*>(data_)->salt, 32);
}

void Region::add(Counter counter, std::uint64_t n) const noexcept {
    static std::atomic<std::uint32_t> next_shard{0};
    thread_local const std::uint64_t shard =
        (next_shard.fetch_add(1, std::memory_order_relaxed) + static_cast<std::uint32_t>(::getpid())) %
        shards;
    auto* words = reinterpret_cast<std::uint64_t*>(data_ + counters_offset + shard * shard_bytes);
    std::atomic_ref(words[static_cast<std::size_t>(counter)]).fetch_add(n, std::memory_order_relaxed);
}

std::array<std::uint64_t, counter_count> Region::counters() const noexcept {
    std::array<std::uint64_t, counter_count> sums{};
    for (std::uint64_t shard = 0; shard < shards; ++shard) {
        auto* words = reinterpret_cast<std::uint64_t*>(data_ + counters_offset + shard * shard_bytes);
        for (std::size_t i = 0; i < counter_count; ++i) {
            sums[i] += std::atomic_ref(words[i]).load(std::memory_order_relaxed);
        }
    }
    return sums;
}

std::uint64_t Region::claim() noexcept {
    if (file_ >= 0 &&
        fork_generation_.load(std::memory_order_relaxed) != forks.load(std::memory_order_relaxed)) {
        take_worker_number();
    }
    return claim_.load(std::memory_order_relaxed);
}

// The lock belongs to the open file description, which fork() shares; so a child opens its own.
bool Region::take_worker_number() noexcept {
    fork_generation_.store(forks.load(std::memory_order_relaxed), std::memory_order_relaxed);
    if (claim_.load(std::memory_order_relaxed) != ~std::uint64_t{0}) {
        char self[32];
        std::snprintf(self, sizeof self, "/proc/self/fd/%d", file_);
        const int own = ::open(self, O_RDWR | O_CLOEXEC);
        if (own < 0) return false;
        ::close(std::exchange(file_, own));
    }
    auto* nonces = reinterpret_cast<std::uint32_t*>(data_ + nonces_offset);
    for (std::uint32_t number = 1; number < worker_limit; ++number) {
        struct flock lock = byte_lock(F_WRLCK, number);
        if (::fcntl(file_, F_OFD_SETLK, &lock) != 0) continue;
        std::uint32_t nonce = 0;
        RAND_bytes(reinterpret_cast<unsigned char*>(&nonce), sizeof nonce);
        std::atomic_ref(nonces[number]).store(nonce, std::memory_order_release);
        claim_.store(std::uint64_t{0xFFFF} << 48 | std::uint64_t{number} << 32 | nonce,
                     std::memory_order_relaxed);
        return true;
    }
    return false;
}

bool Region::claim_alive(std::uint64_t claim) const noexcept {
    if (file_ < 0 || claim == claim_.load(std::memory_order_relaxed)) return true;
    const auto number = static_cast<std::uint32_t>(claim >> 32 & 0xFFFF);
    if (number == 0 || number >= worker_limit) return false;
    auto* nonces = reinterpret_cast<std::uint32_t*>(data_ + nonces_offset);
    if (std::atomic_ref(nonces[number]).load(std::memory_order_acquire) != static_cast<std::uint32_t>(claim))
        return false;
    if (number == (claim_.load(std::memory_order_relaxed) >> 32 & 0xFFFF))
        return true;  // this process's own lock
    struct flock lock = byte_lock(F_WRLCK, number);
    if (::fcntl(file_, F_OFD_GETLK, &lock) != 0) return true;
    return lock.l_type != F_UNLCK;
}

bool Region::unlink(const std::string& name) {
    return (is_shm(name) ? ::shm_unlink(shm_name(name).c_str()) : ::unlink(name.c_str())) == 0;
}

}  // namespace atlascore::base
