#include "src/py/tuple_hash.hpp"

#include <cstddef>
#include <new>
#include <vector>

#include "greenwsgi/fiber/fiber.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::py {

namespace {

hashfunc hash_by_recursion = nullptr;  // CPython's own.

Py_hash_t hash_tuple(PyObject* tuple);

/// Stands for an item whose hash is known, so that CPython's own function combines the hashes.
struct Hashed {
  PyObject_HEAD Py_hash_t hash;
};

Py_hash_t hashed_hash(PyObject* self) {
  return reinterpret_cast<Hashed*>(self)->hash;
}

PyType_Slot hashed_slots[] = {
    {Py_tp_hash, reinterpret_cast<void*>(hashed_hash)},
    {0, nullptr},
};
PyType_Spec hashed_spec = {"green._core.Hashed", sizeof(Hashed), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, hashed_slots};

PyObject* hashed_type = nullptr;  // Made when it is first needed.

bool is_tuple(PyObject* item) {
  return Py_TYPE(item)->tp_hash == hash_tuple;  // Of subclasses those that hash like it.
}

struct Level {
  PyObject* tuple;  // The outermost's caller holds them all.
  Ref hashed;       // As many items: what stands for those before `next`.
  Py_ssize_t next = 0;
};

class Levels {
 public:
  /// hash(outermost); -1: a Python error is set.
  Py_hash_t hash(PyObject* outermost) {
    if (hashed_type == nullptr) hashed_type = PyType_FromSpec(&hashed_spec);
    if (hashed_type == nullptr || !enter(outermost)) return -1;
    for (;;) {
      Level& level = levels_.back();
      const bool whole = level.next == PyTuple_GET_SIZE(level.tuple);
      PyObject* item = whole ? nullptr : PyTuple_GET_ITEM(level.tuple, level.next);
      if (!whole && is_tuple(item)) {
        if (!enter(item)) return -1;
        continue;
      }
      const Py_hash_t hash = whole ? hash_by_recursion(level.hashed.get()) : PyObject_Hash(item);
      if (hash == -1) return -1;
      if (whole) levels_.pop_back();
      if (levels_.empty()) return hash;
      if (!put(levels_.back(), hash)) return -1;
    }
  }

 private:
  bool enter(PyObject* tuple) {
    Ref hashed = Ref::steal(PyTuple_New(PyTuple_GET_SIZE(tuple)));
    if (!hashed) return false;
    PyObject_GC_UnTrack(hashed.get());  // Nobody is to see it half full.
    try {
      levels_.push_back({tuple, std::move(hashed)});
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
      return false;
    }
    return true;
  }

  bool put(Level& level, Py_hash_t hash) {
    auto* const hashed = PyObject_New(Hashed, reinterpret_cast<PyTypeObject*>(hashed_type));
    if (hashed == nullptr) return false;
    hashed->hash = hash;
    PyTuple_SET_ITEM(level.hashed.get(), level.next++, reinterpret_cast<PyObject*>(hashed));
    return true;
  }

  std::vector<Level> levels_;
};

bool stack_is_low() {
  Scheduler* const scheduler = Scheduler::current();
  const Fiber* const fiber = scheduler != nullptr ? scheduler->running() : nullptr;
  if (fiber == nullptr || fiber->is_root()) return false;
  const auto* const here = static_cast<std::byte*>(__builtin_frame_address(0));
  return here - fiber->stack_limit() < (fiber->stack_start() - fiber->stack_limit()) / 4;
}

bool is_nested(PyObject* tuple) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    if (is_tuple(PyTuple_GET_ITEM(tuple, i))) return true;
  }
  return false;
}

Py_hash_t hash_tuple(PyObject* tuple) {
  return stack_is_low() && is_nested(tuple) ? Levels().hash(tuple) : hash_by_recursion(tuple);
}

}  // namespace

void install_tuple_hash() {
  if (hash_by_recursion != nullptr) return;
  hash_by_recursion = PyTuple_Type.tp_hash;
  PyTuple_Type.tp_hash = hash_tuple;
}

}  // namespace greenwsgi::py
