// exchange.hpp - one request and its response, as the application's side sees them.
//
// Lives while its handler runs, on the fiber of its connection. Every call that says so may switch
// fibers. A peer that has gone shows as an error of the next call that needs it; the handler goes
// on or stops as it likes, and nothing it writes can desynchronise the connection: whatever is not
// exactly the announced body closes it.
#pragma once

#include "greenwsgi/base/result.hpp"
#include "greenwsgi/http/request_parser.hpp"
#include "greenwsgi/http/response_head.hpp"
#include "greenwsgi/io/io.hpp"

namespace greenwsgi::server {

class Connection;

/// Texts of a connection's two ends, made once a connection.
struct Endpoints {
  std::string_view remote_address;  // "127.0.0.1", "::1"; "" for a Unix socket.
  std::string_view remote_port;     // "40312"; "" for a Unix socket.
  std::string_view server_name;     // The listener's address; "localhost" for a Unix socket.
  std::string_view server_port;     // "80" for a Unix socket.
};

/// The status that tells the client of an error of Exchange::peek_body(); 500: it is not the
/// client's.
int status_of_body_error(int error);

class Exchange {
 public:
  explicit Exchange(Connection& connection);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const http::RequestHead& head() const;
  const Endpoints& endpoints() const;
  /// The views of head() are not needed any more (only version, method kind and framing are kept).
  void release_head();

  /// The body bytes that have arrived, at least one, valid until the fiber switches; empty at the
  /// end of the body. Waits for them, and sends "100 Continue" first where the client expects it
  /// and the response has not begun. Errors: ETIMEDOUT (no progress), EBADMSG (malformed), EFBIG
  /// (over the limit), E2BIG (too many trailer fields), ECONNRESET (the client has gone),
  /// ECANCELED.
  Result<io::ConstBytes> peek_body();
  /// Takes the first `bytes` of what peek_body() returned.
  void consume_body(std::size_t bytes);

  /// Filled by the handler; sent by send_head().
  http::ResponseHead& response() { return response_; }
  bool head_sent() const { return head_sent_; }
  /// Sends the head and `first`, the first piece of the body, in one go. `body_bytes`: the length
  /// of the whole body where it is known, else -1. May switch. EMSGSIZE: `first` is longer than the
  /// announced body; the head and as much as was announced have been sent. ENOMEM: nothing has.
  Status send_head(std::int64_t body_bytes, io::ConstBytes first);
  /// Sends a further piece. May switch. EMSGSIZE as above. Once a call has failed to send, also by
  /// ETIMEDOUT or ECANCELED, nobody knows how far the response got: the rest fail with EPIPE.
  Status write(io::ConstBytes piece);
  /// Sends `count` bytes of a file from `offset`, without copying. May switch. EINVAL: this file
  /// cannot be sent so, and nothing was; ENODATA: the file ended early.
  Status send_file(int fd, std::int64_t offset, std::uint64_t count);
  /// False once it is known that whatever is written goes nowhere: a response without a body (HEAD,
  /// 204, 304) whose head has been sent.
  bool takes_body() const;
  /// How many body bytes send_file() may send in one: Content-Length's rest; -1 unknown.
  std::int64_t body_bytes_left() const;
  /// The body is complete. ENODATA: it is shorter than announced; the connection will be closed.
  Status finish();

  /// Instead of all of these, before a head is sent: a page that says `status`, which completes the
  /// response. May switch. ENOMEM: nothing has been sent.
  Status send_error_page(int status);

  /// A response is about to be sent: fetches into the caches what that needs of the connection,
  /// which may be cold after a long wait. Never switches.
  void prefetch() const;

  /// Has the client gone, as far as is known? Never switches.
  bool client_gone() const;

 private:
  friend class Connection;
  Status send_pieces(std::span<iovec> pieces);
  Status send_body_piece(io::ConstBytes piece, std::string_view before);
  Status send_file_bytes(int fd, std::int64_t offset, std::uint64_t count);
  void settle(int body_error);

  Connection& connection_;
  http::ResponseHead response_;
  http::ResponseTo to_;
  http::Framing framing_;
  std::uint64_t body_sent_ = 0;
  bool head_sent_ = false;
  bool finished_ = false;
  bool broken_ = false;  // The connection must not be used again.
};

/// What a server does with requests.
class Handler {
 public:
  virtual ~Handler() = default;
  /// On a fiber of its own. When it returns without having sent a head, the server answers 500;
  /// without finish(), it closes the connection.
  virtual void handle(Exchange& exchange) noexcept = 0;
};

}  // namespace greenwsgi::server
