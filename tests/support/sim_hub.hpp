// sim_hub.hpp - a hub whose time and luck belong to the test.
//
// The descriptors are real (Unix sockets, pipes, files), so that code which tries recv(2) or
// send(2) directly works; but nothing happens by itself: peers act at scripted times, the clock
// moves only inside wait(), and straight to the next thing that happens, and everything the kernel
// leaves open is drawn from the seed: the order of completions, how short a read or a write is,
// whether an operation or its cancellation wins. Seed 0 draws nothing: in order, whole,
// cancellation wins. A run repeats exactly; print the seed (CAPTURE(seed)) where a test tries many.
// Single-threaded.
//
//   SimHub hub(seed);
//   SimStream stream = hub.stream();                   // stream.fd is the code's, to be closed by
//   it stream.peer->sends("GET / HT", hub.in(10ms)); stream.peer->closes(hub.in(20ms)); // sends it
//   the end of the stream int listener = hub.listener();                     // likewise the code's
//   SimPeer& client = hub.connects(listener, hub.in(5ms));
//   hub.fails_next(listener, Op::Kind::accept_multishot, EMFILE);
//   SimPeer& upstream = hub.answers_connect(fd, hub.in(1ms));  // fd from hub.socket()
//   hub.at(hub.in(3s), [&] { ... });                   // anything else
//   ... submit, wait, dispatch, or a Scheduler on this hub ...
//   CHECK(client.received() == "HTTP/1.1 200 OK...");
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greenwsgi/hub/hub.hpp"

namespace greenwsgi::testing {

class SimHub;

/// The far end of a stream. Reads all it is sent, unless told to stop. Lives as long as its hub.
class SimPeer {
 public:
  SimPeer(SimHub& hub, int fd) : hub_(hub), fd_(fd) {}
  SimPeer(const SimPeer&) = delete;
  SimPeer& operator=(const SimPeer&) = delete;
  ~SimPeer();

  void sends(std::string_view bytes, Instant when);
  void sends(std::string_view bytes);  // Now.
  void shuts_down(Instant when);       // Sends the end of the stream, goes on reading.
  void closes(Instant when);
  void stops_reading(Instant when);
  void reads_again(Instant when);

  /// What has arrived so far.
  const std::string& received();
  /// Has the code closed, or shut down, its end?
  bool saw_end();

 private:
  friend class SimHub;
  void pump();
  void close_now();

  SimHub& hub_;
  int fd_;  // -1: not connected yet, or closed.
  bool reading_ = true;
  bool saw_end_ = false;
  bool shut_down_ = false;
  bool close_when_sent_ = false;
  std::string to_send_;
  std::string received_;
};

struct SimStream {
  int fd;
  SimPeer* peer;
};

class SimHub final : public Hub {
 public:
  explicit SimHub(std::uint64_t seed = 0);

  // The script.
  Instant in(Duration length) const { return now_ + length; }
  void at(Instant when, std::function<void()> act);
  /// A connected stream. `send_buffer_bytes`: how much the code may send before its peer reads.
  SimStream stream(int send_buffer_bytes = 0);
  int listener();
  SimPeer& connects(int listener, Instant when);
  int socket();
  /// A connect on `fd`, whatever the address, succeeds at `when` (kNever: no answer ever comes).
  /// Without this, connect goes to the address it names.
  SimPeer& answers_connect(int fd, Instant when);
  /// The next operation of this kind on `fd` fails.
  void fails_next(int fd, Op::Kind kind, int error);
  /// A number below `end`, from the seed; 0 for seed 0.
  std::size_t draw(std::size_t end);

  void submit(Op& op) override;
  void cancel(Op& op) override;
  void wait(Instant until) override;
  void dispatch() override;
  void wake() noexcept override { woken_ = true; }
  Instant now() const override { return now_; }
  const char* name() const override { return "simulation"; }

 private:
  using Target = std::pair<int, Op::Kind>;

  bool chance(std::size_t one_in) { return draws_ && draw(one_in) == 0; }
  void run_due();
  void find_ready();
  std::vector<Op*> ready_now();
  void keep_order_per_descriptor(std::vector<Op*>& ops);
  [[noreturn]] void waits_for_ever() const;
  void step(Op& op);
  void step_multishot(Op& op);
  int attempt_drawn(Op& op);
  int attempt_message(Op& op, std::size_t bytes_max);
  int attempt_connect(Op& op);
  void finish(Op& op, int result);

  std::mt19937_64 random_;
  const bool draws_;
  Instant now_ = Instant{} + std::chrono::hours(1);
  std::atomic<bool> woken_{false};
  std::multimap<Instant, std::function<void()>> script_;
  std::multimap<Target, int> faults_;
  std::map<int, bool> answered_;  // Scripted connects by descriptor: has the answer come?
  std::deque<SimPeer> peers_;
  std::vector<Op*> pending_;  // In the order of submission.
  std::vector<Op*> ready_;    // A part of pending_, to be served by dispatch().
  std::vector<std::byte> buffer_;
};

}  // namespace greenwsgi::testing
