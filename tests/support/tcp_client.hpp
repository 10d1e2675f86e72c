// tcp_client.hpp - clients of a real server in the same process, on the same scheduler.
//
// Each call may switch fibers and gives up after kPatience, so that a test that waits for what does
// not come fails instead of hanging. No sleeps: what a test waits for is bytes, or the end.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "greenwsgi/io/io.hpp"
#include "tests/support/http_responses.hpp"

namespace greenwsgi::testing {

/// A listening socket on a free port of 127.0.0.1.
inline int listen_on_loopback(sockaddr_in* address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *address = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t bytes = sizeof *address;
  auto* generic = reinterpret_cast<sockaddr*>(address);
  GW_ASSERT(::bind(fd, generic, bytes) == 0);
  GW_ASSERT(::listen(fd, 4096) == 0);
  GW_ASSERT(::getsockname(fd, generic, &bytes) == 0);
  return fd;
}

class TcpClient {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(20);

  TcpClient() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  explicit TcpClient(const sockaddr_in& server, int receive_buffer_bytes = 0) : TcpClient() {
    if (receive_buffer_bytes > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    GW_ASSERT(connect(server));
  }
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;
  ~TcpClient() { close(); }

  bool connect(const sockaddr_in& server) {
    const auto* address = reinterpret_cast<const sockaddr*>(&server);
    return io::connect(fd_, address, sizeof server, patience()).ok();
  }
  bool send(std::string_view text) {
    iovec part{const_cast<char*>(text.data()), text.size()};
    return io::send_all(fd_, {&part, 1}, kPatience).ok();
  }
  void shut_down() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// Reads until there are `count` responses, or the end.
  HttpResponses read(std::size_t count) {
    while (!ended_ && read_responses(received_, false).all.size() < count) receive();
    return read_responses(received_, ended_);
  }
  /// Reads until the end of the stream; an error is an end, too. False when it does not come.
  bool read_to_end() {
    while (!ended_ && !timed_out_) receive();
    return ended_;
  }
  const std::string& received() const { return received_; }

 private:
  static Instant patience() { return Scheduler::current()->now() + kPatience; }

  void receive() {
    std::byte room[16384];
    const Result<std::size_t> got = io::recv(fd_, room, 0, patience());
    if (got.ok()) received_.append(reinterpret_cast<const char*>(room), *got);
    timed_out_ = !got.ok() && got.error().code == ETIMEDOUT;
    ended_ = !got.ok() || *got == 0;
  }

  int fd_;
  bool ended_ = false;
  bool timed_out_ = false;
  std::string received_;
};

}  // namespace greenwsgi::testing
