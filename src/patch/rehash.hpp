// rehash.hpp - sets and dicts that have a hooked function as a key.
//
// The hash of a built-in function is made of its ml_meth (CPython's meth_hash), so a hook changes
// it, and a set that was made before (os.supports_dir_fd has os.open) no longer finds the function.
// The containers that the garbage collector knows are filled anew; frozensets cannot be.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::patch {

/// `functions`: a list of the built-in functions whose ml_meth has changed. False: a Python error
/// is set.
bool rehash_containers_of(PyObject* functions);

}  // namespace greenwsgi::patch
