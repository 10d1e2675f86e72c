#include "src/module/queue.hpp"

#include <algorithm>

namespace greenwsgi::module {

using py::Ref;

QueueErrors queue_errors;

// --- What goes on between those who put and those who get. Runs no Python code unless it says so.

bool Queue::has_room() {
  if (rendezvous_) return false;
  return maxsize_ <= 0 || Py_ssize_t(items_.size()) + rooms() < maxsize_;
}

Py_ssize_t& Queue::rooms() {
  if (rooms_forks_ != py::forks.count) rooms_ = 0;
  rooms_forks_ = py::forks.count;
  return rooms_;
}

// One more has got into the queue, or through it.
void Queue::count_in() {
  numbers_used_ += 1;
  unfinished_ += 1;
}

void Queue::finish(Py_ssize_t tasks) {
  unfinished_ -= std::min(tasks, unfinished_);
  if (unfinished_ == 0) joiners_.grant_all();
}

// To those at the front who only look.
void Queue::show(PyObject* item) {
  while (!getters_.empty() && getters_.front().errand == Errand::look) {
    Turn& looker = getters_.front();
    looker.item = Ref::share(item);
    getters_.grant(looker);
  }
}

void Queue::hand_over(Turn& taker, Ref item, std::uint64_t number) {
  show(item.get());
  taker.item = std::move(item);
  taker.number = number;
  getters_.grant(taker);
}

// There is something to get. Keeps the current exception; what it calls may run Python code, but
// does not wait.
void Queue::tell() {
  if (links_.empty()) return;
  const py::SavedError current;
  links_.tell(owner_);
}

bool Queue::rawlink(PyObject* callback) {
  if (!links_.add(callback)) return false;
  if (items_.size() > 0 || shut_ || (rendezvous_ && !putters_.empty())) tell();
  return true;
}

// There is room: those who wait for it have their turn. Keeps the current exception.
void Queue::let_in() {
  if (putters_.empty()) return;
  const py::SavedError current;
  while (!putters_.empty() && has_room()) {
    Turn& putter = putters_.front();
    if (!items_.sorts() && items_.push(putter.item, numbers_used_) == Items::Done::yes) {
      count_in();
    } else {
      PyErr_Clear();  // No memory, which the putter will find out by itself.
      rooms() += 1;
    }
    putters_.grant(putter);
  }
}

// A getter could not use what it was handed. May run Python code, and keeps the current exception.
void Queue::hand_back(Ref item, std::uint64_t number) {
  const py::SavedError current;
  for (;;) {
    if (drained_) return finish(1);
    if (Turn* taker = getters_.first(Errand::take); taker != nullptr)
      return hand_over(*taker, std::move(item), number);
    const Items::Done done = items_.push_again(item, number);
    if (done == Items::Done::changed) continue;
    if (done == Items::Done::no) return PyErr_WriteUnraisable(item.get());
    show(items_.first());
    return tell();
  }
}

// Puts without waiting; takes `item` over when it did. May run Python code.
Queue::Did Queue::put_now(Ref& item) {
  for (;;) {
    if (shut_) {
      PyErr_SetNone(queue_errors.shut_down);
      return Did::fail;
    }
    Turn* taker = getters_.first(Errand::take);
    if (taker == nullptr && !has_room()) return Did::nothing;
    if (taker != nullptr) {
      hand_over(*taker, std::move(item), numbers_used_);
    } else {
      const Items::Done done = items_.push(item, numbers_used_);
      if (done == Items::Done::changed) continue;
      if (done == Items::Done::no) return Did::fail;
      show(items_.first());
      count_in();
      tell();
      return Did::it;
    }
    count_in();
    return Did::it;
  }
}

// Gets, or looks, without waiting. May run Python code.
Queue::Did Queue::get_now(Errand errand, Ref* item) {
  while (items_.size() > 0) {
    if (errand == Errand::look) {
      *item = Ref::share(items_.first());
      return Did::it;
    }
    std::uint64_t number = 0;
    const Items::Done done = items_.pop(item, &number);
    if (done == Items::Done::changed) continue;
    if (done == Items::Done::no) return Did::fail;
    let_in();
    return Did::it;
  }
  if (shut_) {
    PyErr_SetNone(queue_errors.shut_down);
    return Did::fail;
  }
  if (!rendezvous_ || putters_.empty()) return Did::nothing;
  Turn& putter = putters_.front();
  if (errand == Errand::look) {
    *item = Ref::share(putter.item.get());
    return Did::it;
  }
  *item = std::move(putter.item);
  count_in();
  putters_.grant(putter);
  return Did::it;
}

// --- Waiting

bool Queue::put(Ref item, const Patience& patience) {
  for (bool had_room = false;; had_room = true) {
    const Did did = put_now(item);
    if (did != Did::nothing) {
      // Its room is free when it failed, and when a getter that waited has its item.
      if (had_room) let_in();
      return did == Did::it;
    }
    Waited waited;
    if (patience.waits) {
      if (rendezvous_) {
        show(item.get());
        tell();
        // Which may have run Python code, and let other threads run.
        if (const Did now = put_now(item); now != Did::nothing) return now == Did::it;
      }
      waited = putters_.wait(Errand::give, patience.deadline, "queue", std::move(item));
      if (waited.granted && !waited.item) return true;
      item = std::move(waited.item);
    }
    // What is granted but not taken is room, unless it is the end.
    const bool has_one = waited.granted && !shut_;
    if (has_one && rooms() > 0) rooms() -= 1;
    if (waited.failed) {
      if (has_one) let_in();
      return false;
    }
    if (!waited.granted) {
      PyErr_SetNone(queue_errors.full);
      return false;
    }
  }
}

Ref Queue::get(Errand errand, const Patience& patience) {
  Ref item;
  const Did did = get_now(errand, &item);
  if (did != Did::nothing) return item;
  Waited waited;
  if (patience.waits) waited = getters_.wait(errand, patience.deadline, "queue");
  if (waited.failed) {
    if (waited.item && errand == Errand::take) hand_back(std::move(waited.item), waited.number);
    return {};
  }
  if (!waited.item) PyErr_SetNone(waited.granted ? queue_errors.shut_down : queue_errors.empty);
  return std::move(waited.item);
}

Waited Queue::join(const Patience& patience) {
  if (unfinished_ == 0) return {.granted = true};
  if (!patience.waits) return {};
  return joiners_.wait(Errand::take, patience.deadline, "the end of tasks");
}

// --- The rest

bool Queue::finish_one() {
  if (unfinished_ == 0) return false;
  finish(1);
  return true;
}

void Queue::shut_down(bool immediate) {
  shut_ = true;
  rooms_ = 0;
  items_.touch();
  putters_.grant_all();
  if (items_.size() == 0) getters_.grant_all();
  if (immediate) {
    drained_ = true;
    finish(Py_ssize_t(items_.size()));
    items_.clear();
  }
  tell();
}

void Queue::set_maxsize(Py_ssize_t maxsize) {
  maxsize_ = maxsize;
  let_in();
}

}  // namespace greenwsgi::module
