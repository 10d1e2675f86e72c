#include "src/py/idents.hpp"

#include <sys/mman.h>

namespace greenwsgi::py {

namespace {

constexpr unsigned long kStep = 8;  // Aligned, for what pthread functions lock there.
// 32 GiB of addresses, no memory. Later greens have small numbers again.
constexpr unsigned long kIdents = 1UL << 32;
constexpr unsigned long kThreadBytes = 64 * 1024;  // Behind the last: more than a thread's struct.

unsigned long first = 0;  // 0: none are set aside.

}  // namespace

void reserve_idents() {
  if (first != 0) return;
  void* const place = ::mmap(nullptr, kIdents * kStep + kThreadBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return;
  ::madvise(place, kIdents * kStep + kThreadBytes, MADV_NOHUGEPAGE);
  first = reinterpret_cast<unsigned long>(place);
}

unsigned long ident_of(std::uint64_t number) {
  return first != 0 && number < kIdents ? first + number * kStep : number;
}

std::uint64_t number_of(unsigned long ident) {
  return first != 0 && ident >= first && ident < first + kIdents * kStep ? (ident - first) / kStep
                                                                         : ident;
}

}  // namespace greenwsgi::py
