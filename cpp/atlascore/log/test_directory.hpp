// A directory of its own for a test, removed afterwards.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace atlascore::log {

class TestDirectory {
  public:
    TestDirectory() : path_((std::filesystem::temp_directory_path() / "atlascore-log-XXXXXX").string()) {
        if (::mkdtemp(path_.data()) == nullptr) {
            std::abort();
        }
    }
    ~TestDirectory() { std::filesystem::remove_all(path_); }
    TestDirectory(const TestDirectory&) = delete;
    TestDirectory& operator=(const TestDirectory&) = delete;

    const std::string& path() const noexcept { return path_; }

    std::vector<std::string> lines(const std::string& file) const {
        std::ifstream stream(path_ + '/' + file);
        std::vector<std::string> all;
        for (std::string line; std::getline(stream, line);) {
            all.push_back(line);
        }
        return all;
    }

  private:
    std::string path_;
};

}  // namespace atlascore::log
