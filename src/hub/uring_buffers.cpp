#include "src/hub/uring_buffers.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

namespace {

std::size_t ring_bytes(unsigned count) {
  return count * sizeof(io_uring_buf);
}

void* map(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

UringBuffers::~UringBuffers() {
  if (ring_ != nullptr) ::munmap(ring_, ring_bytes(count_));
  if (memory_ != nullptr) ::munmap(memory_, std::size_t{count_} * kBytes);
}

int UringBuffers::open(io_uring& ring, unsigned count, unsigned first) {
  GW_ASSERT(ring_ == nullptr);
  GW_ASSERT(std::has_single_bit(count));
  count_ = count;
  ring_ = static_cast<io_uring_buf_ring*>(map(ring_bytes(count)));
  memory_ = static_cast<std::byte*>(map(std::size_t{count} * kBytes));
  if (ring_ == nullptr || memory_ == nullptr) return -ENOMEM;
  // A child after fork(2) has no use for them, and the kernel must go on seeing our pages.
  ::madvise(ring_, ring_bytes(count), MADV_DONTFORK);
  ::madvise(memory_, std::size_t{count} * kBytes, MADV_DONTFORK);

  io_uring_buf_ring_init(ring_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
  registration.ring_entries = count;
  registration.bgid = kGroup;
  const int status = io_uring_register_buf_ring(&ring, &registration, 0);
  if (status == 0) offer(std::min(first, count));
  return status;
}

void UringBuffers::offer(unsigned end) {
  const int mask = io_uring_buf_ring_mask(count_);
  const unsigned more = end - offered_;
  for (unsigned i = 0; i < more; ++i) {
    const unsigned id = offered_ + i;
    io_uring_buf_ring_add(ring_, memory_ + std::size_t{id} * kBytes, kBytes,
                          static_cast<unsigned short>(id), mask, static_cast<int>(i));
  }
  io_uring_buf_ring_advance(ring_, static_cast<int>(more));
  offered_ = end;
}

std::span<std::byte> UringBuffers::get(unsigned id, std::size_t bytes) const {
  GW_ASSERT(id < offered_);
  GW_ASSERT(bytes <= kBytes);
  return {memory_ + std::size_t{id} * kBytes, bytes};
}

void UringBuffers::recycle(unsigned id) {
  GW_ASSERT(id < offered_);
  io_uring_buf_ring_add(ring_, memory_ + std::size_t{id} * kBytes, kBytes,
                        static_cast<unsigned short>(id), io_uring_buf_ring_mask(count_), 0);
  io_uring_buf_ring_advance(ring_, 1);
}

void UringBuffers::grow() {
  if (offered_ < count_) offer(std::min(offered_ * 2, count_));
}

}  // namespace greenwsgi
