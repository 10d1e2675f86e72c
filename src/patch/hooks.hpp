// hooks.hpp - the groups of hooks: what each one hooks and how it checks itself.
//
// A group is installed as a whole or not at all. It never un-patches: another patcher may have
// chained itself to our entry points by then.
#pragma once

#include <span>
#include <string>

#include "src/patch/call.hpp"

namespace greenwsgi::patch {

/// One C function or method to hook.
struct Target {
  const char* module;
  const char* type;  // nullptr: a function of the module.
  const char* name;
  bool optional;  // Some CPython versions do not have it.
  PyCFunction (*entry)(Shape);
  PyCFunction* original;
};

template <PyObject* (*Hook)(Call&), int Alias = 0>
constexpr Target target(const char* module,
                        const char* type,
                        const char* name,
                        bool optional = false) {
  return {
      module, type, name, optional, &Hooked<Hook, Alias>::entry, &Hooked<Hook, Alias>::original};
}

struct Group {
  const char* name;
  std::span<const Target> targets;
  /// Before the hooks are in place: nullptr, or why the group must not be installed.
  const char* (*check)();
};

// In the order of their installation.
extern const Group sleep_group;       // time_hooks.cpp
extern const Group lock_group;        // lock_hooks.cpp
extern const Group rlock_group;       // rlock_hooks.cpp
extern const Group thread_group;      // thread_hooks.cpp
extern const Group queue_group;       // queue_hooks.cpp
extern const Group close_group;       // close_hooks.cpp
extern const Group socket_group;      // socket_group.cpp
extern const Group names_group;       // names_hooks.cpp
extern const Group select_group;      // select_hooks.cpp
extern const Group poll_group;        // poll_hooks.cpp
extern const Group tls_group;         // tls_hooks.cpp
extern const Group process_group;     // process_hooks.cpp
extern const Group descriptor_group;  // descriptor_hooks.cpp
extern const Group file_group;        // file_hooks.cpp
extern const Group buffered_group;    // buffered_hooks.cpp
extern const Group open_group;        // open_hooks.cpp
extern const Group signal_group;      // signal_hooks.cpp
extern const Group sigwait_group;     // signal_waits.cpp
extern const Group mask_group;        // mask_hooks.cpp
extern const Group trace_group;       // trace_hooks.cpp
extern const Group ident_group;       // ident_hooks.cpp
extern const Group device_group;      // device_hooks.cpp
extern const Group semlock_group;     // semlock_hooks.cpp

/// The address, an int, of what is called instead of PyThreadState_SetAsyncExc (ident_hooks.cpp).
PyObject* async_exc_address(PyObject*, PyObject*);

/// Puts all hooks of the group in place, or none: then why not; "" when they are. A second call
/// changes nothing. Appends the functions that have changed to the list `changed`.
std::string install(const Group& group, PyObject* changed);

}  // namespace greenwsgi::patch
