// uring_ring.hpp - a set-up io_uring, or the sentence that says why there is none.
//
// Asks for every set-up flag that helps a single thread, steps down for older kernels, and then
// tries out what the hub cannot do without, rather than trusting a version number: sandboxes and
// distributions change what a kernel offers. Knows no operation.
#pragma once

#include <sys/types.h>

#include <string>

#include "src/hub/uring_buffers.hpp"

namespace greenwsgi {

/// Sizes; the tests make them small.
struct UringSizes {
  unsigned submissions = 512;
  unsigned completions = 8192;
  unsigned buffers = UringBuffers::kCount;
  unsigned buffers_first = UringBuffers::kFirst;
};

class UringRing {
 public:
  UringRing() = default;
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;
  /// Ends what is in flight, unless this is a child after fork(2): there it only lets go.
  ~UringRing();

  /// "" or a sentence. For the calling thread, once.
  std::string open(const UringSizes& sizes);

  io_uring* get() { return &ring_; }
  const io_uring* get() const { return &ring_; }
  UringBuffers& buffers() { return buffers_; }
  bool owned_by_this_process() const;

 private:
  int set_up(const UringSizes& sizes);
  std::string check_operations();
  std::string check_multishot_recv();

  UringBuffers buffers_;  // Unmapped after the ring has ended.
  io_uring ring_{};
  pid_t owner_ = 0;
  bool is_open_ = false;
};

}  // namespace greenwsgi
