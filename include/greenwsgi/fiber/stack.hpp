// stack.hpp - memory for fibers to stand on.
//
// Stacks come in slabs of 64 from mmap, with a guard page below each, and are pooled; a stack's
// pages cost memory only once touched, and are given back to the kernel when it has not been used
// for a while (trim()). Above the guard lies the yellow zone: as long as it is closed it is a guard
// as well; who has run into it may open it, and has that much stack left to come back by. One pool
// belongs to one thread. The top kReserveBytes of each stack are
// left to the layer above (the Python room keeps a frame stack there), so that a shallow fiber's C
// frames and that reserve share one resident page.
#pragma once

#include <cstddef>
#include <vector>

#include "greenwsgi/base/result.hpp"

namespace greenwsgi {

struct Stack {
  std::byte* base = nullptr;  // The lowest byte, where the guard page is.
  std::size_t bytes = 0;      // Guard and reserve included.

  std::byte* top() const { return base + bytes; }
};

class StackPool {
 public:
  static constexpr std::size_t kDefaultBytes = 1024 * 1024;
  static constexpr std::size_t kLeastBytes = 64 * 1024;
  static constexpr std::size_t kMostBytes = 64 * 1024 * 1024;
  /// 16 KiB of virtual room for the layer above, starting 3 KiB into a page.
  static constexpr std::size_t kReserveBytes = 16 * 1024 + 1024;

  /// `stack_bytes` is rounded up to whole pages and kept within [kLeastBytes, kMostBytes].
  explicit StackPool(std::size_t stack_bytes = kDefaultBytes);
  StackPool(StackPool&&) = default;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();  // Every stack must be back.

  std::size_t stack_bytes() const { return stack_bytes_; }
  std::size_t in_use() const { return in_use_; }

  /// ENOMEM when no more can be mapped (memory, or vm.max_map_count on kernels before 6.13).
  Result<Stack> take();
  /// Will take() have one? Maps them if need be.
  bool provide() { return !free_.empty() || map_slab(); }
  void give_back(Stack stack);
  /// Gives the memory of stacks that were not needed since the last call back to the kernel, of at
  /// most `stacks_max` of them (2 to 5 us each). To be called now and then; how many it were.
  std::size_t trim(std::size_t stacks_max);

  /// Is `address` in a guard page, or a yellow zone, of this pool? Async-signal-safe.
  bool in_guard(const void* address) const;

  /// The bytes of a yellow zone: a sixteenth of the stack, 64 KiB at most.
  std::size_t zone_bytes() const { return zone_bytes_; }
  /// The lowest usable address while the zone is closed.
  std::byte* limit(const Stack& stack) const { return stack.base + guard_bytes(); }
  /// False when the kernel has no memory for it. Async-signal-safe.
  bool open_zone(const Stack& stack);
  /// What is in it is lost. False when it stays open, for want of memory.
  bool close_zone(const Stack& stack);

 private:
  bool map_slab();
  std::size_t guard_bytes() const;

  std::size_t stack_bytes_;
  std::size_t zone_bytes_;
  std::size_t in_use_ = 0;
  std::vector<std::byte*> slabs_;
  std::vector<Stack> free_;   // Last in, first out: the warmest stack next.
  std::size_t trimmed_ = 0;   // The first so many of free_ hold no memory.
  std::size_t unneeded_ = 0;  // The first so many of free_ were not needed since trim().
};

}  // namespace greenwsgi
