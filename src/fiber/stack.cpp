#include "greenwsgi/fiber/stack.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#ifdef GREENWSGI_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13; glibc's headers learn of it later.
#define MADV_GUARD_REMOVE 103
#endif

namespace greenwsgi {

namespace {

constexpr std::size_t kStacksPerSlab = 64;
constexpr std::size_t kZoneMost = 64 * 1024;

std::size_t page_bytes() {
  static const std::size_t bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t whole_pages(std::size_t bytes) {
  const std::size_t page = page_bytes();
  return (bytes + page - 1) / page * page;
}

// MADV_GUARD_INSTALL costs no VMA; mprotect splits the mapping and ends at vm.max_map_count, about
// 32,000 stacks.
bool install_guard(std::byte* base, std::size_t bytes) {
  if (::madvise(base, bytes, MADV_GUARD_INSTALL) == 0) return true;
  return ::mprotect(base, bytes, PROT_NONE) == 0;
}

}  // namespace

StackPool::StackPool(std::size_t stack_bytes)
    : stack_bytes_(whole_pages(std::clamp(stack_bytes, kLeastBytes, kMostBytes))),
      zone_bytes_(std::min(kZoneMost, whole_pages(stack_bytes_ / 16))) {}

std::size_t StackPool::guard_bytes() const {
  return page_bytes() + zone_bytes_;
}

StackPool::~StackPool() {
  GW_ASSERT(in_use_ == 0);
  for (std::byte* slab : slabs_) ::munmap(slab, kStacksPerSlab * stack_bytes_);
}

Result<Stack> StackPool::take() {
  if (!provide()) return Errno{ENOMEM};
  const Stack stack = free_.back();
  free_.pop_back();
  trimmed_ = std::min(trimmed_, free_.size());
  unneeded_ = std::min(unneeded_, free_.size());
  in_use_ += 1;
  return stack;
}

void StackPool::give_back(Stack stack) {
  GW_ASSERT(in_use_ > 0);
  GW_ASSERT(stack.bytes == stack_bytes_);
  in_use_ -= 1;
#ifdef GREENWSGI_ASAN
  // A fiber's first frames never return, and so never take back what AddressSanitizer has poisoned.
  ASAN_UNPOISON_MEMORY_REGION(stack.top() - kLeastBytes, kLeastBytes);
#endif
  free_.push_back(stack);
}

std::size_t StackPool::trim(std::size_t stacks_max) {
  const std::size_t begin = trimmed_;
  const std::size_t end = std::min(unneeded_, trimmed_ + stacks_max);
  for (; trimmed_ < end; trimmed_++) {
    const Stack& stack = free_[trimmed_];
    // The guard stays: MADV_DONTNEED leaves guard markers, and protected pages, as they are. A
    // failure means that the memory stays ours, which is where we were.
    ::madvise(stack.base + page_bytes(), stack.bytes - page_bytes(), MADV_DONTNEED);
  }
  if (trimmed_ >= unneeded_) unneeded_ = free_.size();
  return trimmed_ - begin;
}

bool StackPool::in_guard(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  for (const std::byte* slab : slabs_) {
    if (at < slab) continue;
    const auto distance = static_cast<std::size_t>(at - slab);
    if (distance < kStacksPerSlab * stack_bytes_) return distance % stack_bytes_ < guard_bytes();
  }
  return false;
}

bool StackPool::open_zone(const Stack& stack) {
  std::byte* zone = stack.base + page_bytes();
  // Whichever of the two had closed it; the other changes nothing, or is not known here.
  ::madvise(zone, zone_bytes_, MADV_GUARD_REMOVE);
  return ::mprotect(zone, zone_bytes_, PROT_READ | PROT_WRITE) == 0;
}

bool StackPool::close_zone(const Stack& stack) {
  return install_guard(stack.base + page_bytes(), zone_bytes_);
}

bool StackPool::map_slab() {
  const std::size_t bytes = kStacksPerSlab * stack_bytes_;
  try {
    slabs_.reserve(slabs_.size() + 1);
    free_.reserve((slabs_.size() + 1) * kStacksPerSlab);
  } catch (const std::bad_alloc&) {
    return false;
  }
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapped == MAP_FAILED) return false;
  // A huge page under a stack would make each cost 2 MiB; without THP in the kernel there is
  // nothing to forbid (EINVAL).
  ::madvise(mapped, bytes, MADV_NOHUGEPAGE);
  auto* slab = static_cast<std::byte*>(mapped);
  for (std::size_t i = 0; i < kStacksPerSlab; i++) {
    if (!install_guard(slab + i * stack_bytes_, guard_bytes())) {
      ::munmap(slab, bytes);
      return false;
    }
  }
  slabs_.push_back(slab);
  // The lowest address is taken first. Fresh stacks hold no memory: they count as trimmed.
  const bool all_trimmed = trimmed_ == free_.size();
  for (std::size_t i = kStacksPerSlab; i-- > 0;)
    free_.push_back({slab + i * stack_bytes_, stack_bytes_});
  if (all_trimmed) trimmed_ = free_.size();
  return true;
}

}  // namespace greenwsgi
