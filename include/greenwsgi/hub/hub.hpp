// hub.hpp - where a thread waits for the kernel.
//
// The hub speaks completions ("these bytes arrived"), not readiness ("try again now"): io_uring
// does so natively and the epoll hub imitates it, so nothing above this file knows which one runs.
// It knows no fibers and no Python. Every member but wake() belongs to one thread.
//
//   UringHub (src/hub/uring_hub.cpp)   io_uring, Linux 6.1 and later, where the sandbox allows it
//   EpollHub (src/hub/epoll_hub.cpp)   everywhere else; regular files go to a native thread pool
//   SimHub   (tests/support)           a seeded model with a virtual clock: the tests' hub
#pragma once

#include <memory>
#include <string>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

class Hub {
 public:
  virtual ~Hub() = default;

  /// Hands `op` to the kernel. Never fails and never blocks: a refusal is reported through
  /// op.on_done(). Allowed inside on_done() of any op, the same one (when no longer in flight)
  /// included.
  virtual void submit(Op& op) = 0;

  /// Asks for an early end of `op`, which must be in flight. It may still succeed: an operation
  /// that moved bytes, or accepted a descriptor, reports them. Otherwise its result is -ECANCELED.
  /// A second call is harmless. An offload whose work has begun runs to its end.
  virtual void cancel(Op& op) = 0;

  /// Passes what was submitted to the kernel and sleeps until an op is done, wake() is called, a
  /// signal arrives or `until` has come; may return sooner, for reasons of the hub's own. Does not
  /// sleep when `until` is not in the future. Runs no callback, so that the caller may let go of a
  /// lock (the GIL) meanwhile.
  virtual void wait(Instant until) = 0;

  /// Runs on_done() of everything that was done by the last wait(), a bounded number of them; what
  /// is left over makes the next wait() return at once.
  virtual void dispatch() = 0;

  /// Is there nothing to pass to the kernel, and nothing that was done? Then a wait() that does not
  /// sleep, and a dispatch(), change nothing. False: perhaps. Costs a few loads, no system call.
  virtual bool idle() const { return false; }

  /// Ends the current or the next wait(). May be called from any thread and any signal handler.
  virtual void wake() noexcept = 0;

  /// The time. A simulated hub's own.
  virtual Instant now() const = 0;

  /// "io_uring", "epoll", "simulation".
  virtual const char* name() const = 0;

  /// Operations in flight, multishot ones included.
  std::size_t in_flight() const { return in_flight_; }

 protected:
  std::size_t in_flight_ = 0;
};

enum class HubChoice : std::uint8_t { automatic, uring, epoll };

/// A hub for the calling thread, and a sentence that says which and why ("io_uring (Linux 6.18)";
/// "epoll: io_uring_setup(2) was refused: Operation not permitted"). `hub` is null only when
/// `wanted` names a hub that cannot be had, or epoll itself fails; `reason` then says why and what
/// to do.
struct HubMade {
  std::unique_ptr<Hub> hub;
  std::string reason;
};
HubMade make_hub(HubChoice wanted);

/// What the environment variable GREENWSGI_HUB asks for: unset or "auto", "uring", "epoll". False
/// when it says something else, which `*bad` then holds.
bool hub_choice_from_environment(HubChoice* choice, std::string* bad);

}  // namespace greenwsgi
