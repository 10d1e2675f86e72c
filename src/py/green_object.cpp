// green_object.cpp - spawning, ending and waiting for greens.
#include "src/py/green_object.hpp"

#include <array>
#include <utility>

#include "src/py/later.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/tracers.hpp"

namespace greenwsgi::py {

PythonNames names;

namespace {

// Objects that are gone, kept for the next: spawning a green is cheaper than malloc. All under the
// GIL.
constexpr std::size_t kFreeMost = 512;
std::array<GreenObject*, kFreeMost> free_objects;
std::size_t free_count = 0;

// Ends the green as `exception` (whose reference is taken) says.
void set_outcome(GreenObject* green, PyObject* exception) {
  const int by_exit = PyErr_GivenExceptionMatches(exception, names.green_exit);
  (by_exit != 0 ? green->value : green->exception) = exception;
  if (by_exit == 0) green->traceback = PyException_GetTraceback(exception);
}

void mark_done(GreenObject* green) {
  green->status = GreenObject::Status::done;
  if (parked_count == 0) return;
  while (unpark_one(green)) {
  }
}

// Number and name, not the green itself, which need not live as long.
void note_spawner(GreenObject* green, GreenState& spawner) {
  green->spawner_number = spawner.fiber().number();
  const GreenObject* object = spawner.object_or_null();
  if (object != nullptr && object->name != nullptr) green->spawner_name = Py_NewRef(object->name);
}

// What a new green does, on its own stack.
void run_green(void* argument) {
  auto* green = static_cast<GreenObject*>(argument);
  Runtime& runtime = *Runtime::current();
  runtime.unstarted -= 1;
  Ref context = Ref::steal(std::exchange(green->context, nullptr));
  GreenState state(runtime, *runtime.scheduler().running(), context.get(), green->mask);
  context = Ref();  // It is the state's, and goes with what else is local to the green.
  if (green->status == GreenObject::Status::done) {  // Killed before it started.
    green->links.tell(reinterpret_cast<PyObject*>(green));
    Py_DECREF(green);
    state.finish();
    return;
  }
  state.adopt(green);
  if (!green->begins_thread) begin_tracers();
  {
    const Ref function = Ref::steal(std::exchange(green->function, nullptr));
    const Ref arguments = Ref::steal(std::exchange(green->arguments, nullptr));
    const Ref keywords = Ref::steal(std::exchange(green->keywords, nullptr));
    if (runtime.closing())
      PyErr_SetNone(names.green_exit);
    else
      green->value = PyObject_Call(function.get(), arguments.get(), keywords.get());
  }
  if (&runtime != Runtime::current()) end_forked_child();
  const Ref exception = green->value == nullptr ? take_exception() : Ref();
  state.drop_locals();
  if (exception) {
    set_outcome(green, Py_NewRef(exception.get()));
    PyErr_SetObject(PyExceptionInstance_Class(exception.get()), exception.get());
    if (pass_to_root())
      green->seen = true;
    else
      PyErr_Clear();
  }
  state.finish();
}

}  // namespace

GreenObject* new_green_object() {
  GreenObject* green = nullptr;
  if (free_count > 0) {
    green = free_objects[--free_count];
    PyObject_Init(reinterpret_cast<PyObject*>(green), names.green_type);
  } else {
    green = PyObject_GC_New(GreenObject, names.green_type);
    if (green == nullptr) return nullptr;
  }
  green->state = nullptr;
  green->number = 0;
  green->function = green->arguments = green->keywords = green->context = nullptr;
  green->value = green->exception = green->traceback = nullptr;
  green->name = green->weakrefs = nullptr;
  green->mask = kThreadsMask;
  green->links = {};
  green->later = nullptr;
  green->spawner_name = nullptr;
  green->spawner_number = 0;
  green->status = GreenObject::Status::ready;
  green->seen = false;
  green->begins_thread = false;
  PyObject_GC_Track(green);
  return green;
}

void free_green_object(GreenObject* green) {
  PyTypeObject* type = Py_TYPE(green);
  PyObject_GC_UnTrack(green);
  if (green->weakrefs != nullptr) PyObject_ClearWeakRefs(reinterpret_cast<PyObject*>(green));
  report_outcome(green);
  Py_CLEAR(green->value);
  Py_CLEAR(green->exception);
  Py_CLEAR(green->traceback);
  Py_CLEAR(green->function);
  Py_CLEAR(green->arguments);
  Py_CLEAR(green->keywords);
  Py_CLEAR(green->context);
  Py_CLEAR(green->name);
  Py_CLEAR(green->spawner_name);
  Py_CLEAR(green->links.list);
  // One that the garbage collector has finalized is marked so for ever.
  if (free_count < kFreeMost && PyObject_GC_IsFinalized(reinterpret_cast<PyObject*>(green)) == 0) {
    free_objects[free_count++] = green;
  } else {
    PyObject_GC_Del(green);
  }
  Py_DECREF(type);
}

GreenObject* prepare_green(PyObject* function,
                           PyObject* arguments,
                           PyObject* keywords,
                           ContextOf context_of) {
  Ref arguments_owned = Ref::steal(arguments);
  Ref keywords_owned = Ref::steal(keywords);
  if (ensure_scheduler() == nullptr) return nullptr;
  if (Runtime::current()->closing()) {
    PyErr_SetString(PyExc_RuntimeError, "cannot spawn a green: the interpreter is shutting down");
    return nullptr;
  }
  Ref context = context_of == ContextOf::caller ? copy_context() : Ref();
  if (!context && PyErr_Occurred()) return nullptr;
  GreenObject* green = new_green_object();
  if (green == nullptr) return nullptr;
  green->function = Py_NewRef(function);
  green->arguments = arguments_owned.release();
  green->keywords = keywords_owned.release();
  green->context = context.release();
  green->mask = Runtime::current()->running()->mask();
  note_spawner(green, *Runtime::current()->running());
  return green;
}

Result<Fiber*> give_fiber(GreenObject* green, Scheduler& scheduler) {
  return scheduler.spawn(run_green, green, green->number);
}

GreenObject* spawn_green(PyObject* function,
                         PyObject* arguments,
                         PyObject* keywords,
                         ContextOf context_of) {
  GreenObject* green = prepare_green(function, arguments, keywords, context_of);
  if (green == nullptr) return nullptr;
  const Result<Fiber*> fiber = give_fiber(green, Runtime::current()->scheduler());
  if (!fiber.ok()) {
    Py_DECREF(green);
    PyErr_Format(PyExc_MemoryError, "no memory for the stack of another green; there are %zu",
                 Runtime::current()->scheduler().stacks().in_use());
    return nullptr;
  }
  Runtime::current()->unstarted += 1;
  green->number = (*fiber)->number();
  return reinterpret_cast<GreenObject*>(Py_NewRef(green));  // One is the stack's.
}

GreenObject* unstarted_green(const Fiber& fiber) {
  auto* green = static_cast<GreenObject*>(fiber.argument_of(run_green));
  return green != nullptr && green->status == GreenObject::Status::ready ? green : nullptr;
}

// A green that has not started ends here and now. Its fiber, when it has one, finds nothing to do
// but to spawn what was linked to its end, which belongs to its own thread.
void end_unstarted(GreenObject* green, PyObject* exception) {
  set_outcome(green, exception);
  mark_done(green);
  const Ref function = Ref::steal(std::exchange(green->function, nullptr));
  const Ref arguments = Ref::steal(std::exchange(green->arguments, nullptr));
  const Ref keywords = Ref::steal(std::exchange(green->keywords, nullptr));
  green->links.tell_plain(reinterpret_cast<PyObject*>(green));
  if (green->later != nullptr) cancel_later(green);
}

bool throw_at_green(GreenObject* green, PyObject* exception) {
  switch (green->status) {
    case GreenObject::Status::done:
      return true;
    case GreenObject::Status::started:
      if (green->state == nullptr) return true;  // It is being left behind: too late.
      if (green->state->runtime().running() == green->state &&
          Runtime::current() == &green->state->runtime()) {
        if (PyExceptionClass_Check(exception))
          PyErr_SetNone(exception);
        else
          PyErr_SetObject(PyExceptionInstance_Class(exception), exception);
        return false;
      }
      return green->state->throw_at(exception);
    case GreenObject::Status::ready:
      break;
  }
  Ref instance = PyExceptionClass_Check(exception) ? Ref::steal(PyObject_CallNoArgs(exception))
                                                   : Ref::share(exception);
  if (!instance) return false;
  if (green->status != GreenObject::Status::ready) return throw_at_green(green, instance.get());
  const Ref alive = Ref::share(reinterpret_cast<PyObject*>(green));
  end_unstarted(green, instance.release());
  return true;
}

void finish_green(GreenObject* green) {
  mark_done(green);
  if (!green->links.empty()) green->links.tell(reinterpret_cast<PyObject*>(green));
}

Woken wait_for_green(GreenObject* green, Instant deadline) {
  const Ref alive = Ref::share(reinterpret_cast<PyObject*>(green));
  while (green->status != GreenObject::Status::done) {
    switch (park_on(green, deadline, false, "join")) {
      case Woken::unparked:
        break;
      case Woken::timed_out:
        if (green->status == GreenObject::Status::done) break;
        return Woken::timed_out;
      case Woken::interrupted:
        if (raise_if_interrupted()) return Woken::interrupted;
    }
  }
  green->seen = true;
  return Woken::unparked;
}

void report_outcome(GreenObject* green) {
  if (green->exception == nullptr || std::exchange(green->seen, true)) return;
  const SavedError saved;
  const Ref name = green->name != nullptr
                       ? Ref::share(green->name)
                       : Ref::steal(PyUnicode_FromFormat("green-%llu", green->number));
  PyErr_SetObject(PyExceptionInstance_Class(green->exception), green->exception);
  report_exception("a green thread that nobody waited for", name.get());
}

}  // namespace greenwsgi::py
