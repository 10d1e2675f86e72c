#include "src/hub/thread_pool.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/base/signals_blocked.hpp"

namespace greenwsgi {

/// What the threads see; all but the constants under `mutex`.
struct ThreadPool::Shared {
  Hub& hub;
  void (*const run)(Op&) noexcept;
  const std::size_t threads_max;
  const Duration idle_max;

  std::mutex mutex;
  std::condition_variable work_or_stop;
  std::condition_variable thread_ended;
  List<Op> queued;
  List<Op> finished;
  std::size_t queued_count = 0;
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool stop = false;

  bool start_thread();
  void thread_main();
  bool wait_for_work(std::unique_lock<std::mutex>& lock);
};

bool ThreadPool::Shared::start_thread() {
  const SignalsBlocked blocked;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* shared) -> void* {
        static_cast<Shared*>(shared)->thread_main();
        return nullptr;
      },
      this);
  pthread_attr_destroy(&attributes);
  if (error == 0) {
    ++threads;
    pthread_setname_np(thread, "greenwsgi-pool");
  }
  return error == 0;
}

/// False when the thread has to end.
bool ThreadPool::Shared::wait_for_work(std::unique_lock<std::mutex>& lock) {
  ++idle;
  work_or_stop.wait_for(lock, idle_max, [this] { return stop || !queued.empty(); });
  --idle;
  return !stop && !queued.empty();
}

void ThreadPool::Shared::thread_main() {
  std::unique_lock lock(mutex);
  while (wait_for_work(lock)) {
    Op& op = queued.pop_front();
    --queued_count;
    lock.unlock();
    run(op);
    lock.lock();
    finished.push_back(op);
    hub.wake();
  }
  --threads;
  thread_ended.notify_all();
}

ThreadPool::ThreadPool(Hub& hub,
                       void (*run)(Op& op) noexcept,
                       std::size_t threads_max,
                       Duration idle_max)
    : shared_(new Shared{hub, run, threads_max, idle_max}), owner_(::getpid()) {}

ThreadPool::~ThreadPool() {
  if (owner_ != ::getpid()) {
    [[maybe_unused]] Shared* forgotten = shared_.release();  // Its mutex may be locked for ever.
    return;
  }
  Shared& shared = *shared_;
  std::unique_lock lock(shared.mutex);
  shared.stop = true;
  shared.work_or_stop.notify_all();
  shared.thread_ended.wait(lock, [&] { return shared.threads == 0; });
  while (!shared.queued.empty()) shared.queued.pop_front();
  while (!shared.finished.empty()) shared.finished.pop_front();
}

bool ThreadPool::submit(Op& op) {
  Shared& shared = *shared_;
  std::unique_lock lock(shared.mutex);
  const bool enough = shared.queued_count < shared.idle || shared.threads == shared.threads_max;
  if (!enough && !shared.start_thread() && shared.threads == 0) return false;
  shared.queued.push_back(op);
  ++shared.queued_count;
  shared.work_or_stop.notify_one();
  return true;
}

bool ThreadPool::cancel(Op& op) {
  std::unique_lock lock(shared_->mutex);
  bool found = false;
  shared_->queued.for_each([&](Op& queued) { found |= &queued == &op; });
  if (!found) return false;
  op.unlink();
  --shared_->queued_count;
  return true;
}

void ThreadPool::take_finished(List<Op>& into) {
  std::unique_lock lock(shared_->mutex);
  into.splice_back(shared_->finished);
}

std::size_t ThreadPool::threads() const {
  std::unique_lock lock(shared_->mutex);
  return shared_->threads;
}

}  // namespace greenwsgi
