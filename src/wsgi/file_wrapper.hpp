// file_wrapper.hpp - wsgi.file_wrapper: a file as the body of a response.
//
// To an application and its middleware it is an iterator over blocks. When it comes back to the
// server unwrapped and stands for a plain file, the kernel sends the file instead.
#pragma once

#include <cstdint>

#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

/// From a regular file's current position to its end.
struct FileRegion {
  int fd = -1;
  std::int64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// Finds the region that `wrapper`, a _core.FileWrapper, stands for. False, mostly without a Python
/// error: it must be read.
bool find_region(PyObject* wrapper, const Types& types, FileRegion& region);

}  // namespace greenwsgi::wsgi
