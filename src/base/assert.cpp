#include "greenwsgi/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace greenwsgi {

void assert_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "greenwsgi: %s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}

}  // namespace greenwsgi
