#include "src/patch/waiting.hpp"

#include <cerrno>
#include <climits>
#include <cmath>

namespace greenwsgi::patch {

namespace {

bool as_double(PyObject* number, double* value) {
  if (PyFloat_Check(number)) {
    *value = PyFloat_AS_DOUBLE(number);
    return true;
  }
  if (!PyIndex_Check(number)) return false;
  const py::Ref index = py::Ref::steal(PyNumber_Index(number));
  *value = index ? PyLong_AsDouble(index.get()) : -1.0;
  if (PyErr_Occurred() == nullptr) return true;
  PyErr_Clear();
  return false;
}

// At 32 calls of 1 ms each, hooks and caller together, the hub still turns 30 times a second.
constexpr unsigned kCallsPerTurn = 32;
thread_local unsigned calls_left = kCallsPerTurn;

constexpr unsigned kCallsPerLook = 256;

}  // namespace

bool plain_seconds(PyObject* seconds, Duration* length) {
  constexpr double kMostSeconds = 9223372036.0;  // threading.TIMEOUT_MAX.
  double value = -1.0;
  if (!as_double(seconds, &value)) return false;
  if (!(value >= 0.0) || value > kMostSeconds) return false;  // NaN fails the first.
  *length = std::chrono::nanoseconds(static_cast<std::int64_t>(std::ceil(value * 1e9)));
  return true;
}

bool as_int(PyObject* number, int* value) {
  Py_ssize_t wide = 0;
  if (!as_size(number, &wide) || wide < INT_MIN || wide > INT_MAX) return false;
  *value = static_cast<int>(wide);
  return true;
}

bool as_size(PyObject* number, Py_ssize_t* size) {
  if (number == nullptr || !PyIndex_Check(number)) return false;
  *size = PyNumber_AsSsize_t(number, PyExc_OverflowError);
  if (*size != -1 || PyErr_Occurred() == nullptr) return true;
  PyErr_Clear();
  return false;
}

Instant deadline_after(Duration length) {
  Scheduler* scheduler = py::scheduler_or_null();
  GW_ASSERT(scheduler != nullptr);
  return saturating_add(scheduler->now(), length);
}

bool yield_turn() {
  Scheduler* scheduler = py::scheduler_or_null();
  GW_ASSERT(scheduler != nullptr);
  scheduler->yield();
  return !py::raise_if_interrupted();
}

bool turn_is_due() {
  if (--calls_left > 0) return false;
  calls_left = kCallsPerTurn;
  return true;
}

bool spend_turn() {
  return !turn_is_due() || yield_turn();
}

void look_at_clock() {
  calls_until_look = kCallsPerLook;
  if (py::turn_is_late()) py::scheduler_or_null()->yield();
}

void set_timed_out() {
  PyErr_SetString(PyExc_TimeoutError, "timed out");
}

void set_errno(int code) {
  errno = code;
  PyErr_SetFromErrno(PyExc_OSError);
}

}  // namespace greenwsgi::patch
