// poll_any.hpp - io::poll for several descriptors at once.
#pragma once

#include <poll.h>

#include <span>

#include "greenwsgi/io/io.hpp"

namespace greenwsgi::patch {

/// Waits until one of `wanted` has one of its events (or an error). ENOMEM besides io::poll's
/// errors. Says not which one: the caller asks the kernel anyway. Switches.
Status poll_any(std::span<const pollfd> wanted, Instant deadline);

}  // namespace greenwsgi::patch
