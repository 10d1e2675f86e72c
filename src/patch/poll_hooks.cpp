// poll() of select.poll objects: the original without waiting, and when it finds nothing a wait for
// the descriptors that the object has just handed to the kernel.
//
// Who registers others meanwhile changes the next poll(), not this one; a second poll() of the same
// object meanwhile is refused by the original, which finds it running.
#include <cerrno>
#include <climits>
#include <cmath>
#include <new>
#include <vector>

#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/poll_any.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

class Running {
 public:
  explicit Running(PyObject* object) : object_(Ref::share(object)) { head().running = 1; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { head().running = 0; }

 private:
  layout::PollHead& head() { return layout::poll_head(object_.get()); }
  Ref object_;
};

// Milliseconds; negative: for ever. False: the original says what is wrong.
bool as_milliseconds(PyObject* timeout, int* milliseconds) {
  if (PyFloat_Check(timeout)) {
    const double value = PyFloat_AS_DOUBLE(timeout);
    if (!(value >= INT_MIN && value <= INT_MAX)) return false;  // NaN, too.
    *milliseconds = static_cast<int>(value < 0 ? std::floor(value) : std::ceil(value));
    return true;
  }
  if (!PyIndex_Check(timeout)) return false;
  const Ref index = Ref::steal(PyNumber_Index(timeout));
  PyErr_Clear();
  return index && as_int(index.get(), milliseconds);
}

PyObject* list_of_ready(const std::vector<pollfd>& asked, int count) {
  Ref list = Ref::steal(PyList_New(0));
  for (std::size_t i = 0; list && count > 0; i++) {
    if (asked[i].revents == 0) continue;
    count -= 1;
    const Ref pair = Ref::steal(Py_BuildValue("(ii)", asked[i].fd, asked[i].revents & 0xffff));
    if (!pair || PyList_Append(list.get(), pair.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* poll_until(PyObject* object, Instant deadline) try {
  const layout::PollHead& head = layout::poll_head(object);
  std::vector<pollfd> wanted(head.wanted, head.wanted + head.count);
  const Running running(object);
  for (Duration rest = kShortestPause;;) {
    const Status waited = poll_any(wanted, deadline);
    if (!waited_well(waited)) return nullptr;
    const int count = ::poll(wanted.data(), wanted.size(), 0);
    if (count < 0) {
      if (errno == EINTR) continue;
      return PyErr_SetFromErrno(PyExc_OSError);
    }
    const bool over = is_over(waited, deadline);
    if (count > 0 || over) return list_of_ready(wanted, count);
    if (waited.ok() && !pause(rest, deadline)) return nullptr;
  }
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

PyObject* hook_poll(Call& call) {
  int milliseconds = -1;
  if (!py::can_park() || call.count() > 1) return call.pass_on();
  const bool given = call.count() == 1 && call.item(0) != Py_None;
  if (given && !as_milliseconds(call.item(0), &milliseconds)) return call.pass_on();
  const Ref now = Ref::steal(Py_BuildValue("(i)", 0));
  if (!now || !spend_turn()) return nullptr;
  const Instant deadline =
      milliseconds < 0 ? kNever : deadline_after(std::chrono::milliseconds(milliseconds));
  PyObject* ready = call.original(now.get());
  if (ready == nullptr || PyList_GET_SIZE(ready) != 0) return ready;
  Py_DECREF(ready);
  if (milliseconds == 0) return yield_turn() ? call.pass_on() : nullptr;
  return poll_until(call.self(), deadline);
}

constexpr Target targets[] = {target<hook_poll>("select", "poll", "poll")};

}  // namespace

const Group poll_group = {"poll", targets, layout::check_poll};

}  // namespace greenwsgi::patch
