// queue.hpp - how a value goes from one that puts to one that gets, be they greens or native
// threads.
//
// A value goes straight to the getter that has waited longest, and a getter takes the item of the
// putter that has waited longest in with it (of a full priority queue the putter does that itself,
// because it runs Python code). So getters wait only while there is nothing, putters only while
// there is no room, and nobody overtakes. A getter that was handed a value and leaves by an
// exception hands it on, or back to the place it had, where it may be one too many for a while. A
// putter that leaves takes its item along; once that was taken, put() returns, and what was thrown
// waits.
//
// A rendezvous has no room: a put waits until a get takes. In the child of fork(2) a queue has the
// items it had, and nobody waits.
#pragma once

#include "src/module/arguments.hpp"
#include "src/module/queue_items.hpp"
#include "src/module/turns.hpp"
#include "src/py/links.hpp"

namespace greenwsgi::module {

/// The exceptions of the module queue, owned; filled at import.
struct QueueErrors {
  PyObject* empty = nullptr;
  PyObject* full = nullptr;
  PyObject* shut_down = nullptr;
};
extern QueueErrors queue_errors;

class Queue {
 public:
  /// `owner`: the object this is part of.
  Queue(PyObject* owner, Order order, bool rendezvous)
      : owner_(owner), rendezvous_(rendezvous), items_(order) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() { clear(); }

  /// False: a Python error is set. Switches when it waits.
  bool put(py::Ref item, const Patience& patience);
  /// Errand::take or look. Empty: a Python error is set. Switches when it waits.
  py::Ref get(Errand errand, const Patience& patience);
  /// An item is finished. False: all were.
  bool finish_one();
  /// Until all are finished. Not granted and not failed: the time is over. Switches when it waits.
  Waited join(const Patience& patience);
  void shut_down(bool immediate);

  /// Calls callback(owner) once, as soon as a get() would not wait, on the stack of whoever puts.
  /// False: a Python error is set, as of unlink().
  bool rawlink(PyObject* callback);
  bool unlink(PyObject* callback) { return links_.remove(callback); }

  std::size_t size() const { return items_.size(); }
  bool has_room();
  Py_ssize_t unfinished() const { return unfinished_; }
  bool is_shut() const { return shut_; }
  bool is_rendezvous() const { return rendezvous_; }
  Py_ssize_t getting() { return getters_.count(); }
  Py_ssize_t putting() { return putters_.count(); }
  Py_ssize_t maxsize() const { return maxsize_; }
  void set_maxsize(Py_ssize_t maxsize);

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(links_.list);
    return items_.traverse(visit, arg);
  }
  void clear() {
    Py_CLEAR(links_.list);
    items_.clear();
  }

 private:
  Py_ssize_t& rooms();
  enum class Did : unsigned char {
    it,
    nothing,  // It would have to wait.
    fail,     // A Python error is set.
  };

  Did put_now(py::Ref& item);
  Did get_now(Errand errand, py::Ref* item);
  void show(PyObject* item);
  void hand_over(Turn& taker, py::Ref item, std::uint64_t number);
  void hand_back(py::Ref item, std::uint64_t number);
  void let_in();
  void tell();
  void count_in();
  void finish(Py_ssize_t tasks);

  Py_ssize_t maxsize_ = 0;          // 0 or less: no bound.
  Py_ssize_t rooms_ = 0;            // Given to putters that have not run since.
  unsigned rooms_forks_ = 0;        // When that was so: in a child they never will.
  Py_ssize_t unfinished_ = 0;       // Put, and not finished yet.
  std::uint64_t numbers_used_ = 0;  // Of items, in the order of their coming.
  PyObject* const owner_;
  py::Links links_{};  // Who wants to know that there is something to get.
  const bool rendezvous_;
  bool shut_ = false;
  bool drained_ = false;  // Shut down at once: nothing may come back.
  Items items_;
  Turns getters_;
  Turns putters_;
  Turns joiners_;
};

}  // namespace greenwsgi::module
