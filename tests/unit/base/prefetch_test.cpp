// prefetch(): a hint, which must never be more than that.
#include "greenwsgi/base/prefetch.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdint>

using namespace greenwsgi;

TEST_CASE("memory that is not there, or must not be touched, may be prefetched") {
  prefetch(nullptr, 4096);
  prefetch(reinterpret_cast<const void*>(~std::uintptr_t{0} - 64), 4096);  // Beyond the end.

  constexpr std::size_t kBytes = 4096;
  void* guarded = ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(guarded != MAP_FAILED);
  prefetch(guarded, kBytes);
  CHECK(::munmap(guarded, kBytes) == 0);
}

TEST_CASE("memory that has not been used yet does not come into being by being prefetched") {
  constexpr std::size_t kBytes = 4096;
  void* fresh = ::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(fresh != MAP_FAILED);
  prefetch(fresh, kBytes);
  unsigned char resident = 1;
  CHECK(::mincore(fresh, kBytes, &resident) == 0);
  CHECK((resident & 1) == 0);
  CHECK(::munmap(fresh, kBytes) == 0);
}
