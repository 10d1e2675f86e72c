// When multishot receives are looked at, and which of them have ended. What the kernel really loses
// is in uring_hub_test.cpp.
#include "src/hub/lost_ends.hpp"

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr Instant kNow{1000s};

struct Receives {
  std::vector<Ends> ends;
  std::vector<std::unique_ptr<TestOp>> ops;

  explicit Receives(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ends.push_back(stream_pair());
      ops.push_back(std::make_unique<TestOp>(Op::Kind::recv_multishot, ends[i].a));
    }
  }
};

std::size_t take_all(List<Op>& ops) {
  std::size_t count = 0;
  for (; !ops.empty(); ++count) ops.pop_front();
  return count;
}

}  // namespace

TEST_CASE("lost ends: a look is due some time after the first bytes, and never without any") {
  LostEnds lost;
  CHECK(lost.due() == kNever);
  Receives two(2);

  lost.watch(*two.ops[0], kNow);
  lost.watch(*two.ops[1], kNow + 1s);
  CHECK(lost.due() == kNow + LostEnds::kLookAfter);

  two.ops[0]->unlink();
  two.ops[1]->unlink();
  CHECK(lost.due() == kNever);
}

TEST_CASE("lost ends: a look finds who has ended, and forgets the others") {
  LostEnds lost;
  Receives receives(4);
  for (auto& op : receives.ops) lost.watch(*op, kNow);
  receives.ends[1].close_b();
  ::shutdown(receives.ends[2].b, SHUT_WR);
  put(receives.ends[3].b, "x");  // Bytes are no end.

  List<Op> ended;
  lost.look(kNow, ended);

  CHECK(lost.due() == kNever);
  CHECK_FALSE(receives.ops[0]->linked());
  CHECK(&ended.pop_front() == receives.ops[1].get());
  CHECK(&ended.pop_front() == receives.ops[2].get());
  CHECK(ended.empty());
}

TEST_CASE("lost ends: a look at many takes several goes, each of them due at once") {
  LostEnds lost;
  Receives receives(2 * LostEnds::kLookAtOnce + 1);
  for (auto& op : receives.ops) lost.watch(*op, kNow);
  for (Ends& each : receives.ends) each.close_b();
  const Instant later = kNow + LostEnds::kLookAfter;

  List<Op> ended;
  lost.look(later, ended);
  CHECK(take_all(ended) == LostEnds::kLookAtOnce);
  CHECK(lost.due() <= later);
  lost.look(later, ended);
  CHECK(take_all(ended) == LostEnds::kLookAtOnce);
  lost.look(later, ended);
  CHECK(take_all(ended) == 1);
  CHECK(lost.due() == kNever);
}

TEST_CASE("lost ends: a look that the kernel refuses is made again later") {
  LostEnds lost;
  Receives receives(2);
  for (auto& op : receives.ops) lost.watch(*op, kNow);
  receives.ends[1].close_b();
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit one = before;
  one.rlim_cur = 1;  // poll(2) takes no more than that.

  List<Op> ended;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &one) == 0);
  lost.look(kNow + 1s, ended);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);

  CHECK(ended.empty());
  CHECK(lost.due() == kNow + 1s + LostEnds::kLookAfter);
  lost.look(lost.due(), ended);
  CHECK(take_all(ended) == 1);
  CHECK(lost.due() == kNever);
}
