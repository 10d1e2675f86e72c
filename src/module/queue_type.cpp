// queue_type.cpp - Queue, LifoQueue, PriorityQueue and Channel, with the interface of queue.Queue.
//
// How they work is queue.hpp's; here are the types, and the exceptions, which are the module
// queue's.
#include <new>

#include "src/module/arguments.hpp"
#include "src/module/queue.hpp"
#include "src/module/types.hpp"

// After Python.h, which ref.hpp includes.
#include <structmember.h>

namespace greenwsgi::module {

using py::Ref;

namespace {

struct QueueObject {
  PyObject ob_base;
  PyObject* weakrefs;
  Queue queue;
};

Queue& queue_of(PyObject* self) {
  return reinterpret_cast<QueueObject*>(self)->queue;
}

// --- Methods

PyObject* queue_put(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* given[3] = {};
  if (!Given{args, count, names}.arrange("put", {"item", "block", "timeout"}, given))
    return nullptr;
  if (given[0] == nullptr) {
    PyErr_SetString(PyExc_TypeError, "put() needs an item");
    return nullptr;
  }
  Patience patience;
  if (!parse_patience(given[1], given[2], &patience)) return nullptr;
  if (!queue_of(self).put(Ref::share(given[0]), patience)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* queue_rawlink(PyObject* self, PyObject* callback) {
  if (!queue_of(self).rawlink(callback)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* queue_unlink(PyObject* self, PyObject* callback) {
  if (!queue_of(self).unlink(callback)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* queue_put_nowait(PyObject* self, PyObject* item) {
  if (!queue_of(self).put(Ref::share(item), {false, kNever})) return nullptr;
  Py_RETURN_NONE;
}

PyObject* get_by(PyObject* self, const char* function, Errand errand, const Given& given) {
  PyObject* found[2] = {};
  if (!given.arrange(function, {"block", "timeout"}, found)) return nullptr;
  Patience patience;
  if (!parse_patience(found[0], found[1], &patience)) return nullptr;
  return queue_of(self).get(errand, patience).release();
}

PyObject* queue_get(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return get_by(self, "get", Errand::take, {args, count, names});
}

PyObject* queue_peek(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return get_by(self, "peek", Errand::look, {args, count, names});
}

PyObject* queue_get_nowait(PyObject* self, PyObject*) {
  return queue_of(self).get(Errand::take, {false, kNever}).release();
}

PyObject* queue_peek_nowait(PyObject* self, PyObject*) {
  return queue_of(self).get(Errand::look, {false, kNever}).release();
}

// The next of an iteration, which ends by shutdown, or by the class StopIteration as an item.
PyObject* queue_next(PyObject* self) {
  Ref item = queue_of(self).get(Errand::take, {});
  if (item.get() == PyExc_StopIteration) return nullptr;
  if (!item && PyErr_ExceptionMatches(queue_errors.shut_down)) PyErr_Clear();
  return item.release();
}

PyObject* queue_task_done(PyObject* self, PyObject*) {
  if (queue_of(self).finish_one()) Py_RETURN_NONE;
  PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
  return nullptr;
}

PyObject* queue_join(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* given[1] = {};
  if (!Given{args, count, names}.arrange("join", {"timeout"}, given)) return nullptr;
  Patience patience;
  if (!parse_patience(nullptr, given[0], &patience)) return nullptr;
  const Waited waited = queue_of(self).join(patience);
  return waited.failed ? nullptr : PyBool_FromLong(waited.granted);
}

PyObject* queue_shutdown(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* given[1] = {Py_False};
  if (!Given{args, count, names}.arrange("shutdown", {"immediate"}, given)) return nullptr;
  const int immediate = PyObject_IsTrue(given[0]);
  if (immediate < 0) return nullptr;
  queue_of(self).shut_down(immediate != 0);
  Py_RETURN_NONE;
}

PyObject* queue_qsize(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(queue_of(self).size());
}

PyObject* queue_empty(PyObject* self, PyObject*) {
  return PyBool_FromLong(queue_of(self).size() == 0);
}

PyObject* queue_full(PyObject* self, PyObject*) {
  return PyBool_FromLong(!queue_of(self).has_room());
}

PyObject* queue_getting(PyObject* self, PyObject*) {
  return PyLong_FromSsize_t(queue_of(self).getting());
}

PyObject* queue_putting(PyObject* self, PyObject*) {
  return PyLong_FromSsize_t(queue_of(self).putting());
}

PyObject* get_maxsize(PyObject* self, void*) {
  return PyLong_FromSsize_t(queue_of(self).maxsize());
}

int set_maxsize(PyObject* self, PyObject* given, void*) {
  if (given == nullptr || queue_of(self).is_rendezvous()) {
    PyErr_SetString(PyExc_AttributeError, "maxsize cannot be deleted, nor a channel's be set");
    return -1;
  }
  const Py_ssize_t maxsize = given == Py_None ? 0 : PyNumber_AsSsize_t(given, PyExc_OverflowError);
  if (maxsize == -1 && PyErr_Occurred()) return -1;
  queue_of(self).set_maxsize(maxsize);
  return 0;
}

PyObject* get_unfinished(PyObject* self, void*) {
  return PyLong_FromSsize_t(queue_of(self).unfinished());
}

PyObject* get_is_shutdown(PyObject* self, void*) {
  return PyBool_FromLong(queue_of(self).is_shut());
}

// --- The types

template <Order order, bool rendezvous>
PyObject* queue_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) new (&queue_of(self)) Queue(self, order, rendezvous);
  return self;
}

int queue_init(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"maxsize", nullptr};
  PyObject* given = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", const_cast<char**>(names), &given))
    return -1;
  return set_maxsize(self, given, nullptr);
}

int channel_init(PyObject*, PyObject* args, PyObject* keywords) {
  static const char* names[] = {nullptr};
  return PyArg_ParseTupleAndKeywords(args, keywords, ":Channel", const_cast<char**>(names)) ? 0
                                                                                            : -1;
}

int queue_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return queue_of(self).traverse(visit, arg);
}

int queue_clear(PyObject* self) {
  queue_of(self).clear();
  return 0;
}

void queue_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, queue_dealloc) PyTypeObject* type = Py_TYPE(self);
  if (reinterpret_cast<QueueObject*>(self)->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  queue_of(self).~Queue();
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

constexpr int kFast = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef methods[] = {
    {"put", as_method(queue_put), kFast,
     "put($self, /, item, block=True, timeout=None)\n--\n\nPut `item` in, or hand it to whoever "
     "has "
     "waited longest for one. Full when there is no room, or was\nnone in `timeout` seconds. May "
     "switch."},
    {"get", as_method(queue_get), kFast,
     "get($self, /, block=True, timeout=None)\n--\n\nTake an item out, in turn. Empty when there "
     "is "
     "none, or came none in `timeout` seconds. May switch."},
    {"peek", as_method(queue_peek), kFast,
     "peek($self, /, block=True, timeout=None)\n--\n\nThe item that the next get() would take, as "
     "get() otherwise. May switch."},
    {"put_nowait", queue_put_nowait, METH_O,
     "put_nowait($self, item, /)\n--\n\nput(item, block=False). Never switches."},
    {"get_nowait", queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nget(block=False). Never switches."},
    {"peek_nowait", queue_peek_nowait, METH_NOARGS,
     "peek_nowait($self, /)\n--\n\npeek(block=False). Never switches."},
    {"task_done", queue_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nAn item taken earlier is finished. Never switches. ValueError: "
     "more than were put."},
    {"join", as_method(queue_join), kFast,
     "join($self, /, timeout=None)\n--\n\nWait until all items that were put are finished; False "
     "when they are not in `timeout` seconds. May switch."},
    {"shutdown", as_method(queue_shutdown), kFast,
     "shutdown($self, /, immediate=False)\n--\n\nFrom now on put() raises ShutDown, and get() when "
     "it is empty, which `immediate` makes it. Never\nswitches."},
    {"rawlink", queue_rawlink, METH_O,
     "rawlink($self, callback, /)\n--\n\nCall callback(queue) once, as soon as a get() would not "
     "wait, on the stack of whoever puts, of any thread.\nIt must not wait, and takes nothing by "
     "being called. Its exception is reported."},
    {"unlink", queue_unlink, METH_O,
     "unlink($self, callback, /)\n--\n\nTake back a rawlink(); nothing happens when there is "
     "none."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize($self, /)\n--\n\nHow many items are in it."},
    {"empty", queue_empty, METH_NOARGS, "empty($self, /)\n--\n\nAre there none in it?"},
    {"full", queue_full, METH_NOARGS,
     "full($self, /)\n--\n\nIs there no room? Of a Channel, ever."},
    {"getting", queue_getting, METH_NOARGS,
     "getting($self, /)\n--\n\nHow many greens and threads wait in get() and peek()."},
    {"putting", queue_putting, METH_NOARGS,
     "putting($self, /)\n--\n\nHow many greens and threads wait in put()."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(QueueObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"maxsize", get_maxsize, set_maxsize, "How many it may hold; 0 or less: no bound.", nullptr},
    {"unfinished_tasks", get_unfinished, nullptr, "Items put, less those finished.", nullptr},
    {"is_shutdown", get_is_shutdown, nullptr, "Has shutdown() been called?", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("Queue(maxsize=0)\n--\n\nItems from some greens and native "
                                  "threads to others, first in, first out.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new<Order::line, false>)},
    {Py_tp_init, reinterpret_cast<void*>(queue_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(queue_clear)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(queue_next)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyType_Slot lifo_slots[] = {
    {Py_tp_doc, const_cast<char*>("LifoQueue(maxsize=0)\n--\n\nA Queue: last in, first out.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new<Order::stack, false>)},
    {0, nullptr},
};

PyType_Slot priority_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("PriorityQueue(maxsize=0)\n--\n\nA Queue: the least item first.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new<Order::heap, false>)},
    {0, nullptr},
};

PyType_Slot channel_slots[] = {
    {Py_tp_doc, const_cast<char*>("Channel()\n--\n\nA Queue without room: put() waits until its "
                                  "item is taken.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new<Order::line, true>)},
    {Py_tp_init, reinterpret_cast<void*>(channel_init)},
    {0, nullptr},
};

constexpr unsigned kFlags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE;
constexpr unsigned kKinFlags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
PyType_Spec spec = {"green.Queue", sizeof(QueueObject), 0, kFlags, slots};
PyType_Spec kin[] = {
    {"green.LifoQueue", sizeof(QueueObject), 0, kKinFlags, lifo_slots},
    {"green.PriorityQueue", sizeof(QueueObject), 0, kKinFlags, priority_slots},
    {"green.Channel", sizeof(QueueObject), 0, kKinFlags, channel_slots},
};

// queue.ShutDown came with Python 3.13.
bool find_errors() {
  const Ref queue = Ref::steal(PyImport_ImportModule("queue"));
  if (!queue) return false;
  queue_errors.empty = PyObject_GetAttrString(queue.get(), "Empty");
  queue_errors.full = PyObject_GetAttrString(queue.get(), "Full");
  if (queue_errors.empty == nullptr || queue_errors.full == nullptr) return false;
  queue_errors.shut_down = PyObject_GetAttrString(queue.get(), "ShutDown");
  if (queue_errors.shut_down != nullptr) return true;
  PyErr_Clear();
  queue_errors.shut_down = PyErr_NewExceptionWithDoc(
      "green.ShutDown", "put() or get() of a queue that was shut down.", nullptr, nullptr);
  return queue_errors.shut_down != nullptr;
}

}  // namespace

int add_queue_types(PyObject* module) {
  if (!find_errors() || PyModule_AddObjectRef(module, "ShutDown", queue_errors.shut_down) < 0)
    return -1;
  const Ref base = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!base || PyModule_AddType(module, reinterpret_cast<PyTypeObject*>(base.get())) < 0) return -1;
  for (PyType_Spec& each : kin) {
    const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &each, base.get()));
    if (!type || PyModule_AddType(module, reinterpret_cast<PyTypeObject*>(type.get())) < 0)
      return -1;
  }
  return 0;
}

}  // namespace greenwsgi::module
