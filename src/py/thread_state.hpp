// thread_state.hpp - the part of a PyThreadState that belongs to one Python stack, and how to swap
// it. With thread_state.cpp the only place that knows CPython's versions.
//
// All greens of an OS thread share its PyThreadState; a switch saves the fields of the stack that
// leaves and loads those of the one that comes. Which fields, and why each of them, is in
// docs/internals/python-state.md. Knows no fiber and no green: it is told addresses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/py/ref.hpp"

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030F0000
#error "greenwsgi knows the thread state of CPython 3.11 to 3.14"
#endif

#if PY_VERSION_HEX >= 0x030D0000
struct _PyInterpreterFrame;
#endif

namespace greenwsgi::py {

/// Looks whether this interpreter's thread state is laid out as this file believes. True, or false
/// with ImportError set. Once per process, before any other use.
bool check_thread_state(PyThreadState& thread);

/// Is the interpreter on its way out?
bool is_finalizing();

/// Does a trace or profile function watch what runs now?
inline bool has_tracers(const PyThreadState& thread) {
  return thread.c_tracefunc != nullptr || thread.c_profilefunc != nullptr;
}

/// Leaves nothing of the budget for recursion, so that CPython's next check of it raises
/// RecursionError. What it was, for restore_recursion(). Async-signal-safe.
inline int exhaust_recursion(PyThreadState& thread) {
#if PY_VERSION_HEX < 0x030C0000
  int& remaining = thread.recursion_remaining;
#elif PY_VERSION_HEX < 0x030E0000
  int& remaining = thread.c_recursion_remaining;
#else
  int remaining = 0;  // 3.14 looks at the stack itself.
  static_cast<void>(thread);
#endif
  const int taken = std::max(remaining, 0);
  remaining -= taken;
  return taken;
}

inline void restore_recursion(PyThreadState& thread, int taken) {
#if PY_VERSION_HEX < 0x030C0000
  thread.recursion_remaining += taken;
#elif PY_VERSION_HEX < 0x030E0000
  thread.c_recursion_remaining += taken;
#else
  static_cast<void>(thread), static_cast<void>(taken);
#endif
}

/// Hands the current exception to sys.unraisablehook and clears it: "Exception ignored in <what>
/// <where>", with the traceback.
void write_unraisable(const char* what, PyObject* where);

/// The innermost Python frame that a thread state shows, which may be another thread's. Empty: none
/// (or no memory for its object), and no error set.
Ref innermost_frame(PyThreadState& thread);

/// Whether a dict has changed since somebody looked at it, for the price of a comparison. There is
/// one at most.
class DictWatch {
 public:
  bool watches() const { return dict_ != nullptr; }
  PyObject* dict() const { return reinterpret_cast<PyObject*>(dict_); }
  /// Once. Keeps the dict for ever.
  void begin(PyObject* dict);
  /// What follows sees the dict as it is now.
  void look();
  /// False before the first look.
#if PY_VERSION_HEX < 0x030C0000
  bool unchanged() const {
    return dict_ != nullptr && dict_->ma_version_tag == seen_;
  }

 private:
  PyDictObject* dict_ = nullptr;  // Owned.
  std::uint64_t seen_ = 0;        // No dict has this version.
#else
  bool unchanged() const {
    return seen_;
  }

 private:
  static int changed(PyDict_WatchEvent event, PyObject* dict, PyObject* key, PyObject* value);
  PyObject* dict_ = nullptr;  // Owned.
  bool told_ = false;         // False: the interpreter has no watcher left for us.
  static inline bool seen_ = false;
#endif
};

class ThreadSlice {
 public:
  /// Where a new Python stack may live.
  struct Place {
    std::span<std::byte> frames;  // For the root chunk of Python's frame stack.
    std::byte* stack_start;       // The C stack: highest
    std::byte* stack_limit;       // and lowest usable address.
    std::uint64_t id;             // Unique among thread states and greens.
  };

  ThreadSlice() = default;
  ThreadSlice(const ThreadSlice&) = delete;
  ThreadSlice& operator=(const ThreadSlice&) = delete;

  /// Makes this the slice of a stack on which nothing has run yet. `context`: borrowed, may be
  /// null.
  void start(PyThreadState& thread, const Place& place, PyObject* context);
  /// On the stack itself, at its end: lets go of what the slice owns, which runs destructors.
  void finish(PyThreadState& thread);
  /// Tracers, thread locals and the context, which runs destructors. False: there were none.
  bool drop_locals(PyThreadState& thread);

  void save(PyThreadState& thread);
  void load(PyThreadState& thread);
  /// The part of save() for what sys.settrace() and sys.setprofile() have set: it moves into the
  /// slice, so that the thread state has none until load() puts it back.
  void save_tracers(PyThreadState& thread) {
    if (has_tracers(thread)) [[unlikely]]
      take_tracers(thread);
  }

  /// While saved, whichever thread's: has `change` set a trace or profile function in the thread
  /// state of the caller, and keeps what that is then; the caller's own stay.
  template <class Change>
  void change_tracers(PyThreadState& caller, Change change) {
    ThreadSlice own;
    own.save_tracers(caller);
    if (traced_) give_tracers(caller);
    change();
    save_tracers(caller);
    if (own.traced_) own.give_tracers(caller);
  }

  /// While saved: the innermost Python frame of the stack. Empty: none (no Python runs there), and
  /// no error set.
  Ref frame() const;
  /// While saved: does its code stand in an except or finally block, because of an exception?
  bool handles_exception() const;

 private:
  void take_tracers(PyThreadState& thread);
  void give_tracers(PyThreadState& thread);

  // Owned references are marked *; the thread state holds them while the slice is loaded.
  PyObject* context_ = nullptr;  // *
  PyObject* dict_ = nullptr;     // * What threading.local keeps its values in.
  std::uint64_t id_ = 0;
  _PyErr_StackItem* exception_ = nullptr;
  _PyStackChunk* chunk_ = nullptr;
  PyObject** frames_top_ = nullptr;
  PyObject** frames_limit_ = nullptr;
  PyObject* asyncgen_firstiter_ = nullptr;  // *
  PyObject* asyncgen_finalizer_ = nullptr;  // *
  PyObject* delete_later_ = nullptr;        // * The trashcan's chain.
  int coroutine_origin_depth_ = 0;
  int depth_ = 0;  // Not what remains: the limit may change while parked.
  int tracing_ = 0;
  int headroom_ = 0;  // Of the recursion limit, while an exception is being made.
  int event_ = 0;
  bool traced_ = false;  // While saved: the tracers below are its own.
#if PY_VERSION_HEX < 0x030D0000
  _PyCFrame* cframe_ = nullptr;
  int trash_nesting_ = 0;
#else
  _PyInterpreterFrame* frame_ = nullptr;
  std::uintptr_t critical_section_ = 0;
  PyObject* local_key_ = nullptr;       // *
  PyObject* local_sentinel_ = nullptr;  // *
  PyObject* running_loop_ = nullptr;    // *
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
  int c_recursion_remaining_ = 0;  // Its budget depends on the stack.
#endif
#if PY_VERSION_HEX >= 0x030E0000
  PyObject* running_task_ = nullptr;  // *
  PyObject* executor_ = nullptr;
  std::uintptr_t stack_words_[3] = {};  // Top, soft limit, hard limit.
#endif

  // Only read while traced_ is set.
  Py_tracefunc trace_function_ = nullptr;
  Py_tracefunc profile_function_ = nullptr;
  PyObject* trace_object_ = nullptr;    // *
  PyObject* profile_object_ = nullptr;  // *

  // What only a stack of our own has, and the root's slice leaves alone.
  _PyErr_StackItem bottom_exception_{};
#if PY_VERSION_HEX < 0x030D0000
  _PyCFrame bottom_cframe_{};
#endif
};

/// Offsets into _PyThreadStateImpl, which is private and moves: found by check_thread_state().
struct ThreadStateOffsets {
  std::size_t running_loop = 0;  // 3.13 and later.
  std::size_t stack_words = 0;   // 3.14 and later.
};
extern ThreadStateOffsets thread_state_offsets;

#if PY_VERSION_HEX >= 0x030D0000
/// asyncio's running loop and, from 3.14, its running task behind it.
inline PyObject** asyncio_words(PyThreadState& thread) {
  return reinterpret_cast<PyObject**>(reinterpret_cast<std::byte*>(&thread) +
                                      thread_state_offsets.running_loop);
}
#endif
#if PY_VERSION_HEX >= 0x030E0000
inline std::uintptr_t* stack_words(PyThreadState& thread) {
  return reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::byte*>(&thread) +
                                           thread_state_offsets.stack_words);
}
#endif

inline void ThreadSlice::save(PyThreadState& thread) {
  context_ = thread.context;
  dict_ = thread.dict;
  id_ = thread.id;
  exception_ = thread.exc_info;
  chunk_ = thread.datastack_chunk;
  frames_top_ = thread.datastack_top;
  frames_limit_ = thread.datastack_limit;
  asyncgen_firstiter_ = thread.async_gen_firstiter;
  asyncgen_finalizer_ = thread.async_gen_finalizer;
  coroutine_origin_depth_ = thread.coroutine_origin_tracking_depth;
  tracing_ = thread.tracing;
  headroom_ = thread.recursion_headroom;
#if PY_VERSION_HEX < 0x030C0000
  depth_ = thread.recursion_limit - thread.recursion_remaining;
  event_ = thread.tracing_what;
  trash_nesting_ = thread.trash_delete_nesting;
  delete_later_ = thread.trash_delete_later;
#else
  depth_ = thread.py_recursion_limit - thread.py_recursion_remaining;
  event_ = thread.what_event;
#endif
#if PY_VERSION_HEX < 0x030D0000
  cframe_ = thread.cframe;
#else
  frame_ = thread.current_frame;
  delete_later_ = thread.delete_later;
  critical_section_ = thread.critical_section;
  local_key_ = thread.threading_local_key;
  local_sentinel_ = thread.threading_local_sentinel;
  running_loop_ = asyncio_words(thread)[0];
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
  trash_nesting_ = thread.trash.delete_nesting;
  delete_later_ = thread.trash.delete_later;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
  c_recursion_remaining_ = thread.c_recursion_remaining;
#endif
#if PY_VERSION_HEX >= 0x030E0000
  running_task_ = asyncio_words(thread)[1];
  executor_ = thread.current_executor;
  for (int i = 0; i < 3; i++) stack_words_[i] = stack_words(thread)[i];
#endif
  save_tracers(thread);
}

inline void ThreadSlice::load(PyThreadState& thread) {
  thread.context = context_;
  thread.context_ver += 1;  // Or a ContextVar would answer from its cache of the last context.
  thread.dict = dict_;
  thread.id = id_;
  thread.exc_info = exception_;
  thread.datastack_chunk = chunk_;
  thread.datastack_top = frames_top_;
  thread.datastack_limit = frames_limit_;
  thread.async_gen_firstiter = asyncgen_firstiter_;
  thread.async_gen_finalizer = asyncgen_finalizer_;
  thread.coroutine_origin_tracking_depth = coroutine_origin_depth_;
  thread.tracing = tracing_;
  thread.recursion_headroom = headroom_;
#if PY_VERSION_HEX < 0x030C0000
  thread.recursion_remaining = thread.recursion_limit - depth_;
  thread.tracing_what = event_;
  thread.trash_delete_nesting = trash_nesting_;
  thread.trash_delete_later = delete_later_;
  thread.cframe = cframe_;  // With its flag that somebody traces.
#else
  thread.py_recursion_remaining = thread.py_recursion_limit - depth_;
  thread.what_event = event_;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
  thread.cframe = cframe_;
  thread.trash.delete_nesting = trash_nesting_;
  thread.trash.delete_later = delete_later_;
#endif
#if PY_VERSION_HEX >= 0x030D0000
  thread.current_frame = frame_;
  thread.delete_later = delete_later_;
  thread.critical_section = critical_section_;
  thread.threading_local_key = local_key_;
  thread.threading_local_sentinel = local_sentinel_;
  asyncio_words(thread)[0] = running_loop_;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
  thread.c_recursion_remaining = c_recursion_remaining_;
#endif
#if PY_VERSION_HEX >= 0x030E0000
  asyncio_words(thread)[1] = running_task_;
  thread.current_executor = executor_;
  for (int i = 0; i < 3; i++) stack_words(thread)[i] = stack_words_[i];
#endif
  if (traced_) [[unlikely]]
    give_tracers(thread);
}

}  // namespace greenwsgi::py
