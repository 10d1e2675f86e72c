// module.cpp - the extension module green._core: where Python comes in.
//
// Each Python room puts its own names into the module through its add_to_module(); nothing else
// happens here. One process has one such module: the runtime below it belongs to the OS thread and
// to the main interpreter, so a subinterpreter is refused, and so is a build without a GIL.
#include "src/py/ref.hpp"

namespace greenwsgi {

// Each of them returns 0, or -1 with a Python error set. A room that is not linked in is skipped.
namespace py {
[[gnu::weak]] int add_to_module(PyObject* module);
}
namespace patch {
[[gnu::weak]] int add_to_module(PyObject* module);
}
namespace wsgi {
[[gnu::weak]] int add_to_module(PyObject* module);
}

namespace {

int execute(PyObject* module) {
  using AddToModule = int (*)(PyObject*);
  for (const AddToModule add : {AddToModule(py::add_to_module), AddToModule(patch::add_to_module),
                                AddToModule(wsgi::add_to_module)}) {
    if (add != nullptr && add(module) < 0) return -1;
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
