// listener.hpp - one listening socket: accepts as long as descriptors and memory last, pauses when
// they do not, and hands over whatever is in its queue before it closes.
#pragma once

#include <string>

#include "src/server/impl.hpp"

namespace greenwsgi::server {

class Listener {
 public:
  /// Owns `fd`.
  Listener(Server::Impl& server, int fd);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  void start();
  /// Accepts what is queued, then closes. Safe to call twice.
  void stop();

  const std::string& name() const { return name_; }
  const std::string& port() const { return port_; }
  bool is_unix() const { return is_unix_; }

 private:
  struct AcceptOp : Op {
    Listener* listener;
  };
  struct RetryTimer : Timer {
    RetryTimer(Listener& its_listener, Callback on_time) : Timer(on_time), listener(its_listener) {}
    Listener& listener;
  };
  void arm();
  void on_done();
  void pause(int error);
  void finish();

  Server::Impl& server_;
  int fd_;
  std::string name_;
  std::string port_;
  bool is_unix_ = false;
  AcceptOp accept_;
  RetryTimer retry_;
  Instant last_complaint_ = Instant::min();
  bool stopping_ = false;
};

}  // namespace greenwsgi::server
