// _queue.SimpleQueue: get() is the original without waiting, and the parking lot when that finds
// nothing; each put() wakes one green. A worker whose queue is never empty gives way now and then.
#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

PyObject* get_now = nullptr;  // (False,)

// Each import of _queue has its own Empty, so it is the queue's own type that knows it.
bool is_empty_error(const Call& call) {
  if (PyErr_Occurred() == nullptr) return false;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyObject* module = PyType_GetModule(call.defining_class() != nullptr ? call.defining_class()
                                                                       : Py_TYPE(call.self()));
  const Ref empty = module != nullptr ? Ref::steal(PyObject_GetAttrString(module, "Empty")) : Ref();
  PyErr_Clear();
  const bool same = empty && PyErr_GivenExceptionMatches(type, empty.get()) != 0;
  PyErr_Restore(type, value, trace);
  return same;
}

// False: it does not wait, or its arguments are wrong.
bool get_deadline(const Call& call, Instant* deadline) {
  PyObject* given[2] = {};
  if (!call.arrange({"block", "timeout"}, given)) return false;
  if (given[0] != nullptr && given[0] != Py_True) {
    const int block = PyObject_IsTrue(given[0]);
    if (block < 0) PyErr_Clear();
    if (block <= 0) return false;
  }
  if (given[1] == nullptr || given[1] == Py_None) return true;
  Duration length{};
  if (!plain_seconds(given[1], &length) || length == Duration::zero()) return false;
  *deadline = deadline_after(length);
  return true;
}

PyObject* hook_get(Call& call) {
  if (!py::can_park()) return call.pass_on();
  Instant deadline = kNever;
  if (!call.without_arguments() && !get_deadline(call, &deadline)) return call.pass_on();
  if (!spend_turn()) return nullptr;
  PyObject* item = call.original(get_now);
  if (item != nullptr || !is_empty_error(call)) return item;
  const Ref keep = Ref::share(call.self());
  for (bool front = false;; front = true) {
    PyErr_Clear();
    const py::Woken why = py::park_on(call.self(), deadline, front, "a queue");
    if (py::raise_if_interrupted()) {
      if (why == py::Woken::unparked) wake_one(call.self());
      return nullptr;
    }
    item = call.original(get_now);
    if (item != nullptr || why == py::Woken::timed_out || !is_empty_error(call)) return item;
  }
}

PyObject* hook_put(Call& call) {
  PyObject* done = call.pass_on();
  if (done != nullptr) wake_one(call.self());
  return done;
}

constexpr Target targets[] = {
    target<hook_get>("_queue", "SimpleQueue", "get"),
    target<hook_put, 0>("_queue", "SimpleQueue", "put"),
    target<hook_put, 1>("_queue", "SimpleQueue", "put_nowait"),
};

const char* check() {
  if (get_now == nullptr) get_now = PyTuple_Pack(1, Py_False);
  if (get_now != nullptr) return nullptr;
  PyErr_Clear();
  return "no memory";
}

}  // namespace

const Group queue_group = {"queue", targets, check};

}  // namespace greenwsgi::patch
