// uring_buffers.hpp - the buffers from which the kernel serves recv_multishot.
//
// A ring of up to kCount buffers of kBytes each, shared with the kernel: it takes from the head, we
// give back at the tail. Only kFirst of them are offered at the start; the number doubles whenever
// the kernel found none (grow()), so that a quiet process touches little memory and stays in the
// cache. A buffer is ours from its completion until recycle(). Knows no operation.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace greenwsgi {

class UringBuffers {
 public:
  static constexpr unsigned kCount = 1024;
  static constexpr unsigned kFirst = 128;
  static constexpr unsigned kBytes = 16 * 1024;
  static constexpr std::uint16_t kGroup = 0;

  UringBuffers() = default;
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;
  /// Unmaps the memory: only after the ring it is registered with has ended.
  ~UringBuffers();

  /// Maps `count` (a power of two) buffers and registers them. 0 or a negative errno.
  int open(io_uring& ring, unsigned count, unsigned first);

  /// The first `bytes` of the buffer that a completion names.
  std::span<std::byte> get(unsigned id, std::size_t bytes) const;
  void recycle(unsigned id);
  /// Offers more buffers, if there are more.
  void grow();
  unsigned offered() const { return offered_; }

 private:
  void offer(unsigned end);

  io_uring_buf_ring* ring_ = nullptr;
  std::byte* memory_ = nullptr;
  unsigned count_ = 0;
  unsigned offered_ = 0;
};

}  // namespace greenwsgi
