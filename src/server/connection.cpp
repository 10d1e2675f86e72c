// A connection's beginning, clock and end; its requests are in connection_requests.cpp, its bytes
// in connection_receive.cpp.
#include "src/server/connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <new>

namespace greenwsgi::server {

namespace {
constexpr Duration kLingerTime = std::chrono::seconds(2);
constexpr Duration kFirstRequestTimeInDrain = std::chrono::seconds(1);
}  // namespace

Connection* Connection::make(Server::Impl& server, int fd, const Listener& listener) {
  if (!server.scheduler.reserve_timer()) return nullptr;
  auto* made = new (std::nothrow) Connection(server, fd, listener);
  if (made == nullptr) server.scheduler.release_timer();
  return made;
}

Connection::Connection(Server::Impl& server, int fd, const Listener& listener)
    : server_(server), parser_(server.options.limits), clock_(*this, on_time), fd_(fd) {
  name_endpoints(listener);
  receive_.kind = Op::Kind::recv_multishot;
  receive_.fd = fd;
  receive_.connection = this;
  receive_.on_done = [](Op& op) noexcept { static_cast<RecvOp&>(op).connection->on_received(); };
}

Connection::~Connection() {
  GW_ASSERT(!receive_.in_flight);
  GW_ASSERT(!has_fiber_);
  ::close(fd_);
  server_.scheduler.release_timer();
  server_.on_freed();
}

void Connection::name_endpoints(const Listener& listener) {
  endpoints_.server_name = listener.name();
  endpoints_.server_port = listener.port();
  if (listener.is_unix()) return;
  sockaddr_storage peer{};
  socklen_t bytes = sizeof peer;
  // Fails when the client has gone already; the receive will say so.
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &bytes) != 0) return;
  const void* address = &reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  std::uint16_t port = reinterpret_cast<const sockaddr_in&>(peer).sin_port;
  if (peer.ss_family == AF_INET6) {
    address = &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    port = reinterpret_cast<const sockaddr_in6&>(peer).sin6_port;
  }
  if (::inet_ntop(peer.ss_family, address, remote_address_, sizeof remote_address_) == nullptr)
    return;
  endpoints_.remote_address = remote_address_;
  const auto end = std::to_chars(remote_port_, remote_port_ + sizeof remote_port_, ntohs(port)).ptr;
  endpoints_.remote_port = {remote_port_, static_cast<std::size_t>(end - remote_port_)};
}

void Connection::start() {
  set_deadline(saturating_add(server_.scheduler.now(), server_.options.header_timeout));
  arm_receive();
}

void Connection::refuse() {
  is_one_too_many_ = true;
  start();
  refuse_request(503, "too many connections");
}

// --- The clock
//
// One timer a connection, which is only ever moved forward when it must ring earlier: a deadline
// that moves back, as at every request of a busy connection, costs nothing.

void Connection::set_deadline(Instant when) {
  deadline_ = when;
  if (when >= clock_rings_) return;
  clock_rings_ = when;
  server_.scheduler.start(clock_, when);
}

void Connection::on_time(Timer& timer) noexcept {
  Connection& self = static_cast<ClockTimer&>(timer).connection;
  self.clock_rings_ = kNever;
  if (self.deadline_ > self.server_.scheduler.now()) return self.set_deadline(self.deadline_);
  self.deadline_ = kNever;
  switch (self.phase_) {
    case Phase::head:
      return self.refuse_request(408, "the request took too long");
    case Phase::handling:
      self.timed_out_ = true;
      return self.wake_reader();
    case Phase::idle:
    case Phase::lingering:
      return self.close();
    case Phase::closed:
      return;
  }
}

// --- The end

void Connection::close_if_idle() {
  if (phase_ != Phase::idle) return;
  // One that has never said anything may have its first request under way.
  if (requests_ == 0) {
    const Instant soon = server_.scheduler.now() + kFirstRequestTimeInDrain;
    return set_deadline(std::min(deadline_, soon));
  }
  close();
}

void Connection::cut() {
  gone_ = true;
  ::shutdown(fd_, SHUT_RDWR);
  if (phase_ == Phase::handling) return wake_reader();
  close();
}

void Connection::go_idle() {
  if (eof_ || gone_ || server_.stopping) return close();
  GW_ASSERT(input_.empty());
  input_.release();
  if (parser_.in_request()) {
    phase_ = Phase::head;
    set_deadline(saturating_add(server_.scheduler.now(), server_.options.header_timeout));
  } else {
    phase_ = Phase::idle;
    set_deadline(saturating_add(server_.scheduler.now(), server_.options.keep_alive_timeout));
  }
  resume_receive();
}

// Closing a socket with unread bytes resets it, which may destroy a response on its way: say that
// nothing more comes, and read for a while what the client still sends.
void Connection::linger() {
  if (eof_ || gone_) return close();
  phase_ = Phase::lingering;
  input_.release();
  ::shutdown(fd_, SHUT_WR);
  set_deadline(server_.scheduler.now() + kLingerTime);
  resume_receive();
}

// What is unsent would stay in the kernel until the client takes it, which one that has just shown
// that it takes nothing never may: a reset frees it.
void Connection::lose_client(Errno why) {
  gone_ = true;
  const struct ::linger none { .l_onoff = 1, .l_linger = 0 };
  if (why.code == ETIMEDOUT) ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  server_.scheduler.stop(clock_);
  unlink();
  if (receive_.in_flight) server_.scheduler.hub().cancel(receive_);
  server_.on_closed(*this);
  free_if_done();
}

void Connection::free_if_done() {
  if (phase_ != Phase::closed || receive_.in_flight || has_fiber_ || in_callback_) return;
  delete this;
}

}  // namespace greenwsgi::server
