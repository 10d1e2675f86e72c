// The pool of threads: starts them on demand, bounds them, lets them go.
#include "src/hub/thread_pool.hpp"

#include <condition_variable>
#include <mutex>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// Work that stays inside until the test opens the gate.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;
  bool open = false;

  void pass() {
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    changed.wait(lock, [this] { return open; });
  }
  bool wait_for_inside(int wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return inside >= wanted; });
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};

Gate* gate = nullptr;

void through_the_gate(Op& op) noexcept {
  gate->pass();
  op.result = 1;
}

struct Pool {
  Gate own_gate;
  SimHub hub;
  std::vector<std::unique_ptr<TestOp>> ops;  // Outlive the pool that borrows them.
  ThreadPool pool{hub, through_the_gate, 3, 20ms};

  Pool() { gate = &own_gate; }
  TestOp& submit() {
    TestOp& op = *ops.emplace_back(std::make_unique<TestOp>(Op::Kind::offload, -1));
    REQUIRE(pool.submit(op));
    return op;
  }
  std::size_t take_finished() {
    List<Op> finished;
    pool.take_finished(finished);
    std::size_t count = 0;
    for (; !finished.empty(); ++count) finished.pop_front();
    return count;
  }
};

}  // namespace

TEST_CASE("thread pool: as many threads as there is work, up to the maximum") {
  Pool rig;
  CHECK(rig.pool.threads() == 0);

  rig.submit();
  CHECK(rig.own_gate.wait_for_inside(1));
  CHECK(rig.pool.threads() == 1);
  for (int i = 0; i < 9; ++i) rig.submit();
  CHECK(rig.own_gate.wait_for_inside(3));
  CHECK(rig.pool.threads() == 3);

  rig.own_gate.let_go();
  std::size_t finished = 0;
  for (const Instant give_up = Clock::now() + 10s; finished < 10 && Clock::now() < give_up;)
    finished += rig.take_finished();
  CHECK(finished == 10);
}

TEST_CASE("thread pool: threads without work end") {
  Pool rig;
  rig.own_gate.let_go();
  rig.submit();

  const Instant give_up = Clock::now() + 10s;
  while (rig.pool.threads() > 0 && Clock::now() < give_up) ::sched_yield();

  CHECK(rig.pool.threads() == 0);
  CHECK(rig.take_finished() == 1);
}

TEST_CASE("thread pool: queued work can be taken back, running work cannot") {
  Pool rig;
  for (int i = 0; i < 3; ++i) rig.submit();
  CHECK(rig.own_gate.wait_for_inside(3));
  TestOp& queued = rig.submit();

  CHECK(rig.pool.cancel(queued));
  CHECK_FALSE(rig.pool.cancel(queued));
  CHECK_FALSE(rig.pool.cancel(*rig.ops[0]));

  CHECK_FALSE(queued.linked());
  rig.own_gate.let_go();
}

TEST_CASE("thread pool: its end waits for what is running and forgets what is queued") {
  auto rig = std::make_unique<Pool>();
  for (int i = 0; i < 5; ++i) rig->submit();
  CHECK(rig->own_gate.wait_for_inside(3));

  rig->own_gate.let_go();
  auto ops = std::move(rig->ops);
  rig.reset();

  CHECK(std::count_if(ops.begin(), ops.end(), [](auto& op) { return op->result == 1; }) >= 3);
  CHECK(std::none_of(ops.begin(), ops.end(), [](auto& op) { return op->linked(); }));
}
