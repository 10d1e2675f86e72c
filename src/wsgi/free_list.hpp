// free_list.hpp - memory of a small Python type that every request makes and drops once.
//
// Keeps at most `Kept` dead objects' memory; the rest goes back to Python's allocator. Only for
// types without garbage collection that nobody can subclass. The GIL guards it.
#pragma once

#include <cstddef>

#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

template <class Object, std::size_t Kept = 64>
class FreeList {
 public:
  /// An object of `type` with one reference and all else as it comes; nullptr: MemoryError is set.
  static Object* make(PyTypeObject* type) {
    void* memory = count_ > 0 ? kept_[--count_] : PyObject_Malloc(sizeof(Object));
    if (memory == nullptr) {
      PyErr_NoMemory();
      return nullptr;
    }
    return reinterpret_cast<Object*>(PyObject_Init(static_cast<PyObject*>(memory), type));
  }

  /// For tp_dealloc: takes the memory of a dead object, and its reference to its type.
  static void drop(PyObject* dead) {
    PyTypeObject* type = Py_TYPE(dead);
    if (count_ < Kept) {
      kept_[count_++] = dead;
    } else {
      PyObject_Free(dead);
    }
    Py_DECREF(type);
  }

 private:
  static inline void* kept_[Kept];
  static inline std::size_t count_ = 0;
};

}  // namespace greenwsgi::wsgi
