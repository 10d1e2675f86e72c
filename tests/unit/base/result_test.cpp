// Result: a value or an errno, and an abort for whoever asks for the wrong one.
#include "greenwsgi/base/result.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

using namespace greenwsgi;

namespace {

/// The signal that ends a child which runs `body`, or 0; its stderr is thrown away.
template <class Body>
int signal_that_ends(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    ::signal(SIGABRT, SIG_DFL);
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("result: holds a value, also one that can only be moved") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);

  REQUIRE(result.ok());
  CHECK(**result == 7);
}

TEST_CASE("result: holds an errno") {
  const Result<int> result = Errno{ECONNRESET};

  CHECK_FALSE(result.ok());
  CHECK(result.error() == Errno{ECONNRESET});
}

TEST_CASE("result: asking a failure for its value aborts") {
  CHECK(signal_that_ends([] { *Result<int>(Errno{EPIPE}) = 1; }) == SIGABRT);
  CHECK(signal_that_ends([] { (void)Result<int>(1).error(); }) == SIGABRT);
}

TEST_CASE("result: an errno is positive") {
  CHECK(signal_that_ends([] { (void)Result<int>(Errno{-EPIPE}); }) == SIGABRT);
}

TEST_CASE("assert: holds in every build type, and costs its condition one evaluation") {
  int evaluations = 0;

  GW_ASSERT(++evaluations == 1);

  CHECK(evaluations == 1);
  CHECK(signal_that_ends([] { GW_ASSERT(1 + 1 == 3); }) == SIGABRT);
}
