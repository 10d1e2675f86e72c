// thread_pool.hpp - native threads for what can only be done by blocking one.
//
// Threads start when work finds none idle, up to a maximum, and end when idle for some seconds. All
// signals are blocked in them: a signal is the main thread's. Finished operations gather in a list
// that the hub's thread collects after the pool has woken it. Knows no system call of its own: the
// hub says what running an operation means.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/hub/hub.hpp"

namespace greenwsgi {

class ThreadPool {
 public:
  static constexpr std::size_t kThreadsMax = 16;
  static constexpr Duration kIdleMax = std::chrono::seconds(5);

  /// `run` sets op.result, on a thread of the pool. Wakes `hub` as work is finished.
  ThreadPool(Hub& hub,
             void (*run)(Op& op) noexcept,
             std::size_t threads_max = kThreadsMax,
             Duration idle_max = kIdleMax);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  /// Waits for what is running and forgets the rest. In a child after fork(2) there are no threads:
  /// it only lets go.
  ~ThreadPool();

  /// Queues `op`; the pool has it until it comes out of take_finished() or cancel() takes it back.
  /// False when there is no thread and none can be started.
  bool submit(Op& op);
  /// True when `op` was still queued and is the caller's again; false when its work has begun.
  bool cancel(Op& op);
  /// Moves what is finished behind `into`.
  void take_finished(List<Op>& into);
  std::size_t threads() const;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
  pid_t owner_;
};

}  // namespace greenwsgi
