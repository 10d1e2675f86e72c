// poll_any.hpp - io::poll for several descriptors at once.
#pragma once

#include <poll.h>

#include <span>

#include "greenwsgi/io/io.hpp"

namespace greenwsgi::patch {

/// Waits until one of `wanted` has one of its events (or an error). ENOMEM besides io::poll's
/// errors. Says not which one: the caller asks the kernel anyway. Switches.
Status poll_any(std::span<const pollfd> wanted, Instant deadline);

/// After a wait. True: it ended well, or with its deadline, or for nothing, and the kernel is to be
/// asked; false: a Python error is set.
bool waited_well(const Status& waited);
/// Has the deadline come, whatever else ended the wait?
bool is_over(const Status& waited, Instant deadline);

constexpr Duration kShortestPause = std::chrono::milliseconds(1);
/// What wakes a wait and yet is not what the caller asked for (a hang-up, for select) must not make
/// it spin: a pause of `length`, which doubles. False: a Python error is set. Switches.
bool pause(Duration& length, Instant deadline);

}  // namespace greenwsgi::patch
