// uring_sqe.hpp - how each operation is spelled in the submission ring.
//
// One function, no state. The tags in the low bits of user_data tell the hub's own submissions and
// the polling stage of an operation from the operation itself.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

/// user_data: the address of an Op, its lowest bit set for its polling stage; or one of these.
inline constexpr std::uint64_t kPollTag = 1;
inline constexpr std::uint64_t kIgnoredData = 2;
inline constexpr std::uint64_t kWakeData = 4;
static_assert(alignof(Op) >= 8);

/// Bits of Op::hub_state, besides OpState's.
struct UringState {
  static constexpr std::uint8_t kPolling = 1;  // Its submission is a poll for it.
  static constexpr std::uint8_t kPolled = 2;   // It has been polled: try at once.
  static constexpr std::uint8_t kBacklog = 4;  // In UringHub::backlog_.
  static constexpr std::uint8_t kAnew = 8;     // Cancelled by the hub itself, to begin anew.
};

/// Fills `sqe` with `op`, or with the poll for it; user_data included.
void prepare(io_uring_sqe& sqe, const Op& op);

}  // namespace greenwsgi
