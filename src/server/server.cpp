#include "greenwsgi/server/server.hpp"

#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

#include "greenwsgi/base/log.hpp"
#include "src/server/connection.hpp"
#include "src/server/impl.hpp"
#include "src/server/listener.hpp"

namespace greenwsgi::server {

namespace {

constexpr Duration kHousekeepingPause = std::chrono::seconds(1);
constexpr Duration kTrimPause = std::chrono::milliseconds(20);
constexpr std::size_t kStacksTrimmedAtOnce = 64;            // About 0.2 ms.
constexpr Duration kCrowdPause = std::chrono::seconds(10);  // Between two lines about it.
constexpr int kTimers = 3;                                  // Impl's own.
constexpr std::size_t kRefusalsMax = 1000;  // Above connections_max; then without a word.

struct RunWait : Wait {
  Server::Impl* impl;
  bool interrupted = false;
};

}  // namespace

Server::Impl::Impl(Scheduler& its_scheduler, Handler& its_handler, const Options& its_options)
    : scheduler(its_scheduler),
      handler(its_handler),
      options(its_options),
      housekeeping(*this, on_housekeeping),
      idle_sweep_(*this, on_idle_sweep),
      grace_(*this, on_grace_over) {
  for (int timer = 0; timer < kTimers; timer++) reserve_timer();
}

Server::Impl::~Impl() {
  stop_timers();
  for (int timer = 0; timer < kTimers; timer++) scheduler.release_timer();
}

void Server::Impl::reserve_timer() {
  if (!scheduler.reserve_timer()) throw std::bad_alloc();
}

void Server::Impl::stop_timers() {
  scheduler.stop(housekeeping);
  scheduler.stop(idle_sweep_);
  scheduler.stop(grace_);
}

void Server::Impl::on_accepted(int fd, const Listener& listener) {
  statistics.connections_accepted += 1;
  const bool too_many = statistics.connections_open - refused_open >= options.connections_max;
  Connection* connection = nullptr;
  if (!too_many || refused_open < kRefusalsMax) connection = Connection::make(*this, fd, listener);
  if (connection == nullptr) {
    ::close(fd);
    return;
  }
  statistics.connections_open += 1;
  connections.push_back(*connection);
  if (too_many) {
    refused_open += 1;
    tell_of_crowd();
    return connection->refuse();
  }
  connection->start();
  if (stopping) connection->close_if_idle();
}

void Server::Impl::tell_of_crowd() {
  const Instant now = scheduler.now();
  if (crowd_told_ != Instant::min() && now - crowd_told_ < kCrowdPause) return;
  crowd_told_ = now;
  log(LogLevel::warning, "%zu connections are open, as many as may be (connections_max): 503",
      options.connections_max);
}

void Server::Impl::on_closed(const Connection& connection) {
  statistics.connections_open -= 1;
  if (connection.is_one_too_many()) refused_open -= 1;
  connections_closing += 1;
}

void Server::Impl::on_freed() {
  connections_closing -= 1;
  wake_run_if_done();
}

void Server::Impl::on_listener_closed() {
  listeners_open -= 1;
  wake_run_if_done();
}

void Server::Impl::start() {
  if (std::exchange(started, true)) return;
  for (const auto& listener : listeners) listener->start();
  scheduler.start(housekeeping, scheduler.now() + kHousekeepingPause);
}

bool Server::Impl::done() const {
  if (!stopping || listeners_open > 0 || connections_closing > 0) return false;
  return connections.empty() || grace_over;
}

void Server::Impl::wake_run_if_done() {
  if (done() && runner != nullptr) scheduler.unpark(*std::exchange(runner, nullptr));
}

void Server::Impl::stop(Duration grace) {
  const Instant end = saturating_add(scheduler.now(), grace);
  if (end < grace_end_) {
    grace_end_ = end;
    scheduler.start(grace_, end);
  }
  if (stopping) return;
  start();  // Those who have knocked already are served, even before run().
  stopping = true;
  for (const auto& listener : listeners) listener->stop();
  // Not before the bytes that have come by now are looked at: they may be a request.
  scheduler.start(idle_sweep_, scheduler.now());
  scheduler.hub().wake();
}

void Server::Impl::on_housekeeping(Timer& timer) noexcept {
  Impl& self = static_cast<ServerTimer&>(timer).impl;
  const std::size_t trimmed = self.scheduler.stacks().trim(kStacksTrimmedAtOnce);
  const bool more = trimmed == kStacksTrimmedAtOnce;
  self.scheduler.start(timer, self.scheduler.now() + (more ? kTrimPause : kHousekeepingPause));
}

void Server::Impl::on_idle_sweep(Timer& timer) noexcept {
  Impl& self = static_cast<ServerTimer&>(timer).impl;
  self.connections.for_each([](Connection& connection) { connection.close_if_idle(); });
  self.wake_run_if_done();
}

void Server::Impl::on_grace_over(Timer& timer) noexcept {
  Impl& self = static_cast<ServerTimer&>(timer).impl;
  const std::size_t cut = self.statistics.requests_in_flight;
  if (cut > 0) log(LogLevel::warning, "the grace is over: %zu requests in flight are cut", cut);
  self.grace_over = true;
  self.connections.for_each([](Connection& connection) { connection.cut(); });
  self.wake_run_if_done();
}

// --- Server

Server::Server(Scheduler& scheduler, Handler& handler, const Options& options)
    : impl_(std::make_unique<Impl>(scheduler, handler, options)) {}

Server::~Server() {
  GW_ASSERT(impl_->runner == nullptr);
  // Requests that outlived the grace still stand on their fibers, with what they refer to.
  if (!impl_->connections.empty()) [[maybe_unused]]
    Impl* kept = impl_.release();
}

void Server::add_listener(int fd) {
  impl_->listeners.push_back(std::make_unique<Listener>(*impl_, fd));
}

void Server::set_access_log(void (*log)(const AccessRecord&, void*), void* argument) {
  impl_->access_log = log;
  impl_->access_log_argument = argument;
}

Status Server::run() {
  Impl& impl = *impl_;
  GW_ASSERT(impl.runner == nullptr);
  impl.start();
  RunWait wait{{"the server to stop",
                [](Wait& ended) noexcept {
                  auto& self = static_cast<RunWait&>(ended);
                  if (self.impl->runner == nullptr) return;
                  self.interrupted = true;
                  self.impl->scheduler.unpark(*std::exchange(self.impl->runner, nullptr));
                }},
               &impl};
  while (!impl.done()) {
    if (wait.interrupted) return Errno{ECANCELED};
    impl.runner = impl.scheduler.running();
    impl.scheduler.park(wait);
  }
  impl.stop_timers();
  return Done{};
}

void Server::stop(Duration grace) {
  impl_->stop(grace);
}

bool Server::stopping() const {
  return impl_->stopping;
}

const Statistics& Server::statistics() const {
  return impl_->statistics;
}

}  // namespace greenwsgi::server
