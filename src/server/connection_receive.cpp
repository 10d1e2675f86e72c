// A connection's bytes: from the multishot receive to the parser, or to the handler that reads a
// body.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "src/server/connection.hpp"

namespace greenwsgi::server {

namespace {
constexpr std::size_t kInputMax = 256 * 1024;  // Received ahead of the handler; then we pause.
constexpr std::size_t kInputLow = 64 * 1024;   // And go on from here.
constexpr std::uint64_t kLingerBytesMax = 16 * 1024 * 1024;
}  // namespace

void Connection::arm_receive() {
  server_.scheduler.hub().submit(receive_);
}

// One that is still being paused goes on when that is done, in on_received().
void Connection::resume_receive() {
  paused_ = false;
  if (!receive_.in_flight && !eof_) arm_receive();
}

void Connection::on_received() {
  in_callback_ = true;
  const std::int32_t result = receive_.result;
  if (result > 0) {
    on_bytes(receive_.buffer);
  } else if (result != -ECANCELED) {
    // 0 is the end of what the client sends, it may still read; anything else is a dead connection.
    eof_ = true;
    gone_ = gone_ || result < 0;
    on_receive_ended();
  }
  in_callback_ = false;
  if (!receive_.in_flight && phase_ != Phase::closed && !eof_ && !paused_) arm_receive();
  free_if_done();
}

void Connection::on_receive_ended() {
  if (phase_ == Phase::handling) return wake_reader();
  close();
}

void Connection::on_bytes(io::ConstBytes bytes) {
  switch (phase_) {
    case Phase::idle:
    case Phase::head:
      if (parse_head(bytes)) begin_request();
      return;
    case Phase::handling:
      if (!input_.append(bytes)) return cut();  // No memory for it.
      if (input_.size() >= kInputMax && receive_.in_flight && !paused_) {
        paused_ = true;
        server_.scheduler.hub().cancel(receive_);
      }
      return wake_reader();
    case Phase::lingering:
      lingered_bytes_ += bytes.size();
      if (lingered_bytes_ > kLingerBytesMax) close();
      return;
    case Phase::closed:
      return;
  }
}

// True when a head is complete: what follows it is in input_ then.
bool Connection::parse_head(io::ConstBytes& bytes) {
  const http::RequestParser::Step step = parser_.next(bytes);
  bytes = bytes.subspan(step.consumed);
  switch (step.event) {
    case http::RequestParser::Event::head:
      if (input_.append(bytes)) return true;
      close();
      return false;
    case http::RequestParser::Event::error:
      refuse_request(parser_.status(), parser_.reason());
      return false;
    default:
      if (phase_ == Phase::idle && parser_.in_request()) {
        phase_ = Phase::head;
        set_deadline(saturating_add(server_.scheduler.now(), server_.options.header_timeout));
      }
      return false;
  }
}

// --- The body, on the connection's fiber

Result<io::ConstBytes> Connection::peek_body(Instant end) {
  for (;;) {
    if (body_bytes_ > 0) return input_.bytes().first(body_bytes_);
    if (body_ended_) return io::ConstBytes{};
    if (body_error_ != 0) return Errno{body_error_};
    if (parse_body()) continue;
    if (eof_ || gone_) return Errno{body_error_ = ECONNRESET};
    if (const Status sent = send_continue(); !sent.ok()) return sent.error();
    if (const Status waited = wait_for_input(end); !waited.ok()) return waited.error();
  }
}

Status Connection::send_continue() {
  if (!std::exchange(continue_wanted_, false)) return Done{};
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  iovec part{const_cast<char*>(kContinue.data()), kContinue.size()};
  return send_all({&part, 1});
}

// False when more bytes are needed.
bool Connection::parse_body() {
  const io::ConstBytes bytes = input_.bytes();
  if (!bytes.empty()) continue_wanted_ = false;  // The client has not waited for it.
  const http::RequestParser::Step step = parser_.next(bytes);
  switch (step.event) {
    case http::RequestParser::Event::body: {
      const auto before = static_cast<std::size_t>(step.body.data() - bytes.data());
      body_bytes_ = step.body.size();
      body_tail_ = step.consumed - before - body_bytes_;
      input_.consume(before);
      return true;
    }
    case http::RequestParser::Event::end:
      input_.consume(step.consumed);
      body_ended_ = true;
      return true;
    case http::RequestParser::Event::error:
      body_error_ = parser_.status() == 413 ? EFBIG : parser_.status() == 431 ? E2BIG : EBADMSG;
      return true;
    default:
      input_.consume(step.consumed);
      return false;
  }
}

void Connection::consume_body(std::size_t bytes) {
  GW_ASSERT(bytes <= body_bytes_);
  body_bytes_ -= bytes;
  input_.consume(bytes);
  if (body_bytes_ == 0 && body_tail_ > 0) input_.consume(std::exchange(body_tail_, 0));
  if (paused_ && input_.size() <= kInputLow) resume_receive();
}

Status Connection::wait_for_input(Instant end) {
  Scheduler& scheduler = server_.scheduler;
  // Requests in front of this one may have filled what this one has to wait for.
  resume_receive();
  reader_ = scheduler.running();
  timed_out_ = false;
  set_deadline(std::min(end, saturating_add(scheduler.now(), server_.options.body_timeout)));
  BodyWait wait{
      {"the request's body",
       [](Wait& ended) noexcept { static_cast<BodyWait&>(ended).connection->wake_reader(); }},
      this};
  const std::size_t had = input_.size();
  scheduler.park(wait);
  deadline_ = kNever;
  if (input_.size() > had || eof_) return Done{};
  if (timed_out_) return Errno{body_error_ = ETIMEDOUT};
  return Errno{gone_ ? ECONNRESET : ECANCELED};
}

Status Connection::send_all(std::span<iovec> parts) {
  if (gone_) return Errno{EPIPE};
  const Status sent = io::send_all(fd_, parts, server_.options.write_timeout);
  if (!sent.ok()) lose_client(sent.error());
  return sent;
}

void Connection::wake_reader() {
  if (reader_ != nullptr) server_.scheduler.unpark(*std::exchange(reader_, nullptr));
}

}  // namespace greenwsgi::server
