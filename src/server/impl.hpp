// impl.hpp - what a server's listeners and connections share. Private to the room.
#pragma once

#include <array>

#include "greenwsgi/server/server.hpp"

namespace greenwsgi::server {

class Connection;
class Listener;

struct Server::Impl {
  Impl(Scheduler& its_scheduler, Handler& its_handler, const Options& its_options);
  ~Impl();

  void on_accepted(int fd, const Listener& listener);
  void on_closed(const Connection& connection);
  void on_freed();
  void on_listener_closed();
  void stop(Duration grace);
  void start();
  void reserve_timer();  // Throws std::bad_alloc.
  void stop_timers();
  bool done() const;
  void wake_run_if_done();

  Scheduler& scheduler;
  Handler& handler;
  const Options& options;
  Statistics statistics;
  void (*access_log)(const AccessRecord&, void*) = nullptr;
  void* access_log_argument = nullptr;

  std::vector<std::unique_ptr<Listener>> listeners;
  std::size_t listeners_open = 0;
  List<Connection> connections;
  std::size_t refused_open = 0;          // Of those: one too many each, after its 503.
  std::size_t connections_closing = 0;   // No longer in the list; their receive has to end yet.
  Fiber* runner = nullptr;               // Parked in run().
  std::array<char, 8 * 1024> send_room;  // For one send(2); nobody's across a switch.
  bool started = false;
  bool stopping = false;
  bool grace_over = false;

  struct ServerTimer : Timer {
    ServerTimer(Impl& its_impl, Callback on_time) : Timer(on_time), impl(its_impl) {}
    Impl& impl;
  };
  ServerTimer housekeeping;

 private:
  void tell_of_crowd();
  static void on_housekeeping(Timer& timer) noexcept;
  static void on_idle_sweep(Timer& timer) noexcept;
  static void on_grace_over(Timer& timer) noexcept;

  ServerTimer idle_sweep_;
  ServerTimer grace_;
  Instant grace_end_ = kNever;
  Instant crowd_told_ = Instant::min();
};

}  // namespace greenwsgi::server
