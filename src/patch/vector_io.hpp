// vector_io.hpp - readv(2), writev(2) and their kin for greens. Small and cached moves of regular
// files happen at once, others on native threads; all else is waited for in turn.
#pragma once

#include <cstdint>

#include "src/patch/call.hpp"

namespace greenwsgi::patch {

/// What the original returns, which reads into the sequence `buffers`; `offset` -1: where the file
/// stands. A new reference. Switches.
PyObject* read_vector(const Call& call, int fd, PyObject* buffers, std::int64_t offset);

/// A bytes object of all that is in the sequence `buffers`. Empty: a Python error is set.
py::Ref joined(PyObject* buffers);

/// Writes all that is in the sequence `buffers`, as where it may block. A new reference. Switches.
PyObject* write_vector(const Call& call, int fd, PyObject* buffers, bool waits_for_disk);

}  // namespace greenwsgi::patch
