// lock_type.cpp - Lock and RLock, with the interface of threading's.
//
// A release hands over to the first in line (turns.hpp): the lock stays held, and whoever releases
// and takes again at once stands at the end. Until the one it was handed to runs, an RLock has no
// owner; when that one leaves by an exception instead, it hands on. An RLock belongs to a green or
// a native thread. In the child of fork(2) a lock is held if it was; one that a green held which is
// not there any more stays so until _at_fork_reinit(). What the green that forked holds, it still
// does.
#include <new>

#include "src/module/arguments.hpp"
#include "src/module/turns.hpp"
#include "src/module/types.hpp"

// After Python.h, which ref.hpp includes.
#include <structmember.h>

namespace greenwsgi::module {

using py::Ref;

namespace {

struct LockObject {
  PyObject ob_base;
  PyObject* weakrefs;
  Py_ssize_t count;     // How many times it is held; a Lock at most once.
  unsigned long owner;  // An RLock's: who that is, as get_ident() says; 0: nobody.
  unsigned forks;       // When that was so.
  Turns turns;
};

LockObject* lock_of(PyObject* self) {
  return reinterpret_cast<LockObject*>(self);
}

void hand_over(LockObject* self) {
  if (self->turns.empty())
    self->count = 0;
  else
    self->turns.grant(self->turns.front());
}

// Takes one that is free, or waits. False: the time is over, or a Python error is set.
bool take(LockObject* self, const Patience& patience) {
  if (self->count == 0) {
    self->count = 1;
    return true;
  }
  if (!patience.waits) return false;
  const Waited waited = self->turns.wait(Errand::take, patience.deadline, "lock");
  if (waited.granted && waited.failed) hand_over(self);
  return waited.granted && !waited.failed;
}

// The arguments of acquire(), which are threading's. False: a Python error is set.
bool parse_acquire(const Given& given, Patience* patience) {
  PyObject* found[2] = {};
  if (!given.arrange("acquire", {"blocking", "timeout"}, found)) return false;
  if (!parse_patience(found[0], nullptr, patience)) return false;
  if (found[1] == nullptr || found[1] == Py_None) return true;
  const double seconds = PyFloat_AsDouble(found[1]);
  if (seconds == -1.0) return PyErr_Occurred() == nullptr;  // For ever.
  if (patience->waits) return parse_patience(nullptr, found[1], patience);
  PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
  return false;
}

// --- Lock

PyObject* lock_acquire(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  Patience patience;
  if ((count != 0 || names != nullptr) && !parse_acquire({args, count, names}, &patience))
    return nullptr;
  if (take(lock_of(self), patience)) Py_RETURN_TRUE;
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_FALSE;
}

PyObject* lock_enter(PyObject* self, PyObject*) {
  if (!take(lock_of(self), {})) return nullptr;
  Py_RETURN_TRUE;
}

PyObject* lock_release(PyObject* self, PyObject*) {
  if (lock_of(self)->count == 0) {
    PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    return nullptr;
  }
  hand_over(lock_of(self));
  Py_RETURN_NONE;
}

PyObject* lock_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
  return lock_release(self, nullptr);
}

// --- RLock

void set_owner(LockObject* self, unsigned long owner) {
  self->owner = owner;
  self->forks = py::forks.count;
}

bool is_mine(LockObject* self) {
  if (self->owner == 0) return false;
  if (self->forks != py::forks.count) {
    set_owner(self, py::forks.heir_of(self->owner, self->forks));
  }
  return self->owner == py::own_ident();
}

bool take_again(LockObject* self, const Patience& patience) {
  if (is_mine(self)) {
    self->count += 1;
    return true;
  }
  if (!take(self, patience)) return false;
  set_owner(self, py::own_ident());
  return true;
}

PyObject* rlock_acquire(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  Patience patience;
  if ((count != 0 || names != nullptr) && !parse_acquire({args, count, names}, &patience))
    return nullptr;
  if (take_again(lock_of(self), patience)) Py_RETURN_TRUE;
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_FALSE;
}

PyObject* rlock_enter(PyObject* self, PyObject*) {
  if (!take_again(lock_of(self), {})) return nullptr;
  Py_RETURN_TRUE;
}

bool check_mine(LockObject* self) {
  if (is_mine(self)) return true;
  PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
  return false;
}

PyObject* rlock_release(PyObject* self, PyObject*) {
  LockObject* lock = lock_of(self);
  if (!check_mine(lock)) return nullptr;
  if (lock->count > 1) {
    lock->count -= 1;
  } else {
    lock->owner = 0;
    hand_over(lock);
  }
  Py_RETURN_NONE;
}

PyObject* rlock_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
  return rlock_release(self, nullptr);
}

PyObject* rlock_is_owned(PyObject* self, PyObject*) {
  return PyBool_FromLong(is_mine(lock_of(self)));
}

PyObject* rlock_recursion_count(PyObject* self, PyObject*) {
  return PyLong_FromSsize_t(is_mine(lock_of(self)) ? lock_of(self)->count : 0);
}

// Both are for conditions: all at once, and as it was before.
PyObject* rlock_release_save(PyObject* self, PyObject*) {
  LockObject* lock = lock_of(self);
  if (!check_mine(lock)) return nullptr;
  PyObject* count = PyLong_FromSsize_t(lock->count);
  if (count == nullptr) return nullptr;
  lock->count = 1;
  lock->owner = 0;
  hand_over(lock);
  return count;
}

PyObject* rlock_acquire_restore(PyObject* self, PyObject* saved) {
  const Py_ssize_t count = PyLong_AsSsize_t(saved);
  if (count == -1 && PyErr_Occurred()) return nullptr;
  if (!take_again(lock_of(self), {})) return nullptr;
  lock_of(self)->count += count - 1;
  Py_RETURN_NONE;
}

// --- Both

PyObject* locked(PyObject* self, PyObject*) {
  return PyBool_FromLong(lock_of(self)->count != 0);
}

PyObject* at_fork_reinit(PyObject* self, PyObject*) {
  lock_of(self)->count = 0;
  lock_of(self)->owner = 0;
  Py_RETURN_NONE;
}

PyObject* get_waiting(PyObject* self, void*) {
  return PyLong_FromSsize_t(lock_of(self)->turns.count());
}

PyObject* lock_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  // A class that derives from it may have an __init__() of its own, which takes what it likes.
  const bool given =
      PyTuple_GET_SIZE(args) > 0 || (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0);
  if (given && type->tp_init == PyBaseObject_Type.tp_init)
    return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) new (&lock_of(self)->turns) Turns;
  return self;
}

void lock_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (lock_of(self)->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  lock_of(self)->turns.~Turns();
  type->tp_free(self);
  Py_DECREF(type);
}

constexpr const char* kAcquireDoc =
    "acquire($self, /, blocking=True, timeout=-1)\n--\n\nTake it, in turn; False when it is held, "
    "or still was after `timeout` seconds (-1: for ever). May switch.";
constexpr const char* kReleaseDoc =
    "release($self, /)\n--\n\nGive it to whoever has waited longest. Never switches.";
constexpr const char* kLockedDoc = "locked($self, /)\n--\n\nDoes anybody hold it?";

PyMethodDef lock_methods[] = {
    {"acquire", as_method(lock_acquire), METH_FASTCALL | METH_KEYWORDS, kAcquireDoc},
    {"release", lock_release, METH_NOARGS, kReleaseDoc},
    {"locked", locked, METH_NOARGS, kLockedDoc},
    {"__enter__", lock_enter, METH_NOARGS, nullptr},
    {"__exit__", as_method(lock_exit), METH_FASTCALL, nullptr},
    {"_at_fork_reinit", at_fork_reinit, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef rlock_methods[] = {
    {"acquire", as_method(rlock_acquire), METH_FASTCALL | METH_KEYWORDS, kAcquireDoc},
    {"release", rlock_release, METH_NOARGS, kReleaseDoc},
    {"locked", locked, METH_NOARGS, kLockedDoc},
    {"__enter__", rlock_enter, METH_NOARGS, nullptr},
    {"__exit__", as_method(rlock_exit), METH_FASTCALL, nullptr},
    {"_is_owned", rlock_is_owned, METH_NOARGS, nullptr},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, nullptr},
    {"_release_save", rlock_release_save, METH_NOARGS, nullptr},
    {"_acquire_restore", rlock_acquire_restore, METH_O, nullptr},
    {"_at_fork_reinit", at_fork_reinit, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"waiting", get_waiting, nullptr, "How many greens and threads wait.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot lock_slots[] = {
    {Py_tp_doc, const_cast<char*>("Lock()\n--\n\nHeld by one at a time; greens and native threads "
                                  "wait for it in one line. Anybody may release it.")},
    {Py_tp_new, reinterpret_cast<void*>(lock_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(lock_dealloc)},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyType_Slot rlock_slots[] = {
    {Py_tp_doc, const_cast<char*>("RLock()\n--\n\nHeld by one green or native thread at a time, "
                                  "which may take it again, and alone may release it.")},
    {Py_tp_new, reinterpret_cast<void*>(lock_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(lock_dealloc)},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr},
};

constexpr unsigned kFlags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
PyType_Spec lock_spec = {"green.Lock", sizeof(LockObject), 0, kFlags, lock_slots};
PyType_Spec rlock_spec = {"green.RLock", sizeof(LockObject), 0, kFlags, rlock_slots};

}  // namespace

int add_lock_types(PyObject* module) {
  const Ref lock = Ref::steal(PyType_FromModuleAndSpec(module, &lock_spec, nullptr));
  if (!lock || PyModule_AddObjectRef(module, "Lock", lock.get()) < 0) return -1;
  const Ref rlock = Ref::steal(PyType_FromModuleAndSpec(module, &rlock_spec, nullptr));
  return rlock ? PyModule_AddObjectRef(module, "RLock", rlock.get()) : -1;
}

}  // namespace greenwsgi::module
