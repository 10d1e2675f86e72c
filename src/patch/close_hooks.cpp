// os.close, closerange and dup2, and close() of _socket and its sockets: first they end the waits
// of greens for the descriptor. Needed by every group whose waits are turns (fd_turns.hpp).
#include <fcntl.h>

#include "src/patch/fd_turns.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

PyObject* close_after_waits(const Call& call, int fd) {
  return before_close(fd) ? call.pass_on() : nullptr;
}

// close(fd), of posix and of _socket.
PyObject* hook_close_number(Call& call) {
  PyObject* given[1] = {};
  int fd = -1;
  const bool known = call.arrange({"fd"}, given) && given[0] != nullptr && as_int(given[0], &fd);
  return close_after_waits(call, known ? fd : -1);
}

PyObject* hook_closerange(Call& call) {
  int low = 0, high = 0;
  const bool known = call.count() == 2 && call.keywords() == nullptr &&
                     as_int(call.item(0), &low) && as_int(call.item(1), &high);
  return !known || before_close_range(low, high) ? call.pass_on() : nullptr;
}

// dup2(fd, fd2, inheritable=True) closes fd2, unless it fails or they are one.
PyObject* hook_dup2(Call& call) {
  PyObject* given[3] = {};
  int from = -1, to = -1;
  const bool closes = call.arrange({"fd", "fd2", "inheritable"}, given) && given[0] != nullptr &&
                      given[1] != nullptr && as_int(given[0], &from) && as_int(given[1], &to) &&
                      from != to && ::fcntl(from, F_GETFD) >= 0;
  return close_after_waits(call, closes ? to : -1);
}

PyObject* hook_close_socket(Call& call) {
  return close_after_waits(call, layout::socket_head(call.self()).fd);
}

constexpr Target targets[] = {
    target<hook_close_number, 0>("posix", nullptr, "close"),
    target<hook_close_number, 1>("_socket", nullptr, "close"),
    target<hook_closerange>("posix", nullptr, "closerange"),
    target<hook_dup2>("posix", nullptr, "dup2"),
    target<hook_close_socket>("_socket", "socket", "close"),
};

}  // namespace

const Group close_group = {"close", targets, layout::check_socket};

}  // namespace greenwsgi::patch
