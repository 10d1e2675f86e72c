// assert.hpp - checks that stay on in release builds.
//
// A broken invariant in a runtime that switches stacks is memory corruption waiting to be served to
// a client, so GW_ASSERT aborts in every build type. It is for programmer errors only; what the
// kernel or the peer may do to us is an Errno (result.hpp). One condition per assert: the failing
// half of `a && b` cannot be told from a core dump.
#pragma once

#define GW_ASSERT(condition)          \
  (__builtin_expect(!!(condition), 1) \
       ? void(0)                      \
       : ::greenwsgi::assert_failed(#condition, __FILE__, __LINE__))

namespace greenwsgi {

/// Prints one line on stderr and aborts.
[[noreturn, gnu::cold]] void assert_failed(const char* condition,
                                           const char* file,
                                           int line) noexcept;

}  // namespace greenwsgi
