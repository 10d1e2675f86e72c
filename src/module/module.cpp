// module.cpp - the extension module green._core: where Python comes in.
//
// Each Python room puts its own names into the module through its add_to_module(); nothing else
// happens here. One process has one such module: the runtime below it belongs to the OS thread and
// to the main interpreter, so a subinterpreter is refused, and so is a build without a GIL.
#include "src/module/types.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/thread_state.hpp"

namespace greenwsgi {

// Each of them returns 0, or -1 with a Python error set.
namespace patch {
int add_to_module(PyObject* module);
}
namespace wsgi {
int add_to_module(PyObject* module);
}

namespace {

int execute(PyObject* self) {
  if (PyThreadState_Get()->interp != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "green threads run in the main interpreter only");
    return -1;
  }
  using AddToModule = int (*)(PyObject*);
  if (!py::check_thread_state(*PyThreadState_Get())) return -1;
  py::note_main_thread();
  for (const AddToModule add :
       {AddToModule(module::add_green_type), AddToModule(module::add_timeout_type),
        AddToModule(module::add_semaphore_type), AddToModule(module::add_lock_types),
        AddToModule(module::add_queue_types), AddToModule(module::add_functions),
        AddToModule(module::add_native_functions), AddToModule(module::add_debug_functions),
        AddToModule(patch::add_to_module), AddToModule(wsgi::add_to_module)}) {
    if (add(self) < 0) return -1;
  }
  return 0;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(execute)},
    {0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "green._core", nullptr, 0, nullptr, slots, nullptr, nullptr, nullptr,
};

}  // namespace
}  // namespace greenwsgi

PyMODINIT_FUNC PyInit__core() {
  return PyModuleDef_Init(&greenwsgi::definition);
}
