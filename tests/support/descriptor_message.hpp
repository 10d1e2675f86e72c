// descriptor_message.hpp - one byte and a descriptor (SCM_RIGHTS), for sendmsg(2) and recvmsg(2).
#pragma once

#include <sys/socket.h>

#include <cstring>

namespace greenwsgi::testing {

struct DescriptorMessage {
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};

  explicit DescriptorMessage(int descriptor) {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;

  int descriptor() const {
    int value;
    std::memcpy(&value, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof value);
    return value;
  }
};

}  // namespace greenwsgi::testing
