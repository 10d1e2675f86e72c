// links.hpp - who is told that an object has become ready: callables, each called once with it.
//
// Part of a Python object; empty when all its bytes are zero. Told means called by whoever makes
// the object ready, of any thread and on that one's stack, so a callable must not wait; one that
// may wait is added as "spawning" and runs in a green of its own. An error in one is reported, the
// others are still told. Whoever was being told while it was removed may be told all the same.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::py {

struct Links {
  bool empty() const { return list == nullptr; }
  /// False: a Python error is set (TypeError: it cannot be called).
  bool add(PyObject* callback);
  bool add_spawning(PyObject* callback);
  /// The first that equals `callback`, of either kind; nothing when there is none. False: a Python
  /// error is set, by a comparison.
  bool remove(PyObject* callback);
  /// Tells all, in the order of their adding.
  void tell(PyObject* owner);
  /// Tells those that are not spawning, and keeps the others.
  void tell_plain(PyObject* owner);

  PyObject* list;  // Owned; null while nobody waits to be told.
};

}  // namespace greenwsgi::py
