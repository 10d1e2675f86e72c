#include "src/hub/hub_base.hpp"

#include <cerrno>

#include "greenwsgi/base/assert.hpp"
#include "src/hub/blocking.hpp"

namespace greenwsgi {

HubBase::HubBase(int eventfd_flags) : wake_event_(eventfd_flags), pool_(*this, run_blocking) {}

HubBase::~HubBase() {
  while (!done_.empty()) done_.pop_front();
}

void HubBase::take_on(Op& op) {
  GW_ASSERT(!op.in_flight);
  GW_ASSERT(!op.linked());
  GW_ASSERT(op.on_done != nullptr);
  op.in_flight = true;
  op.cancel_requested = false;
  op.hub_state = 0;
  op.hub_word = 0;
  ++in_flight_;
}

void HubBase::finish(Op& op, int result) {
  GW_ASSERT(op.in_flight);
  GW_ASSERT(in_flight_ > 0);
  if (op.linked()) op.unlink();
  if (op.hub_word > 0 && result < 0) result = 0;
  op.result = static_cast<int>(op.hub_word) + result;
  op.in_flight = false;
  --in_flight_;
  op.on_done(op);
}

void HubBase::finish_later(Op& op, int result) {
  op.result = result;
  op.hub_state = OpState::kDone;
  done_.push_back(op);
}

void HubBase::finish_all(HubBase& hub, List<Op>& ops) {
  while (!ops.empty()) {
    Op& op = ops.pop_front();
    hub.finish(op, op.result);
  }
}

void HubBase::finish_done() {
  if (done_.empty()) return;
  List<Op> done;  // What is done from here on has its turn in the next dispatch().
  done.splice_back(done_);
  finish_all(*this, done);
}

void HubBase::submit_to_pool(Op& op) {
  op.hub_state = OpState::kPool;
  if (!pool_.submit(op)) finish_later(op, -EAGAIN);
}

void HubBase::cancel_in_base(Op& op) {
  GW_ASSERT((op.hub_state & (OpState::kDone | OpState::kPool)) != 0);
  if ((op.hub_state & OpState::kPool) != 0 && pool_.cancel(op)) finish_later(op, -ECANCELED);
}

void HubBase::after_wake() {
  wake_event_.lower();
  List<Op> finished;
  pool_.take_finished(finished);
  finish_all(*this, finished);
}

}  // namespace greenwsgi
