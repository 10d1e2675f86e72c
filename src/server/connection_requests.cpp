// A connection's requests: from the complete head to the last byte of the response, and what comes
// next.
#include <strings.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>

#include "greenwsgi/base/log.hpp"
#include "src/server/connection.hpp"

namespace greenwsgi::server {

namespace {
// Of a body that the handler left unread.
constexpr std::size_t kDrainBytesMax = 256 * 1024;
constexpr Duration kDrainTime = std::chrono::seconds(2);

bool same_name(std::string_view name, std::string_view lower_case) {
  return name.size() == lower_case.size() &&
         ::strncasecmp(name.data(), lower_case.data(), name.size()) == 0;
}
}  // namespace

bool Connection::may_keep_alive() const {
  const Options& options = server_.options;
  if (server_.stopping || continue_wanted_ || options.keep_alive_timeout <= Duration::zero())
    return false;
  if (options.requests_per_connection != 0 && requests_ >= options.requests_per_connection)
    return false;
  return keep_alive_ && body_error_ == 0;
}

// On the hub's stack, with a complete head. The handler starts at once, while the bytes are warm.
void Connection::begin_request() {
  phase_ = Phase::handling;
  deadline_ = kNever;
  has_fiber_ = true;
  const Result<Fiber*> fiber = server_.scheduler.spawn([this]() noexcept { serve(); });
  if (!fiber.ok()) {
    has_fiber_ = false;
    return refuse_request(503, "no memory for a stack");
  }
  server_.scheduler.run_now(**fiber);
}

void Connection::serve() {
  bool goes_on = false;
  do {
    goes_on = handle_one();
  } while (goes_on && next_pipelined());
  has_fiber_ = false;
  if (phase_ != Phase::handling) return free_if_done();
  if (goes_on) return go_idle();
  if (body_ended_ && input_.empty()) return close();
  linger();
}

// True when the connection can be used again.
bool Connection::handle_one() {
  const http::RequestHead& head = parser_.head();
  body_ended_ = !head.chunked && head.content_length <= 0;
  body_error_ = 0;
  keep_alive_ = head.keep_alive;
  continue_wanted_ = head.expect_continue && !body_ended_;
  if (body_ended_) parser_.next({});  // The end of the request: there is nothing to wait for.
  requests_ += 1;
  server_.statistics.requests += 1;
  server_.statistics.requests_in_flight += 1;

  const Instant began = server_.access_log != nullptr ? server_.scheduler.now() : Instant::min();
  Exchange exchange(*this);
  server_.handler.handle(exchange);
  server_.scheduler.take_interrupt();  // It was meant for the handler.
  exchange.settle(body_error_);
  if (server_.access_log != nullptr) note_access(exchange, began);

  server_.statistics.requests_in_flight -= 1;
  if (exchange.broken_ || gone_ || !exchange.framing_.keep_alive) return false;
  return drain_body();
}

bool Connection::drain_body() {
  const Instant end = body_ended_ ? kNever : server_.scheduler.now() + kDrainTime;
  for (std::size_t drained = 0; !body_ended_;) {
    const Result<io::ConstBytes> piece = peek_body(end);
    if (!piece.ok()) {
      server_.scheduler.take_interrupt();
      return false;
    }
    drained += (*piece).size();
    if (drained > kDrainBytesMax || server_.scheduler.now() >= end) return false;
    consume_body((*piece).size());
  }
  return true;
}

// The client may have sent its next request already; true when its head is complete.
bool Connection::next_pipelined() {
  if (phase_ != Phase::handling) return false;
  parser_.release_head();
  if (input_.empty()) return false;
  server_.scheduler.yield();  // A client that never stops asking must not hold up the others.
  if (phase_ != Phase::handling || gone_) return false;
  const io::ConstBytes bytes = input_.bytes();
  const http::RequestParser::Step step = parser_.next(bytes);
  input_.consume(step.consumed);
  if (step.event == http::RequestParser::Event::error) {
    refuse_request(parser_.status(), parser_.reason());
    return false;
  }
  return step.event == http::RequestParser::Event::head;
}

void Connection::release_head() {
  if (server_.access_log == nullptr) parser_.release_head();
}

void Connection::note_access(const Exchange& exchange, Instant began) {
  AccessRecord record{};
  const http::RequestHead& head = parser_.head();
  for (const http::Header& header : head.headers) {
    if (same_name(header.name, "referer")) record.referer = header.value;
    if (same_name(header.name, "user-agent")) record.user_agent = header.value;
  }
  record.remote_address = endpoints_.remote_address;
  record.method = head.method;
  record.target = head.target;
  record.version_minor = head.version_minor;
  record.status = exchange.head_sent_ ? exchange.response_.code() : 0;
  record.body_bytes = exchange.body_sent_;
  record.duration = server_.scheduler.now() - began;
  server_.access_log(record, server_.access_log_argument);
}

// The server's own answer to what is no request, or cannot be served. Never waits: a client that
// does not take these few bytes does not get them.
void Connection::refuse_request(int status, std::string_view reason) {
  log(LogLevel::debug, "%.*s: %d, %.*s", int(endpoints_.remote_address.size()),
      endpoints_.remote_address.data(), status, int(reason.size()), reason.data());
  server_.statistics.requests_refused += 1;
  try {
    send_refusal(status);
  } catch (const std::bad_alloc&) {
    gone_ = true;
  }
  linger();
}

void Connection::send_refusal(int status) {
  http::ResponseHead head;
  const std::string text = std::string(http::reason_phrase(status)) + "\n";
  head.begin(std::to_string(status) + " " + std::string(http::reason_phrase(status)));
  head.add("Content-Type", "text/plain; charset=utf-8");
  const http::RequestHead* const line = parser_.request_line();
  http::ResponseTo to;
  to.keep_alive = false;
  to.head = line != nullptr && line->method == "HEAD";
  head.end(to, static_cast<std::int64_t>(text.size()), server_.options.server_header);
  const std::string bytes = to.head ? head.bytes() : head.bytes() + text;
  if (::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) gone_ = true;
  if (server_.access_log != nullptr) {
    AccessRecord record{};
    record.remote_address = endpoints_.remote_address;
    record.method = line != nullptr ? line->method : "-";
    record.target = line != nullptr ? line->target : "-";
    record.version_minor = line != nullptr ? line->version_minor : 1;
    record.status = status;
    record.body_bytes = to.head ? 0 : text.size();
    server_.access_log(record, server_.access_log_argument);
  }
}

}  // namespace greenwsgi::server
