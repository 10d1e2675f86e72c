// Putting hooks in place: overwriting ml_meth of a static PyMethodDef, which every function object,
// bound method and specialised call site made of it, before or after, reads at each call.
#include <unistd.h>

#include <cstring>
#include <string>

#include "src/patch/hooks.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

std::string full_name(const Target& target) {
  std::string name = target.module;
  if (target.type != nullptr) name += std::string(".") + target.type;
  return name + "." + target.name;
}

/// Empty without an error when it does not exist.
Ref find_object(const Target& target) {
  Ref holder = Ref::steal(PyImport_ImportModule(target.module));
  if (holder && target.type != nullptr) {
    holder = Ref::steal(PyObject_GetAttrString(holder.get(), target.type));
  }
  if (holder && target.type != nullptr && !PyType_Check(holder.get())) {
    // A function that makes objects of a type that has no name of its own (select.poll).
    const Ref made = Ref::steal(PyObject_CallNoArgs(holder.get()));
    holder = made ? Ref::share(reinterpret_cast<PyObject*>(Py_TYPE(made.get()))) : Ref();
  }
  Ref found = holder ? Ref::steal(PyObject_GetAttrString(holder.get(), target.name)) : Ref();
  PyErr_Clear();
  return found;
}

/// nullptr without an error when it does not exist.
PyMethodDef* find(const Target& target) {
  const Ref found = find_object(target);
  if (!found) return nullptr;
  // The tables are static: they outlive the references.
  if (PyCFunction_Check(found.get())) {
    return reinterpret_cast<PyCFunctionObject*>(found.get())->m_ml;
  }
  if (Py_TYPE(found.get()) != &PyMethodDescr_Type) return nullptr;
  return reinterpret_cast<PyMethodDescrObject*>(found.get())->d_method;
}

// Asks the kernel to write the word as it is: EFAULT instead of a crash when the table is const.
bool is_writable(PyCFunction* word) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  const bool written = ::write(ends[1], word, sizeof *word) == sizeof *word &&
                       ::read(ends[0], word, sizeof *word) == sizeof *word;
  ::close(ends[0]);
  ::close(ends[1]);
  return written;
}

// "" or why it cannot be hooked.
std::string examine(const Target& target, const PyMethodDef* method, Shape* shape) {
  if (method == nullptr) return full_name(target) + " is not a C function here";
  if (std::strcmp(method->ml_name, target.name) != 0) {
    return full_name(target) + " is called " + method->ml_name;
  }
  if (!shape_of(method->ml_flags, shape)) {
    return full_name(target) + " has a calling convention of its own";
  }
  if (!is_writable(const_cast<PyCFunction*>(&method->ml_meth))) {
    return full_name(target) + " is in read-only memory";
  }
  return "";
}

bool is_refused_by_environment(const Group& group) {
  const char* names = std::getenv("GREENWSGI_PATCH_REFUSE");
  const std::string all = std::string(",") + (names != nullptr ? names : "") + ",";
  return all.find(std::string(",") + group.name + ",") != std::string::npos;
}

}  // namespace

std::string install(const Group& group, PyObject* changed) {
  if (is_refused_by_environment(group)) return "refused by GREENWSGI_PATCH_REFUSE";
  for (const Target& target : group.targets) {
    Shape shape{};
    const PyMethodDef* method = find(target);
    if (method == nullptr && target.optional) continue;
    if (std::string wrong = examine(target, method, &shape); !wrong.empty()) return wrong;
  }
  const char* wrong = group.check != nullptr ? group.check() : nullptr;
  if (wrong != nullptr) return wrong;
  for (const Target& target : group.targets) {
    PyMethodDef* method = find(target);
    if (method == nullptr) continue;
    Shape shape{};
    shape_of(method->ml_flags, &shape);
    if (*target.original != nullptr) continue;  // Ours already, perhaps below another patcher's.
    *target.original = method->ml_meth;
    method->ml_meth = target.entry(shape);
    const Ref function = find_object(target);
    if (PyCFunction_Check(function.get()) && PyList_Append(changed, function.get()) < 0) {
      PyErr_Clear();
      return "no memory";
    }
  }
  return "";
}

}  // namespace greenwsgi::patch
