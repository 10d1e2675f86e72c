// receive_room.hpp - where the bytes of a recv() arrive before Python gets as many as came.
//
// Programs ask for 4 or 16 KiB and get a hundred bytes: a bytes object of the size asked for, cut
// down afterwards, costs malloc(3) more than copying those hundred does. Rooms of dead calls are
// kept for the next ones. A room's call may be parked, so each has its own. The GIL guards them.
#pragma once

#include <cstddef>
#include <span>

namespace greenwsgi::patch {

class ReceiveRoom {
 public:
  /// Is there a room of this size? Python's own allocator is quick below, and above copying what
  /// came would no longer be cheap.
  static bool fits(std::size_t size) { return size > 512 && size <= kMostBytes; }

  /// For `size` bytes that fit. Empty, without an error: there is no memory.
  explicit ReceiveRoom(std::size_t size);
  ~ReceiveRoom();
  ReceiveRoom(const ReceiveRoom&) = delete;
  ReceiveRoom& operator=(const ReceiveRoom&) = delete;

  std::span<std::byte> bytes() const { return {memory_, memory_ == nullptr ? 0 : size_}; }

 private:
  static constexpr std::size_t kMostBytes = 16 * 1024;

  std::size_t size_;
  std::byte* memory_;
};

}  // namespace greenwsgi::patch
