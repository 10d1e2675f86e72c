// select.select, and poll() of select.epoll: the original without waiting, and when it finds
// nothing a wait for its descriptors and the original once more. The one on epoll makes asyncio and
// selectors cooperate.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <vector>

#include "src/patch/hooks.hpp"
#include "src/patch/poll_any.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// --- select

bool all_empty(PyObject* sets) {
  for (Py_ssize_t i = 0; i < 3; i++) {
    if (PyList_GET_SIZE(PyTuple_GET_ITEM(sets, i)) != 0) return false;
  }
  return true;
}

// The descriptors of the three lists, as poll(2) wants them. False: a Python error is set.
bool collect(PyObject* arguments, std::vector<pollfd>* wanted) try {
  constexpr short kEvents[] = {POLLIN, POLLOUT, POLLPRI};
  for (Py_ssize_t set = 0; set < 3; set++) {
    PyObject* list = PyTuple_GET_ITEM(arguments, set);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
      const Ref object = Ref::share(PyList_GET_ITEM(list, i));
      const int fd = PyObject_AsFileDescriptor(object.get());
      if (fd < 0) return false;
      const auto same =
          std::find_if(wanted->begin(), wanted->end(), [&](auto& one) { return one.fd == fd; });
      if (same != wanted->end())
        same->events |= kEvents[set];
      else
        wanted->push_back({fd, kEvents[set], 0});
    }
  }
  return true;
} catch (const std::bad_alloc&) {
  PyErr_NoMemory();
  return false;
}

PyObject* select_until(const Call& call, PyObject* arguments, Instant deadline) {
  std::vector<pollfd> wanted;
  if (!collect(arguments, &wanted)) return nullptr;
  for (Duration rest = kShortestPause;;) {
    const Status waited = poll_any(wanted, deadline);
    if (!waited_well(waited)) return nullptr;
    PyObject* ready = call.original(arguments);
    const bool over = is_over(waited, deadline);
    if (ready == nullptr || over || !all_empty(ready)) return ready;
    Py_DECREF(ready);
    if (waited.ok() && !pause(rest, deadline)) return nullptr;
  }
}

// The set as the original may read it more than once: an iterator is read into a list. A new
// reference. A list stays the caller's, because the fileno() of what is in it may change it.
PyObject* readable_twice(PyObject* set) {
  if (PyList_CheckExact(set) || PyTuple_CheckExact(set)) return Py_NewRef(set);
  return PySequence_List(set);
}

// From here on the sets are ours: what others do to theirs during the wait must not matter, as it
// does not to a select() that blocks. False: MemoryError.
bool own_lists(PyObject* arguments) {
  for (Py_ssize_t i = 0; i < 3; i++) {
    PyObject* set = PyTuple_GET_ITEM(arguments, i);
    PyObject* list = PySequence_List(set);
    if (list == nullptr) return false;
    PyTuple_SET_ITEM(arguments, i, list);
    Py_DECREF(set);
  }
  return true;
}

PyObject* hook_select(Call& call) {
  if (!py::can_park() || call.count() < 3 || call.count() > 4) return call.pass_on();
  PyObject* timeout = call.count() == 4 ? call.item(3) : Py_None;
  Duration length{};
  if (timeout != Py_None && !plain_seconds(timeout, &length)) return call.pass_on();
  if (timeout != Py_None && length == Duration::zero()) {
    return yield_turn() ? call.pass_on() : nullptr;
  }
  const Ref arguments = Ref::steal(PyTuple_New(4));
  if (!arguments) return nullptr;
  for (Py_ssize_t i = 0; i < 3; i++) {
    PyObject* set = readable_twice(call.item(i));
    if (set == nullptr) {
      PyErr_Clear();
      return call.pass_on();
    }
    PyTuple_SET_ITEM(arguments.get(), i, set);
  }
  PyTuple_SET_ITEM(arguments.get(), 3, PyLong_FromLong(0));
  if (!spend_turn()) return nullptr;
  const Instant deadline = timeout == Py_None ? kNever : deadline_after(length);
  PyObject* ready = call.original(arguments.get());
  if (ready == nullptr || !all_empty(ready)) return ready;
  Py_DECREF(ready);
  return own_lists(arguments.get()) ? select_until(call, arguments.get(), deadline) : nullptr;
}

// --- epoll.poll

// What is out of range is the original's to refuse.
bool is_negative(PyObject* number) {
  constexpr double kLeastSeconds = -9223372036.0;
  if (PyFloat_Check(number)) {
    const double value = PyFloat_AS_DOUBLE(number);
    return value < 0.0 && value >= kLeastSeconds;
  }
  if (!PyIndex_Check(number)) return false;
  const Ref index = Ref::steal(PyNumber_Index(number));
  const double value = index ? PyLong_AsDouble(index.get()) : -1.0;
  const bool too_large = value == -1.0 && PyErr_Occurred() != nullptr;
  PyErr_Clear();
  return !too_large && value < 0.0 && value >= kLeastSeconds;
}

int descriptor_of(PyObject* object) {
  const Ref number = Ref::steal(PyObject_CallMethod(object, "fileno", nullptr));
  return number ? static_cast<int>(PyLong_AsLong(number.get())) : -1;
}

// More is an OverflowError.
constexpr Duration kLongestEpoll = std::chrono::milliseconds(INT_MAX);

PyObject* epoll_until(const Call& call, PyObject* arguments, Instant deadline) {
  const Ref keep = Ref::share(call.self());
  const int fd = descriptor_of(call.self());
  if (fd < 0) return nullptr;
  for (Duration rest = kShortestPause;;) {
    const Result<short> polled = io::poll(fd, POLLIN, deadline);
    const Status waited = polled.ok() ? Status(Done{}) : Status(polled.error());
    if (!waited_well(waited)) return nullptr;
    PyObject* ready = call.original(arguments);
    const bool over = is_over(waited, deadline);
    if (ready == nullptr || over || PyList_GET_SIZE(ready) != 0) return ready;
    Py_DECREF(ready);
    if (waited.ok() && !pause(rest, deadline)) return nullptr;
  }
}

PyObject* hook_epoll(Call& call) {
  if (!py::can_park()) return call.pass_on();
  PyObject* given[2] = {};
  if (!call.arrange({"timeout", "maxevents"}, given)) return call.pass_on();
  // A negative time-out means none here, unlike in select().
  const bool forever = given[0] == nullptr || given[0] == Py_None || is_negative(given[0]);
  Duration length{};
  if (!forever && (!plain_seconds(given[0], &length) || length > kLongestEpoll))
    return call.pass_on();
  if (!forever && length == Duration::zero()) return yield_turn() ? call.pass_on() : nullptr;
  const Ref zero = Ref::steal(PyLong_FromLong(0));
  const Ref arguments = given[1] == nullptr ? Ref::steal(PyTuple_Pack(1, zero.get()))
                                            : Ref::steal(PyTuple_Pack(2, zero.get(), given[1]));
  if (!arguments || !spend_turn()) return nullptr;
  const Instant deadline = forever ? kNever : deadline_after(length);
  PyObject* ready = call.original(arguments.get());
  if (ready == nullptr || PyList_GET_SIZE(ready) != 0) return ready;
  Py_DECREF(ready);
  return epoll_until(call, arguments.get(), deadline);
}

constexpr Target targets[] = {
    target<hook_select>("select", nullptr, "select"),
    target<hook_epoll>("select", "epoll", "poll"),
};

}  // namespace

const Group select_group = {"select", targets, nullptr};

}  // namespace greenwsgi::patch
