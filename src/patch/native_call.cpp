#include "src/patch/native_call.hpp"

#include <pthread.h>
#include <signal.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <new>
#include <utility>

#include "greenwsgi/base/signals_blocked.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

// Guarded by the GIL, but for `next`, which is the pool's. Whoever sees the other's mark frees it:
// the green when it is done, the thread when it was given up.
struct Job {
  Job(const Call& made, void (*undo_result)(PyObject*, PyObject*))
      : call(made), self(py::Ref::share(made.self())), undo(undo_result) {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &signal_mask);
  }
  OwnedCall call;
  py::Ref self;
  void (*undo)(PyObject*, PyObject*);
  StillOpen open;
  sigset_t signal_mask;  // The caller's, which a child process that the call starts inherits.
  PyObject* result = nullptr;
  PyObject *error_type = nullptr, *error_value = nullptr, *error_trace = nullptr;
  bool done = false;
  bool given_up = false;
  bool awaited = true;  // By a green, which gives up or frees it; else the thread frees it.
  Job* next = nullptr;
};

class Pool {
 public:
  explicit Pool(NativeLimits limits) : limits_(limits) {}

  /// False: no thread could be started, and none is there to take the job.
  bool submit(Job& job);
  /// Without the GIL. nullptr: idle for long, or one too many: the caller ends.
  Job* take();
  void set_limits(NativeLimits limits);
  NativeCounts counts();

 private:
  static void* work(void* pool);
  bool start_thread();

  NativeLimits limits_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  Job* first_ = nullptr;
  Job** last_ = &first_;
  unsigned queued_ = 0;
  unsigned idle_ = 0;
  unsigned threads_ = 0;
};

// By NativeWork. Never destroyed: at the process's end their threads may still be inside a call.
constexpr std::size_t kPools = 3;
std::array<Pool*, kPools> pools{};
std::array<NativeLimits, kPools> pool_limits = {{{32}, {16384}, {20}}};
thread_local const Pool* pool_of_this_thread = nullptr;

// The child of a fork has none of the threads and perhaps a locked mutex: it starts anew. A thread
// of a pool that forks goes on as the child's only one.
void forget_pools() {
  pools = {};
  pool_of_this_thread = nullptr;
}

Pool* pool_for(NativeWork work) {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pools);
  (void)registered;
  const auto place = static_cast<std::size_t>(work);
  if (pools[place] == nullptr) pools[place] = new (std::nothrow) Pool(pool_limits[place]);
  return pools[place];
}

// An idle thread must not be where a signal goes that the program has blocked on its own threads,
// to take it with sigwait() or a signalfd.
void block_signals(sigset_t* before) {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, before);
}

bool Pool::start_thread() {
  const SignalsBlocked blocked;
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, work, this);
  if (error != 0) return false;
  pthread_detach(thread);
  threads_ += 1;
  return true;
}

bool Pool::submit(Job& job) {
  const std::lock_guard lock(mutex_);
  if (queued_ + 1 > idle_ && threads_ < limits_.threads_max && !start_thread() && threads_ == 0)
    return false;
  *last_ = &job;
  last_ = &job.next;
  queued_ += 1;
  arrived_.notify_one();
  return true;
}

Job* Pool::take() {
  std::unique_lock lock(mutex_);
  const Instant since = Clock::now();
  const auto too_many = [this] { return threads_ > limits_.threads_max; };
  idle_ += 1;
  while (first_ == nullptr && !too_many()) {
    const Instant end = saturating_add(since, limits_.idle_max);  // Which may change meanwhile.
    if (Clock::now() >= end) break;
    arrived_.wait_until(lock, end);
  }
  idle_ -= 1;
  if (first_ == nullptr || too_many()) {
    threads_ -= 1;
    if (first_ != nullptr) arrived_.notify_one();  // That was for somebody who stays.
    return nullptr;
  }
  Job* job = first_;
  first_ = job->next;
  if (first_ == nullptr) last_ = &first_;
  queued_ -= 1;
  return job;
}

void Pool::set_limits(NativeLimits limits) {
  const std::lock_guard lock(mutex_);
  limits_ = limits;
  unsigned coming = idle_;
  while (queued_ > coming && threads_ < limits_.threads_max && start_thread()) coming += 1;
  arrived_.notify_all();
}

NativeCounts Pool::counts() {
  const std::lock_guard lock(mutex_);
  return {threads_, idle_, queued_};
}

void finish(Job& job) {
  if (job.awaited && !job.given_up) {
    job.done = true;
    py::unpark_one(&job);
    return;
  }
  if (!job.awaited && job.result == nullptr) {
    PyErr_Restore(std::exchange(job.error_type, nullptr), std::exchange(job.error_value, nullptr),
                  std::exchange(job.error_trace, nullptr));
    py::report_exception("a call on a native thread", job.self.get());
  }
  if (job.result != nullptr && job.undo != nullptr) job.undo(job.self.get(), job.result);
  Py_XDECREF(job.result);
  Py_XDECREF(job.error_type);
  Py_XDECREF(job.error_value);
  Py_XDECREF(job.error_trace);
  delete &job;
}

// Not noexcept: at the interpreter's end CPython unwinds a thread that asks for the GIL.
void* Pool::work(void* argument) {
  auto& pool = *static_cast<Pool*>(argument);
  pool_of_this_thread = &pool;
  const bool quiet = &pool == pools[static_cast<std::size_t>(NativeWork::lookup)];
  const PyGILState_STATE state = PyGILState_Ensure();
  for (;;) {
    PyThreadState* thread = PyEval_SaveThread();
    Job* job = pool.take();
    PyEval_RestoreThread(thread);
    if (job == nullptr) break;
    if (!job->given_up) {
      if (!quiet) ::pthread_sigmask(SIG_SETMASK, &job->signal_mask, nullptr);
      job->result = job->open.check() ? job->call.run() : nullptr;
      if (!quiet) block_signals(nullptr);
      if (pool_of_this_thread != &pool) py::end_forked_child();
      if (job->result == nullptr)
        PyErr_Fetch(&job->error_type, &job->error_value, &job->error_trace);
    }
    finish(*job);
  }
  PyGILState_Release(state);
  return nullptr;
}

// nullptr: a Python error is set.
Job* submit_job(const Call& call,
                NativeWork work,
                bool awaited,
                void (*undo)(PyObject*, PyObject*)) {
  Pool* pool = pool_for(work);
  Job* job = pool == nullptr ? nullptr : new (std::nothrow) Job(call, undo);
  if (job == nullptr || !job->call) {
    delete job;
    PyErr_NoMemory();
    return nullptr;
  }
  job->awaited = awaited;
  if (pool->submit(*job)) return job;
  delete job;
  PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
  return nullptr;
}

}  // namespace

bool on_native_thread(NativeWork work) {
  const Pool* pool = pool_of_this_thread;
  return pool != nullptr && pool == pools[static_cast<std::size_t>(work)];
}

bool start_natively(const Call& call, NativeWork work) {
  return submit_job(call, work, false, nullptr) != nullptr;
}

void set_native_limits(NativeWork work, NativeLimits limits) {
  GW_ASSERT(limits.threads_max > 0);
  pool_limits[static_cast<std::size_t>(work)] = limits;
  if (Pool* pool = pools[static_cast<std::size_t>(work)]; pool != nullptr) pool->set_limits(limits);
}

NativeCounts native_counts(NativeWork work) {
  Pool* pool = pools[static_cast<std::size_t>(work)];
  return pool != nullptr ? pool->counts() : NativeCounts{};
}

namespace {

PyObject* await_result(Job* job, const char* what) {
  while (!job->done) {
    py::park_on(job, kNever, false, what);
    if (!py::raise_if_interrupted()) continue;
    if (!job->done) {
      job->given_up = true;
      return nullptr;
    }
    // It ended, but the exception thrown at this green goes first.
    const py::SavedError saved;
    job->given_up = true;
    finish(*job);
    return nullptr;
  }
  PyObject* result = job->result;
  if (result == nullptr) PyErr_Restore(job->error_type, job->error_value, job->error_trace);
  delete job;
  return result;
}

}  // namespace

PyObject* call_natively(const Call& call,
                        NativeWork work,
                        const char* what,
                        void (*undo)(PyObject*, PyObject*)) {
  Job* job = submit_job(call, work, true, undo);
  return job != nullptr ? await_result(job, what) : nullptr;
}

PyObject* call_natively(const Call& call,
                        NativeWork work,
                        const char* what,
                        const StillOpen& open) {
  Job* job = submit_job(call, work, true, nullptr);
  if (job == nullptr) return nullptr;
  job->open = open;
  return await_result(job, what);
}

}  // namespace greenwsgi::patch
