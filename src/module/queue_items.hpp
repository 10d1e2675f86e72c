// queue_items.hpp - what is in a queue: a ring of items, read as a line, a stack or a heap.
//
// Items have numbers in the order of their coming. A line and a stack are sorted by them, so an
// item that comes back finds its old place. A heap compares items, which runs Python code, during
// which others may put and take: it only looks, and changes something when nobody else has since.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/py/ref.hpp"

namespace greenwsgi::module {

enum class Order : unsigned char { line, stack, heap };

class Items {
 public:
  enum class Done : unsigned char {
    yes,
    no,       // A Python error is set; nothing has changed.
    changed,  // Others were quicker: look at everything again.
  };

  explicit Items(Order order) : order_(order) {}
  Items(const Items&) = delete;
  Items& operator=(const Items&) = delete;
  ~Items() { clear(); }

  std::size_t size() const { return size_; }
  /// Do push() and pop() run Python code?
  bool sorts() const { return order_ == Order::heap; }
  /// What pop() would take, borrowed; only when size() > 0.
  PyObject* first() const { return at(order_ == Order::stack ? size_ - 1 : 0).item; }

  /// Takes `item` over when it is done.
  Done push(py::Ref& item, std::uint64_t number);
  /// Only when size() > 0.
  Done pop(py::Ref* item, std::uint64_t* number);
  /// Puts back what was popped: an item that cannot be compared goes to the end, and the error is
  /// reported.
  Done push_again(py::Ref& item, std::uint64_t number);

  /// Something else of the queue has changed that its users look at before they push or pop.
  void touch() { version_ += 1; }
  /// Lets go of all items, after it is empty.
  void clear();
  int traverse(visitproc visit, void* argument) const;

 private:
  struct Entry {
    PyObject* item;  // Owned.
    std::uint64_t number;
  };

  Entry& at(std::size_t index) const { return ring_[(head_ + index) & (capacity_ - 1)]; }
  bool reserve_one();
  bool resize(std::size_t capacity);
  void shrink();
  Done is_less(PyObject* left, PyObject* right, bool* less) const;
  Done find_above(PyObject* item, std::size_t* place) const;
  Done find_below(std::size_t* place) const;
  void sift_in(Entry entry, std::size_t place);
  Entry take_root(std::size_t place);
  Done push_unsorted(py::Ref& item, std::uint64_t number);

  Entry* ring_ = nullptr;
  std::size_t capacity_ = 0;  // 0 or a power of two.
  std::size_t head_ = 0;      // A heap's is 0.
  std::size_t size_ = 0;
  std::uint64_t version_ = 0;
  Order order_;
};

}  // namespace greenwsgi::module
