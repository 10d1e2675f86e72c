// What of _socket is hooked; the hooks are in socket_stream.cpp, socket_message.cpp and
// socket_connect.cpp.
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/socket_hooks.hpp"

namespace greenwsgi::patch {

namespace {

constexpr Target targets[] = {
    target<hook_recv>("_socket", "socket", "recv"),
    target<hook_recv_into>("_socket", "socket", "recv_into"),
    target<hook_recvfrom>("_socket", "socket", "recvfrom"),
    target<hook_recvfrom_into>("_socket", "socket", "recvfrom_into"),
    target<hook_recvmsg>("_socket", "socket", "recvmsg"),
    target<hook_recvmsg_into>("_socket", "socket", "recvmsg_into"),
    target<hook_send>("_socket", "socket", "send"),
    target<hook_sendall>("_socket", "socket", "sendall"),
    target<hook_sendto>("_socket", "socket", "sendto"),
    target<hook_sendmsg>("_socket", "socket", "sendmsg"),
    target<hook_accept>("_socket", "socket", "_accept"),
    target<hook_connect>("_socket", "socket", "connect"),
    target<hook_connect_ex>("_socket", "socket", "connect_ex"),
};

}  // namespace

const Group socket_group = {"socket", targets, layout::check_socket};

}  // namespace greenwsgi::patch
