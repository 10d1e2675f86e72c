// thread_state.cpp - the start and the end of a Python stack, and the look before the first one.
//
// CPython promises nothing about these fields between minor versions, so the file is compiled for
// one and refuses to run on another; within one, what sits in the private part of the struct is
// found by experiment, never by a number.
#include "src/py/thread_state.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "greenwsgi/base/assert.hpp"
#include "src/py/tracers.hpp"

namespace greenwsgi::py {

ThreadStateOffsets thread_state_offsets;

namespace {

bool refuse(const char* what) {
  PyErr_Format(PyExc_ImportError,
               "greenwsgi cannot run green threads on this Python (%s): %s; use a CPython 3.11 to "
               "3.14 with the GIL, and build greenwsgi with the interpreter that runs it",
               Py_GetVersion(), what);
  return false;
}

#if PY_VERSION_HEX >= 0x030E0000
// The margins that 3.14 leaves above the end of a stack; found with the words.
constexpr std::uintptr_t kStackMarginBytes = 2048 * sizeof(void*);

// Has the interpreter write a stack that we know, and looks where it wrote it.
bool find_stack_words(PyThreadState& thread) {
  using Set = int (*)(PyThreadState*, void*, std::size_t);
  using Reset = void (*)(PyThreadState*);
  const auto set =
      reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_SetStackProtection"));
  const auto reset =
      reinterpret_cast<Reset>(dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_ResetStackProtection"));
  if (set == nullptr || reset == nullptr) return false;
  static std::byte probe[128 * 1024];
  const auto base = reinterpret_cast<std::uintptr_t>(probe);
  // Between the two calls nothing of Python may run: it would believe to have overflowed.
  if (set(&thread, probe, sizeof probe) != 0) {
    PyErr_Clear();
    return false;
  }
  std::size_t found = 0;
  for (std::size_t at = sizeof(PyThreadState) - 256; at < sizeof(PyThreadState) + 128; at += 8) {
    const auto* words =
        reinterpret_cast<const std::uintptr_t*>(reinterpret_cast<const std::byte*>(&thread) + at);
    if (words[0] == base + sizeof probe && words[1] == base + 2 * kStackMarginBytes &&
        words[2] == base + kStackMarginBytes) {
      found = at;
      break;
    }
  }
  reset(&thread);
  thread_state_offsets.stack_words = found;
  thread_state_offsets.running_loop = found + 3 * sizeof(void*);
  return found != 0;
}
#endif

#if PY_VERSION_HEX >= 0x030D0000
// Sets a loop through asyncio's own function and looks whether it went where we believe. Before
// asyncio is imported there can be no loop, and importing it only for this would cost every program
// 50 ms: then the word must be empty.
bool check_running_loop(PyThreadState& thread) {
  PyObject* modules = PyImport_GetModuleDict();
  PyObject* asyncio = PyDict_GetItemString(modules, "_asyncio");
  PyObject** word = asyncio_words(thread);
  if (asyncio == nullptr) return word[0] == nullptr;
  const Ref before = Ref::share(word[0]);
  const Ref probe = Ref::steal(PyList_New(0));
  if (!probe) return false;
  const Ref set = Ref::steal(PyObject_CallMethod(asyncio, "_set_running_loop", "(O)", probe.get()));
  if (!set) return false;
  const bool found = word[0] == probe.get();
  PyObject* old = before ? before.get() : Py_None;
  const Ref restored = Ref::steal(PyObject_CallMethod(asyncio, "_set_running_loop", "(O)", old));
  return found && restored;
}
#endif

// The public functions and the fields must tell the same story, or the header we were built with is
// not the one the interpreter was built with.
bool fields_agree(PyThreadState& thread) {
  const PyObject* dict = PyThreadState_GetDict();  // Made at the first call.
  if (thread.interp != PyInterpreterState_Get()) return false;
  if (thread.id != PyThreadState_GetID(&thread)) return false;
  if (thread.dict != dict) return false;
  if (thread.thread_id != static_cast<unsigned long>(pthread_self())) return false;
#if PY_VERSION_HEX < 0x030C0000
  if (thread.recursion_limit != Py_GetRecursionLimit()) return false;
#else
  if (thread.py_recursion_limit != Py_GetRecursionLimit()) return false;
#endif
  const auto* chunk = reinterpret_cast<const std::byte*>(thread.datastack_chunk);
  const auto* top = reinterpret_cast<const std::byte*>(thread.datastack_top);
  const auto* limit = reinterpret_cast<const std::byte*>(thread.datastack_limit);
  if (chunk == nullptr) return top == nullptr;
  return chunk < top && top <= limit && chunk + thread.datastack_chunk->size == limit;
}

}  // namespace

bool check_thread_state(PyThreadState& thread) {
#ifdef Py_GIL_DISABLED
  return refuse("it is a free-threaded build, which greenwsgi does not support yet");
#endif
  if ((Py_Version >> 16) != (PY_VERSION_HEX >> 16))
    return refuse("greenwsgi was built for another version");
  if (!fields_agree(thread)) return refuse("its thread state is laid out in an unknown way");
#if PY_VERSION_HEX >= 0x030E0000
  if (!find_stack_words(thread)) return refuse("its limits of the C stack cannot be set");
#elif PY_VERSION_HEX >= 0x030D0000
  thread_state_offsets.running_loop = sizeof(PyThreadState);
#endif
#if PY_VERSION_HEX >= 0x030D0000
  if (!check_running_loop(thread)) {
    PyErr_Clear();
    return refuse("asyncio's running loop is not where it was expected");
  }
#endif
  return true;
}

namespace {

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
#ifdef Py_C_RECURSION_LIMIT
constexpr int kCompiledInLimit = Py_C_RECURSION_LIMIT;
#else
constexpr int kCompiledInLimit = C_RECURSION_LIMIT;
#endif

// CPython's limit supposes 8 MiB. Measured: at most 450 bytes a unit; 800 leaves room for what does
// not count, and 64 KiB for a deep call at the limit.
int c_recursion_budget(std::size_t stack_bytes) {
  const std::size_t usable = stack_bytes > 96 * 1024 ? stack_bytes - 64 * 1024 : 32 * 1024;
  return static_cast<int>(std::min<std::size_t>(kCompiledInLimit, usable / 800));
}
#endif

}  // namespace

bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

void write_unraisable(const char* what, PyObject* where) {
#if PY_VERSION_HEX >= 0x030D0000
  PyErr_FormatUnraisable("Exception ignored in %s %R", what, where);
#else
  char text[128];
  PyOS_snprintf(text, sizeof text, "in %s", what);
  _PyErr_WriteUnraisableMsg(text, where);
#endif
}

void ThreadSlice::start(PyThreadState& thread, const Place& place, PyObject* context) {
  // The VM never frees a root chunk, and frames that do not fit get a chunk of the VM's own.
  chunk_ = reinterpret_cast<_PyStackChunk*>(place.frames.data());
  chunk_->previous = nullptr;
  chunk_->size = place.frames.size();
  chunk_->top = 0;
  frames_top_ = &chunk_->data[1];  // Slot 0 stays empty, as in the VM's own root chunks.
  frames_limit_ = reinterpret_cast<PyObject**>(place.frames.data() + place.frames.size());

  context_ = Py_XNewRef(context);
  id_ = place.id;
  exception_ = &bottom_exception_;
#if PY_VERSION_HEX < 0x030D0000
  bottom_cframe_.current_frame = nullptr;
  bottom_cframe_.previous = &thread.root_cframe;
  cframe_ = &bottom_cframe_;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
  c_recursion_remaining_ =
      c_recursion_budget(static_cast<std::size_t>(place.stack_start - place.stack_limit));
#endif
#if PY_VERSION_HEX >= 0x030E0000
  const auto limit = reinterpret_cast<std::uintptr_t>(place.stack_limit);
  stack_words_[0] = reinterpret_cast<std::uintptr_t>(place.stack_start);
  stack_words_[1] = limit + 2 * kStackMarginBytes;
  stack_words_[2] = limit + kStackMarginBytes;
#endif
  load(thread);
}

Ref innermost_frame(PyThreadState& thread) {
  // Making the frame's object may start the garbage collector, and code that it calls may let the
  // thread whose frame it is go on.
  const int collects = PyGC_Disable();
  Ref frame = Ref::steal(reinterpret_cast<PyObject*>(PyThreadState_GetFrame(&thread)));
  if (collects != 0) PyGC_Enable();
  return frame;
}

bool ThreadSlice::handles_exception() const {
  for (const _PyErr_StackItem* item = exception_; item != nullptr; item = item->previous_item) {
    if (item->exc_value != nullptr && item->exc_value != Py_None) return true;
  }
  return false;
}

Ref ThreadSlice::frame() const {
  // The public function looks at the frame pointer and at nothing else.
  PyThreadState stand_in{};
#if PY_VERSION_HEX < 0x030D0000
  stand_in.cframe = cframe_;
#else
  stand_in.current_frame = frame_;
#endif
  return innermost_frame(stand_in);
}

#if PY_VERSION_HEX < 0x030C0000
void DictWatch::begin(PyObject* dict) {
  dict_ = reinterpret_cast<PyDictObject*>(Py_NewRef(dict));
}

void DictWatch::look() {
  seen_ = dict_->ma_version_tag;
}
#else
int DictWatch::changed(PyDict_WatchEvent, PyObject*, PyObject*, PyObject*) {
  seen_ = false;
  return 0;
}

void DictWatch::begin(PyObject* dict) {
  dict_ = Py_NewRef(dict);
  const int watcher = PyDict_AddWatcher(changed);
  told_ = watcher >= 0 && PyDict_Watch(watcher, dict) == 0;
  if (!told_) PyErr_Clear();
}

void DictWatch::look() {
  seen_ = told_;
}
#endif

void ThreadSlice::take_tracers(PyThreadState& thread) {
  GW_ASSERT(!traced_);
  traced_ = true;
  trace_function_ = std::exchange(thread.c_tracefunc, nullptr);
  trace_object_ = std::exchange(thread.c_traceobj, nullptr);
  profile_function_ = std::exchange(thread.c_profilefunc, nullptr);
  profile_object_ = std::exchange(thread.c_profileobj, nullptr);
}

void ThreadSlice::give_tracers(PyThreadState& thread) {
  GW_ASSERT(!has_tracers(thread));
  traced_ = false;
  thread.c_tracefunc = trace_function_;
  thread.c_traceobj = trace_object_;
  thread.c_profilefunc = profile_function_;
  thread.c_profileobj = profile_object_;
}

void ThreadSlice::finish(PyThreadState& thread) {
  GW_ASSERT(thread.exc_info == &bottom_exception_);
  GW_ASSERT(thread.datastack_chunk->previous == nullptr);  // The VM freed its own chunks.
  // Destructors may bring back what was just let go (a threading.local in a __del__): a few rounds,
  // as for tp_finalize; what is still there then is lost.
  for (int round = 0; round < 4; round++) {
    bool again = false;
    const auto let_go = [&again](PyObject*& owned) {
      if (owned == nullptr) return;
      again = true;
      Py_CLEAR(owned);
    };
    if (drop_locals(thread)) again = true;
    let_go(bottom_exception_.exc_value);
#if PY_VERSION_HEX >= 0x030D0000
    let_go(asyncio_words(thread)[0]);
    if (thread.delete_later != nullptr) {
      // The trashcan empties itself when a container goes.
      const Ref container = Ref::steal(PyList_New(0));
      again = true;
    }
#endif
#if PY_VERSION_HEX >= 0x030E0000
    let_go(asyncio_words(thread)[1]);
#endif
    let_go(thread.async_gen_firstiter);
    let_go(thread.async_gen_finalizer);
    if (!again) return;
  }
}

bool ThreadSlice::drop_locals(PyThreadState& thread) {
  bool any = thread.dict != nullptr || thread.context != nullptr;
  if (has_tracers(thread)) {
    any = true;
    end_tracers();
    // Where an audit hook forbids it they are lost, but not for the next green.
    if (has_tracers(thread)) take_tracers(thread);
    traced_ = false;
  }
  Py_CLEAR(thread.dict);
#if PY_VERSION_HEX >= 0x030D0000
  any = any || thread.threading_local_key != nullptr;
  Py_CLEAR(thread.threading_local_key);  // First: with a key there must be a sentinel.
  Py_CLEAR(thread.threading_local_sentinel);
#endif
  if (thread.context != nullptr) {
    thread.context_ver += 1;
    Py_CLEAR(thread.context);
  }
  return any;
}

}  // namespace greenwsgi::py
