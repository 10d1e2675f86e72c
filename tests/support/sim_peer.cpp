// The far ends of SimHub's streams.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "greenwsgi/base/assert.hpp"
#include "tests/support/sim_hub.hpp"

namespace greenwsgi::testing {

SimPeer::~SimPeer() {
  close_now();
}

void SimPeer::sends(std::string_view bytes, Instant when) {
  hub_.at(when, [this, text = std::string(bytes)] { sends(text); });
}

void SimPeer::sends(std::string_view bytes) {
  GW_ASSERT(!close_when_sent_);
  to_send_ += bytes;
  pump();
}

void SimPeer::shuts_down(Instant when) {
  hub_.at(when, [this] {
    shut_down_ = true;
    pump();
  });
}

void SimPeer::closes(Instant when) {
  hub_.at(when, [this] {
    close_when_sent_ = true;
    pump();
  });
}

void SimPeer::stops_reading(Instant when) {
  hub_.at(when, [this] { reading_ = false; });
}

void SimPeer::reads_again(Instant when) {
  hub_.at(when, [this] { reading_ = true; });
}

const std::string& SimPeer::received() {
  pump();
  return received_;
}

bool SimPeer::saw_end() {
  pump();
  return saw_end_;
}

void SimPeer::close_now() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void SimPeer::pump() {
  if (fd_ < 0) return;
  char buffer[16384];
  while (reading_ && !saw_end_) {
    const ssize_t bytes = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (bytes < 0 && errno == EAGAIN) break;
    if (bytes <= 0) saw_end_ = true;
    if (bytes > 0) received_.append(buffer, static_cast<std::size_t>(bytes));
  }
  while (!to_send_.empty()) {
    const ssize_t bytes =
        ::send(fd_, to_send_.data(), to_send_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes < 0) to_send_.clear();  // The code has closed its end.
    if (bytes > 0) to_send_.erase(0, static_cast<std::size_t>(bytes));
  }
  if (close_when_sent_) return close_now();
  if (shut_down_) ::shutdown(fd_, SHUT_WR);
}

}  // namespace greenwsgi::testing
