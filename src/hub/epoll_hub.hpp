// epoll_hub.hpp - the hub on epoll: completions, imitated by trying again when the kernel says that
// it may be worth it.
//
// A descriptor is armed in epoll only while operations wait on it, one-shot (level-triggered while
// a multishot one is among them), and armed anew each time somebody begins to wait. A descriptor
// that was closed behind the hub's back, and its number reused, is thus armed like a new one; and
// an event that is meant for its predecessor costs one attempt. Regular files go to native threads.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <string>
#include <vector>

#include "src/hub/hub_base.hpp"

namespace greenwsgi {

class EpollHub final : public HubBase {
 public:
  /// "" or the sentence that says why there is no such hub.
  static std::string make(std::unique_ptr<EpollHub>& hub);
  ~EpollHub() override;

  void submit(Op& op) override;
  void cancel(Op& op) override;
  void wait(Instant until) override;
  void dispatch() override;
  const char* name() const override { return "epoll"; }

  /// Calls of epoll_wait(2) so far, for tests.
  std::uint64_t polls() const { return polls_; }

 private:
  static constexpr std::size_t kEvents = 512;
  static constexpr std::size_t kBufferBytes = 64 * 1024;
  static constexpr int kBlock = 64;

  struct Descriptor {
    List<Op> readers, writers, pollers;
    std::uint32_t armed = 0;  // What epoll will report, as far as may be relied on.
    bool registered = false;  // epoll has probably heard of it.
    bool in_unarmed = false;

    bool idle() const { return readers.empty() && writers.empty() && pollers.empty(); }
    List<Op>& list_for(const Op& op);
    std::uint32_t wanted();
  };

  EpollHub();
  bool knows(int fd) const;
  bool has_room_for(int fd);
  Descriptor& descriptor(int fd);
  void begin(Op& op);
  void wait_for_events(Op& op);
  void arm_later(int fd, Descriptor& descriptor);
  void arm_all();
  void arm(int fd, Descriptor& descriptor);
  int control(int fd, Descriptor& descriptor, std::uint32_t events);
  void stop_waiting(int fd, Descriptor& descriptor);
  void forget(int fd);
  void refuse(Descriptor& descriptor, int error);
  void refuse_one(Op& op, int error);
  int poll_events(Instant until, Instant now);

  void serve(int fd, std::uint32_t events);
  void serve_list(List<Op>& list);
  void serve_pollers(List<Op>& list);
  bool serve_one(Op& op);
  bool serve_accept(Op& op);
  bool serve_recv(Op& op);

  int epoll_fd_;
  bool has_pwait2_ = true;
  std::uint64_t polls_ = 0;
  Instant polled_at_{};  // When epoll was asked last.
  int event_count_ = 0;
  std::array<epoll_event, kEvents> events_;
  std::vector<int> unarmed_;  // Descriptors whose operations have changed since the last wait().
  std::vector<std::unique_ptr<std::array<Descriptor, kBlock>>> descriptors_;
  std::unique_ptr<std::byte[]> buffer_;  // Where recv_multishot receives.
};

}  // namespace greenwsgi
