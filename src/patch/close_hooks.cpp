// os.close, and close() of _socket and its sockets: first they end the waits of greens for the
// descriptor. Needed by every group whose waits are turns (fd_turns.hpp).
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

PyObject* hook_close_socket(Call& call) {
  return close_after_waits(call, layout::socket_head(call.self()).fd);
}

constexpr Target targets[] = {
    target<hook_close_number, 0>("posix", nullptr, "close"),
    target<hook_close_number, 1>("_socket", nullptr, "close"),
    target<hook_close_socket>("_socket", "socket", "close"),
};

}  // namespace

const Group close_group = {"close", targets, layout::check_socket};

}  // namespace greenwsgi::patch
