// connection.hpp - one client: its bytes, its request in progress, its clock.
//
// Between requests a Connection is all there is: no fiber, no buffer, no parser state; its
// multishot receive stays armed. Bytes are parsed on the hub's stack; when a head is complete a
// fiber runs the handler, and goes on with the next request if the client has sent it already. The
// Connection goes when it is closed, its receive has ended and no fiber is on it. It frees itself.
#pragma once

#include <cstdint>

#include "src/server/impl.hpp"
#include "src/server/input_buffer.hpp"
#include "src/server/listener.hpp"

namespace greenwsgi::server {

class Connection : public ListNode {
 public:
  enum class Phase : std::uint8_t {
    idle,       // Waits for the first byte of a request.
    head,       // Has a part of a request's head.
    handling,   // A fiber runs the handler.
    lingering,  // Has said its last word; reads until the client has heard it (RFC 9112, 9.6).
    closed,     // Waits for its receive to end.
  };

  /// Takes `fd` over; nullptr, and `fd` is the caller's still, when there is no memory for it.
  static Connection* make(Server::Impl& server, int fd, const Listener& listener);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  /// Answers 503 and goes.
  void refuse();
  /// Has it been refused as a whole, by refuse()?
  bool is_one_too_many() const { return is_one_too_many_; }
  Phase phase() const { return phase_; }
  std::uint64_t requests() const { return requests_; }
  /// Ends an idle connection; one in flight is told not to go on afterwards.
  void close_if_idle();
  /// The grace is over: the client gets what it has got.
  void cut();

  // --- For Exchange, on the connection's fiber.
  const http::RequestHead& head() const { return parser_.head(); }
  const Endpoints& endpoints() const { return endpoints_; }
  Server::Impl& server() { return server_; }
  int fd() const { return fd_; }
  bool may_keep_alive() const;
  bool client_gone() const { return gone_; }
  /// Will it send no more? It may still read.
  bool client_ended() const { return eof_ || gone_; }
  /// The client gets all of `parts`, or nothing ever after.
  Status send_all(std::span<iovec> parts);
  void lose_client(Errno why);
  /// No "100 Continue" from here on.
  void on_response_begins() { continue_wanted_ = false; }
  /// `end`: when to give up, if that is before the body's own time-out.
  Result<io::ConstBytes> peek_body(Instant end = kNever);
  void consume_body(std::size_t bytes);
  void release_head();

 private:
  struct RecvOp : Op {
    Connection* connection;
  };
  struct ClockTimer : Timer {
    ClockTimer(Connection& its_connection, Callback on_time)
        : Timer(on_time), connection(its_connection) {}
    Connection& connection;
  };
  struct BodyWait : Wait {
    Connection* connection;
  };

  Connection(Server::Impl& server, int fd, const Listener& listener);
  ~Connection();
  void name_endpoints(const Listener& listener);

  // Receiving (connection_receive.cpp).
  void arm_receive();
  void resume_receive();
  void on_received();
  void on_bytes(io::ConstBytes bytes);
  void on_receive_ended();
  void wake_reader();
  bool parse_head(io::ConstBytes& bytes);
  bool parse_body();
  Status send_continue();
  Status wait_for_input(Instant end);

  // The life of a request.
  void begin_request();
  void serve();
  bool handle_one();
  bool drain_body();
  void note_access(const Exchange& exchange, Instant began);
  void refuse_request(int status, std::string_view reason);
  void send_refusal(int status);
  bool next_pipelined();

  // The clock.
  void set_deadline(Instant when);
  static void on_time(Timer& timer) noexcept;

  // The end.
  void go_idle();
  void linger();
  void close();
  void free_if_done();

  Server::Impl& server_;
  http::RequestParser parser_;
  RecvOp receive_;
  ClockTimer clock_;
  Instant deadline_ = kNever;  // What the clock is for; it may ring early, never late.
  Instant clock_rings_ = kNever;
  InputBuffer input_;           // Received, not yet parsed.
  std::size_t body_bytes_ = 0;  // Of the parsed body piece at hand, in front in input_.
  std::size_t body_tail_ = 0;   // Framing bytes behind it that are parsed, too.
  Fiber* reader_ = nullptr;     // Parked in wait_for_input().
  Endpoints endpoints_;
  std::uint64_t requests_ = 0;
  std::uint64_t lingered_bytes_ = 0;
  int fd_;
  int body_error_ = 0;
  Phase phase_ = Phase::idle;
  bool has_fiber_ = false;
  bool in_callback_ = false;  // on_received() is on the stack: not the time to free this.
  bool paused_ = false;       // Enough has been received for now.
  bool eof_ = false;          // The client will send no more.
  bool gone_ = false;         // The client takes no more, either.
  bool timed_out_ = false;    // wait_for_input() ended by the clock.
  bool body_ended_ = true;
  bool continue_wanted_ = false;
  bool keep_alive_ = true;
  bool is_one_too_many_ = false;
  char remote_address_[46];
  char remote_port_[6];
};

}  // namespace greenwsgi::server
