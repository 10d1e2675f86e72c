// green_object.hpp - the Python object that stands for a green: how it ends, who waits for it.
//
// Spawned greens have one from the start, other greens (a WSGI call, the main program) when they
// are asked for it. Its own stack keeps it alive. The type itself, with its methods, is the module
// room's; this file knows only the data. Needs the GIL.
#pragma once

#include "src/py/green_state.hpp"
#include "src/py/links.hpp"
#include "src/py/parking_lot.hpp"

namespace greenwsgi::py {

struct Later;

struct GreenObject {
  enum class Status : unsigned char {
    ready,    // Spawned, has not run yet.
    started,  // Runs, or is parked.
    done,
  };

  PyObject_HEAD GreenState* state;  // While started, but for a moment when it is left behind.
  std::uint64_t number;             // The fiber's.
  PyObject* function;               // Until it starts.
  PyObject* arguments;              // A tuple, until it starts.
  PyObject* keywords;               // A dict or null, until it starts.
  PyObject* context;                // Until it starts; null: an empty one.
  PyObject* value;                  // What it returned, or the GreenExit that ended it.
  PyObject* exception;              // What else ended it.
  PyObject* traceback;              // Of the exception, as it was then; or null.
  PyObject* name;                   // Null until asked for or given.
  PyObject* weakrefs;
  SignalMask mask;               // Its spawner's, until it starts.
  Links links;                   // Who wants to know of its end.
  Later* later;                  // While it waits for the time of its start.
  PyObject* spawner_name;        // Null: it had none.
  std::uint64_t spawner_number;  // 0: the server, or the main program's own green.
  Status status;
  bool seen;           // Somebody has asked how it ended.
  bool begins_thread;  // `threading` itself sets up what it runs.
};

/// What the module room has made, which the others raise and create. Filled once at import.
struct PythonNames {
  PyTypeObject* green_type = nullptr;
  PyObject* green_exit = nullptr;  // The class.
};
extern PythonNames names;

/// A new Green of no fiber yet; from a free list. nullptr: Python error set.
GreenObject* new_green_object();
void free_green_object(GreenObject* green);  // tp_dealloc.

/// What a new green's contextvars.Context is.
enum class ContextOf : unsigned char {
  caller,   // A copy of its spawner's.
  nothing,  // Empty, as a thread's.
};

/// Starts a green that calls function(*arguments, **keywords). Takes over `arguments` and
/// `keywords` (may be null). nullptr: Python error set.
GreenObject* spawn_green(PyObject* function,
                         PyObject* arguments,
                         PyObject* keywords,
                         ContextOf context_of = ContextOf::caller);

/// The first half of spawn_green(): a green that is ready, without a fiber.
GreenObject* prepare_green(PyObject* function,
                           PyObject* arguments,
                           PyObject* keywords,
                           ContextOf context_of = ContextOf::caller);
/// The second half: a fiber, which takes over the reference, of the scheduler's thread. Runs no
/// Python. The caller counts it as unstarted.
Result<Fiber*> give_fiber(GreenObject* green, Scheduler& scheduler);

/// Throws at a green of any thread; one that is done is left alone, one that has not started never
/// will. False: Python error set, which is the exception itself when the green is the caller.
bool throw_at_green(GreenObject* green, PyObject* exception);

/// Ends a green that has not started, by `exception`, whose reference it takes over. Runs any code.
void end_unstarted(GreenObject* green, PyObject* exception);

/// The green of a fiber that waits for its very first turn; nullptr for any other fiber.
GreenObject* unstarted_green(const Fiber& fiber);

/// Waits until it is done. unparked: it is; interrupted: Python error set. Switches.
Woken wait_for_green(GreenObject* green, Instant deadline);

/// The green is done: `value` or `exception` says how. Wakes who waits for it, and tells its links.
void finish_green(GreenObject* green);

/// Tells the world of an exception nobody has seen.
void report_outcome(GreenObject* green);

}  // namespace greenwsgi::py
