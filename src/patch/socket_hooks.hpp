// socket_hooks.hpp - the hooks over the methods of _socket.socket, for the group's table.
#pragma once

#include "src/patch/call.hpp"

namespace greenwsgi::patch {

// socket_stream.cpp
PyObject* hook_recv(Call& call);
PyObject* hook_recv_into(Call& call);
PyObject* hook_send(Call& call);
PyObject* hook_sendall(Call& call);

// socket_message.cpp
PyObject* hook_recvfrom(Call& call);
PyObject* hook_recvfrom_into(Call& call);
PyObject* hook_recvmsg(Call& call);
PyObject* hook_recvmsg_into(Call& call);
PyObject* hook_sendto(Call& call);
PyObject* hook_sendmsg(Call& call);

// socket_connect.cpp
PyObject* hook_accept(Call& call);
PyObject* hook_connect(Call& call);
PyObject* hook_connect_ex(Call& call);

// names_hooks.cpp
/// The address with its host name looked up, for a socket of that family; `address` itself when
/// there is nothing to look up. Empty: a Python error is set, the one of a failed look-up.
py::Ref resolved_address(int family, PyObject* address);

}  // namespace greenwsgi::patch
