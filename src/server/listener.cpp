#include "src/server/listener.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "greenwsgi/base/log.hpp"

namespace greenwsgi::server {

namespace {

constexpr int kBacklogMax = 65536;  // More than net.core.somaxconn is likely to be.
constexpr Duration kRetryPause = std::chrono::milliseconds(50);
constexpr Duration kComplaintPause = std::chrono::seconds(5);

// Errors of one incoming connection, not of the listener (accept(2), "Error handling").
bool concerns_one_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EINTR:
    case EAGAIN:
      return true;
    default:
      return false;
  }
}

}  // namespace

Listener::Listener(Server::Impl& server, int fd)
    : server_(server),
      fd_(fd),
      retry_(*this, [](Timer& timer) noexcept { static_cast<RetryTimer&>(timer).listener.arm(); }) {
  server_.reserve_timer();
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes);
  char text[INET6_ADDRSTRLEN] = "localhost";
  if (address.ss_family == AF_INET) {
    const auto& inet = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &inet.sin_addr, text, sizeof text);
    port_ = std::to_string(ntohs(inet.sin_port));
  } else if (address.ss_family == AF_INET6) {
    const auto& inet = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &inet.sin6_addr, text, sizeof text);
    port_ = std::to_string(ntohs(inet.sin6_port));
  } else {
    is_unix_ = true;
    port_ = "80";  // PEP 3333: SERVER_NAME and SERVER_PORT are never empty.
  }
  name_ = text;
  if (!is_unix()) {
    // Accepted sockets inherit it. A head and its body leave in one piece anyway; without it a
    // second piece would wait for the peer's delayed acknowledgement, 40 ms.
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
}

Listener::~Listener() {
  GW_ASSERT(!accept_.in_flight);
  server_.scheduler.stop(retry_);
  server_.scheduler.release_timer();
  if (fd_ >= 0) ::close(fd_);
}

void Listener::start() {
  server_.listeners_open += 1;
  arm();
}

void Listener::arm() {
  accept_.kind = Op::Kind::accept_multishot;
  accept_.fd = fd_;
  accept_.flags = SOCK_CLOEXEC;
  accept_.listener = this;
  accept_.on_done = [](Op& op) noexcept { static_cast<AcceptOp&>(op).listener->on_done(); };
  server_.scheduler.hub().submit(accept_);
}

void Listener::on_done() {
  const std::int32_t result = accept_.result;
  if (result >= 0) server_.on_accepted(result, *this);
  if (accept_.in_flight) return;
  if (stopping_) return finish();
  if (result >= 0 || concerns_one_connection(-result)) return arm();
  pause(-result);
}

// Out of descriptors or memory: the queue keeps those who knock, and connections that end give back
// what is missing.
void Listener::pause(int error) {
  const Instant now = server_.scheduler.now();
  if (last_complaint_ == Instant::min() || now - last_complaint_ >= kComplaintPause) {
    last_complaint_ = now;
    log(LogLevel::error, "cannot accept connections: %s; going on as soon as that is over",
        std::strerror(error));
  }
  server_.scheduler.start(retry_, now + kRetryPause);
}

void Listener::stop() {
  if (stopping_) return;
  stopping_ = true;
  server_.scheduler.stop(retry_);
  if (accept_.in_flight) {
    server_.scheduler.hub().cancel(accept_);
  } else {
    finish();
  }
}

// Those whom the kernel has greeted already would be reset by close(2): take them in. Bounded,
// since others may go on knocking.
void Listener::finish() {
  ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  for (int taken = 0; taken < kBacklogMax;) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 && errno == EINTR) continue;
    if (fd < 0) break;
    server_.on_accepted(fd, *this);
    taken += 1;
  }
  ::close(std::exchange(fd_, -1));
  server_.on_listener_closed();
}

}  // namespace greenwsgi::server
