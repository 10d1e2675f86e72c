// call.hpp - one WSGI call, from the head of a request to the end of its response.
//
// Lives on the stack of the fiber that runs the call. The application gets two objects that point
// to it, wsgi.input and start_response(); both are detached before it goes, whatever the
// application still does with them. They may be used by other greens of the same thread, one at a
// time each; the call does not end while another green is inside them. Knows PEP 3333, and nothing
// of sockets or framing: that is the Exchange's.
#pragma once

#include <string>

#include "greenwsgi/fiber/fiber.hpp"
#include "greenwsgi/server/exchange.hpp"
#include "src/py/ref.hpp"
#include "src/wsgi/file_wrapper.hpp"

namespace greenwsgi::wsgi {

class Application;

/// What a bytes object holds.
inline io::ConstBytes bytes_of(PyObject* bytes) {
  return {reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(bytes)),
          static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

class Call {
 public:
  Call(Application& application, server::Exchange& exchange);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call();

  /// Runs the application and sends its response, or an error page. On a green; switches. Leaves no
  /// Python error set.
  void run();

  // What start_response() and wsgi.input are made of. All of them: false means that a Python error
  // is set.

  /// start_response(status, headers, exc_info); the last may be null. Never switches.
  bool start_response(PyObject* status, PyObject* headers, PyObject* exc_info);
  /// write(piece). Switches.
  bool write(PyObject* piece);
  /// To be called where an application can go on for long with a client that never makes it wait:
  /// lets the others have their turn when this one has lasted 10 ms. May switch; who holds nothing
  /// of the call must not use it afterwards.
  bool give_way();
  /// The body bytes that have arrived; none at the end of the body. Switches.
  bool peek_body(io::ConstBytes& arrived);
  void consume_body(std::size_t bytes);
  /// What has been consumed by a read that then failed: the next peek_body() begins with it. Empty:
  /// there was nothing.
  void put_back(py::Ref bytes);

  /// One direction of the exchange, held by a green for the time of a C++ scope.
  class Hold {
   public:
    Hold(Call& call, bool& busy, const char* what);
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold();
    /// False: a Python error is set.
    explicit operator bool() const { return held_; }

   private:
    Call& call_;
    bool& busy_;
    bool held_;
  };
  Hold hold_input() { return Hold(*this, reading_, "wsgi.input"); }

 private:
  py::Ref invoke();
  bool respond(PyObject* result);
  bool respond_with_pieces(PyObject* sequence);
  bool respond_with_file(const FileRegion& region, PyObject* wrapper);
  bool respond_by_iterating(PyObject* iterable);
  bool must_have_started();
  bool must_be_bytes(PyObject* piece);

  bool send(io::ConstBytes piece, std::int64_t body_bytes);
  bool finish();
  bool check(Status status);
  bool lose_peer(Errno why);

  void close(PyObject* result);
  void fail();
  void end_if_forked() const;
  int judge(PyObject* exception);
  int say(PyObject* exception);
  void send_error_page(int status);
  void wait_for_others();
  std::string title(const char* event) const;

  Application& application_;
  server::Exchange& exchange_;
  Scheduler* scheduler_;
  py::Ref input_, start_response_;
  py::Ref method_, target_;
  py::Ref put_back_;  // Bytes of the body, in front of what the exchange has.
  std::size_t put_back_taken_ = 0;
  const void* environ_keys_ = nullptr;  // Where environ had its entries when it was made.
  bool started_ = false;                // start_response() has been called.
  bool reading_ = false;                // A green is inside wsgi.input.
  bool writing_ = false;                // A green is sending.
  bool finished_ = false;               // The body has been sent; nothing more can be.
  bool ending_ = false;                 // Waits for greens inside.
  int body_status_ = 0;                 // Of the response to a request whose body cannot be read.
  py::Ref peer_lost_;  // What was raised because the client went away, or takes no bytes.
};

}  // namespace greenwsgi::wsgi
