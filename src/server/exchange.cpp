// The response's way out: one send for a head and its first piece, and framing kept to exactly.
#include "greenwsgi/server/exchange.hpp"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "greenwsgi/base/prefetch.hpp"
#include "src/server/connection.hpp"

namespace greenwsgi::server {

namespace {

iovec part_of(std::string_view text) {
  return {const_cast<char*>(text.data()), text.size()};
}

iovec part_of(io::ConstBytes bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

bool holds_bytes(int fd, std::int64_t offset, std::uint64_t count) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return false;
  return offset <= facts.st_size && count <= static_cast<std::uint64_t>(facts.st_size - offset);
}

}  // namespace

int status_of_body_error(int error) {
  switch (error) {
    case EBADMSG:
    case ECONNRESET:
      return 400;
    case ETIMEDOUT:
      return 408;
    case EFBIG:
      return 413;
    case E2BIG:
      return 431;
    default:
      return 500;
  }
}

Exchange::Exchange(Connection& connection) : connection_(connection) {
  const http::RequestHead& head = connection.head();
  to_.head = head.method == "HEAD";
  to_.version_minor = head.version_minor;
}

const http::RequestHead& Exchange::head() const {
  return connection_.head();
}

const Endpoints& Exchange::endpoints() const {
  return connection_.endpoints();
}

void Exchange::release_head() {
  connection_.release_head();
}

Result<io::ConstBytes> Exchange::peek_body() {
  return connection_.peek_body();
}

void Exchange::consume_body(std::size_t bytes) {
  connection_.consume_body(bytes);
}

bool Exchange::client_gone() const {
  return connection_.client_gone();
}

std::int64_t Exchange::body_bytes_left() const {
  if (!head_sent_ || framing_.body == http::Framing::Body::none) return 0;
  if (framing_.body != http::Framing::Body::sized) return -1;
  return static_cast<std::int64_t>(framing_.bytes - body_sent_);
}

bool Exchange::takes_body() const {
  return !head_sent_ || framing_.body != http::Framing::Body::none;
}

Status Exchange::send_head(std::int64_t body_bytes, io::ConstBytes first) {
  GW_ASSERT(!head_sent_);
  GW_ASSERT(response_.begun());
  // After an interim status the client waits for another; it will not come.
  to_.keep_alive = connection_.may_keep_alive() && response_.code() >= 200;
  try {
    framing_ = response_.end(to_, body_bytes, connection_.server().options.server_header);
  } catch (const std::bad_alloc&) {
    return Errno{ENOMEM};
  }
  connection_.on_response_begins();
  head_sent_ = true;
  return send_body_piece(first, response_.bytes());
}

Status Exchange::write(io::ConstBytes piece) {
  GW_ASSERT(head_sent_);
  GW_ASSERT(!finished_);
  // As nothing is sent, nothing else would tell an application that goes on.
  if (!takes_body() && connection_.client_ended()) return Errno{EPIPE};
  return send_body_piece(piece, {});
}

// Sends `before` as it is, then `piece` in the body's framing.
Status Exchange::send_body_piece(io::ConstBytes piece, std::string_view before) {
  using Body = http::Framing::Body;
  bool too_long = false;
  if (framing_.body == Body::none) piece = {};
  if (framing_.body == Body::sized && piece.size() > framing_.bytes - body_sent_) {
    piece = piece.first(framing_.bytes - body_sent_);
    too_long = true;
    broken_ = true;
  }
  char room[24];
  iovec parts[4];
  std::size_t count = 0;
  if (!before.empty()) parts[count++] = part_of(before);
  const bool chunk = framing_.body == Body::chunked && !piece.empty();
  if (chunk) parts[count++] = part_of(http::chunk_size_line(piece.size(), room));
  if (!piece.empty()) parts[count++] = part_of(piece);
  if (chunk) parts[count++] = part_of(http::kChunkEnd);
  if (const Status sent = send_pieces({parts, count}); !sent.ok()) {
    std::size_t unsent = 0;
    for (const iovec& part : std::span(parts, count)) unsent += part.iov_len;
    body_sent_ += piece.size() - std::min(piece.size(), unsent);
    return sent;
  }
  body_sent_ += piece.size();
  if (too_long) return Errno{EMSGSIZE};
  return Done{};
}

void Exchange::prefetch() const {
  greenwsgi::prefetch(&connection_, sizeof connection_);
}

Status Exchange::send_pieces(std::span<iovec> parts) {
  if (connection_.client_gone()) return Errno{EPIPE};
  std::size_t total = 0;
  for (const iovec& part : parts) total += part.iov_len;
  std::size_t sent = 0;
  // Short responses are put together and leave in one send(2); longer ones are gathered by
  // sendmsg(2), which costs more than copying a little. Not on the stack, where the room would cost
  // every green a page.
  std::span<char> copy = connection_.server().send_room;
  if (parts.size() > 1 && total <= copy.size()) {
    char* end = copy.data();
    for (const iovec& part : parts) {
      std::memcpy(end, part.iov_base, part.iov_len);
      end += part.iov_len;
    }
    const ssize_t moved = ::send(connection_.fd(), copy.data(), total, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved == static_cast<ssize_t>(total)) return Done{};
    if (moved > 0) sent = static_cast<std::size_t>(moved);
  }
  for (iovec& part : parts) {  // Go on behind what has left already.
    const std::size_t taken = std::min(sent, part.iov_len);
    part.iov_base = static_cast<std::byte*>(part.iov_base) + taken;
    part.iov_len -= taken;
    sent -= taken;
  }
  const Status status = connection_.send_all(parts);
  if (!status.ok()) broken_ = true;
  return status;
}

Status Exchange::send_file(int fd, std::int64_t offset, std::uint64_t count) {
  GW_ASSERT(head_sent_);
  GW_ASSERT(!finished_);
  using Body = http::Framing::Body;
  if (framing_.body == Body::sized) count = std::min(count, framing_.bytes - body_sent_);
  if (framing_.body == Body::none || count == 0) return Done{};
  if (connection_.client_gone()) return Errno{EPIPE};
  if (framing_.body != Body::chunked) return send_file_bytes(fd, offset, count);
  // What a chunk announces cannot be taken back: only where sendfile(2) is sure to work.
  if (!holds_bytes(fd, offset, count)) return Errno{EINVAL};
  char room[24];
  iovec line = part_of(http::chunk_size_line(count, room));
  if (const Status sent = send_pieces({&line, 1}); !sent.ok()) return sent;
  if (const Status sent = send_file_bytes(fd, offset, count); !sent.ok()) {
    broken_ = true;
    return sent.error() == Errno{EINVAL} ? Errno{EIO} : sent.error();
  }
  iovec end = part_of(http::kChunkEnd);
  return send_pieces({&end, 1});
}

Status Exchange::send_file_bytes(int fd, std::int64_t offset, std::uint64_t count) {
  const Result<std::size_t> sent = io::send_file(connection_.fd(), fd, offset, count,
                                                 connection_.server().options.write_timeout);
  if (sent.ok()) {
    body_sent_ += *sent;
    if (*sent == count) return Done{};
    broken_ = true;
    return Errno{ENODATA};
  }
  if (sent.error() == Errno{EINVAL}) return sent.error();
  broken_ = true;
  connection_.lose_client(sent.error());
  return sent.error();
}

Status Exchange::finish() {
  using Body = http::Framing::Body;
  GW_ASSERT(head_sent_);
  GW_ASSERT(!finished_);
  finished_ = true;
  if (framing_.body == Body::sized && body_sent_ < framing_.bytes) {
    broken_ = true;
    return Errno{ENODATA};
  }
  if (framing_.body == Body::to_close) framing_.keep_alive = false;
  if (framing_.body == Body::chunked && broken_) return Errno{ENODATA};
  if (framing_.body == Body::chunked) {
    iovec last = part_of(http::kLastChunk);
    return send_pieces({&last, 1});
  }
  return Done{};
}

Status Exchange::send_error_page(int status) try {
  const std::string phrase(http::reason_phrase(status));
  response_.clear();
  response_.begin(std::to_string(status) + " " + phrase);
  response_.add("Content-Type", "text/plain; charset=utf-8");
  const std::string text = phrase + "\n";
  const io::ConstBytes body = std::as_bytes(std::span(text));
  if (const Status sent = send_head(static_cast<std::int64_t>(text.size()), body); !sent.ok()) {
    return sent;
  }
  return finish();
} catch (const std::bad_alloc&) {
  return Errno{ENOMEM};
}

// The handler has returned: whatever it left undone ends here.
void Exchange::settle(int body_error) {
  if (!head_sent_ && !connection_.client_gone()) {
    const int status = status_of_body_error(body_error);
    if (status != 500) broken_ = true;
    connection_.server().statistics.requests_refused += 1;
    if (!send_error_page(status).ok()) broken_ = true;
  }
  if (!finished_) broken_ = true;
}

}  // namespace greenwsgi::server
