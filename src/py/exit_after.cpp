#include "src/py/exit_after.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <thread>

#include "greenwsgi/base/signals_blocked.hpp"

namespace greenwsgi::py {

namespace {

void* wait_and_exit(void* argument) {
  std::this_thread::sleep_for(Duration(reinterpret_cast<std::intptr_t>(argument)));
  // Not through the log, whose lines may wait for a thread that blocks.
  static constexpr std::string_view kLine =
      "greenwsgi: warning: the process has not ended by itself in time (a thread or a call goes"
      " on): ending it\n";
  pollfd room{STDERR_FILENO, POLLOUT, 0};  // Of a pipe that nobody empties there is none.
  if (::poll(&room, 1, 0) > 0) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
  }
  ::_exit(0);
}

}  // namespace

bool exit_after(Duration length) {
  // In the pointer itself: there may be no memory, least of all at the end.
  static_assert(sizeof(void*) >= sizeof(Duration::rep));
  void* const argument = reinterpret_cast<void*>(static_cast<std::intptr_t>(length.count()));
  const SignalsBlocked blocked;
  pthread_t thread;
  const int failed = pthread_create(&thread, nullptr, wait_and_exit, argument);
  if (failed != 0) {
    errno = failed;
    return false;
  }
  pthread_detach(thread);
  return true;
}

}  // namespace greenwsgi::py
