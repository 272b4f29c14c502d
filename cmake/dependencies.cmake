# Third-party C++ comes from the system. A missing package stops the configure with the line that installs it.

set(ATLASCORE_APT "libxxhash-dev libhwy-dev libssl-dev libre2-dev libsimdjson-dev doctest-dev pkg-config")
set(ATLASCORE_BREW "xxhash highway openssl@3 re2 simdjson doctest pkg-config")
set(ATLASCORE_CONDA "xxhash libhwy openssl re2 simdjson doctest pkg-config")

macro(atlascore_missing name)
  message(FATAL_ERROR
    "atlascore needs ${name}, and it was not found. Install all system libraries with one of\n"
    "  sudo apt-get install ${ATLASCORE_APT}\n"
    "  brew install ${ATLASCORE_BREW}\n"
    "  conda install -c conda-forge ${ATLASCORE_CONDA}\n"
    "and configure again.")
endmacro()

find_package(PkgConfig QUIET)
if(NOT PKG_CONFIG_FOUND)
  atlascore_missing("pkg-config")
endif()

function(atlascore_pkg target module label)
  pkg_check_modules(${target} QUIET IMPORTED_TARGET ${module})
  if(NOT ${target}_FOUND)
    atlascore_missing("${label}")
  endif()
endfunction()

atlascore_pkg(xxhash libxxhash "xxHash")
atlascore_pkg(highway libhwy "Highway")
atlascore_pkg(re2 re2 "RE2")
atlascore_pkg(simdjson simdjson "simdjson")
find_package(OpenSSL 3.0 QUIET COMPONENTS Crypto)
if(NOT OPENSSL_FOUND)
  atlascore_missing("OpenSSL 3 (libcrypto)")
endif()
find_package(Threads REQUIRED)
if(ATLASCORE_TESTS)
  find_path(DOCTEST_INCLUDE_DIR doctest/doctest.h)
  if(NOT DOCTEST_INCLUDE_DIR)
    atlascore_missing("doctest")
  endif()
endif()
