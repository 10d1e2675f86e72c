#include "src/patch/native_call.hpp"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>

#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

// Guarded by the GIL, but for `next`, which is the pool's. Whoever sees the other's mark frees it:
// the green when it is done, the thread when it was given up.
struct Job {
  Job(const Call& made, void (*undo_result)(PyObject*, PyObject*))
      : call(made), self(py::Ref::share(made.self())), undo(undo_result) {}
  OwnedCall call;
  py::Ref self;
  void (*undo)(PyObject*, PyObject*);
  PyObject* result = nullptr;
  PyObject *error_type = nullptr, *error_value = nullptr, *error_trace = nullptr;
  bool done = false;
  bool given_up = false;
  Job* next = nullptr;
};

class Pool {
 public:
  explicit Pool(unsigned most) : most_(most) {}

  /// False: no thread could be started, and none is there to take the job.
  bool submit(Job& job);
  /// Without the GIL. nullptr: idle for long, the caller ends.
  Job* take();

 private:
  static void* work(void* pool);

  const unsigned most_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  Job* first_ = nullptr;
  Job** last_ = &first_;
  unsigned queued_ = 0;
  unsigned idle_ = 0;
  unsigned threads_ = 0;
};

// Never destroyed: at the process's end their threads may still be inside a look-up.
Pool* lookups = nullptr;
Pool* waits = nullptr;

// The child of a fork has none of the threads and perhaps a locked mutex: it starts anew.
void forget_pools() {
  lookups = nullptr;
  waits = nullptr;
}

Pool* pool_for(NativeWork work) {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pools);
  (void)registered;
  Pool*& pool = work == NativeWork::lookup ? lookups : waits;
  constexpr unsigned kMostLookups = 32;
  constexpr unsigned kMostWaits = 16384;
  if (pool == nullptr) {
    pool = new (std::nothrow) Pool(work == NativeWork::lookup ? kMostLookups : kMostWaits);
  }
  return pool;
}

bool Pool::submit(Job& job) {
  const std::lock_guard lock(mutex_);
  if (queued_ + 1 > idle_ && threads_ < most_) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, work, this) == 0) {
      pthread_detach(thread);
      threads_ += 1;
    } else if (threads_ == 0) {
      return false;
    }
  }
  *last_ = &job;
  last_ = &job.next;
  queued_ += 1;
  arrived_.notify_one();
  return true;
}

Job* Pool::take() {
  constexpr auto kIdleTime = std::chrono::seconds(5);
  std::unique_lock lock(mutex_);
  idle_ += 1;
  const bool any = arrived_.wait_for(lock, kIdleTime, [this] { return first_ != nullptr; });
  idle_ -= 1;
  if (!any) {
    threads_ -= 1;
    return nullptr;
  }
  Job* job = first_;
  first_ = job->next;
  if (first_ == nullptr) last_ = &first_;
  queued_ -= 1;
  return job;
}

void finish(Job& job) {
  if (!job.given_up) {
    job.done = true;
    py::unpark_one(&job);
    return;
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
  const PyGILState_STATE state = PyGILState_Ensure();
  for (;;) {
    PyThreadState* thread = PyEval_SaveThread();
    Job* job = pool.take();
    PyEval_RestoreThread(thread);
    if (job == nullptr) break;
    job->result = job->call.run();
    if (job->result == nullptr) {
      PyErr_Fetch(&job->error_type, &job->error_value, &job->error_trace);
    }
    finish(*job);
  }
  PyGILState_Release(state);
  return nullptr;
}

}  // namespace

PyObject* call_natively(const Call& call,
                        NativeWork work,
                        const char* what,
                        void (*undo)(PyObject*, PyObject*)) {
  Pool* pool = pool_for(work);
  Job* job = pool == nullptr ? nullptr : new (std::nothrow) Job(call, undo);
  if (job == nullptr || !job->call) {
    delete job;
    return PyErr_NoMemory();
  }
  if (!pool->submit(*job)) {
    delete job;
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return nullptr;
  }
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

}  // namespace greenwsgi::patch
