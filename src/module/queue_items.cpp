#include "src/module/queue_items.hpp"

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

constexpr std::size_t kCapacityLeast = 8;
constexpr std::size_t kCapacityKept = 64;  // Below this a ring does not shrink.

}  // namespace

// --- The ring

bool Items::resize(std::size_t capacity) {
  GW_ASSERT(capacity >= size_);
  auto* ring = static_cast<Entry*>(PyMem_Malloc(capacity * sizeof(Entry)));
  if (ring == nullptr) return false;
  for (std::size_t i = 0; i < size_; i++) ring[i] = at(i);
  PyMem_Free(ring_);
  ring_ = ring;
  capacity_ = capacity;
  head_ = 0;
  return true;
}

bool Items::reserve_one() {
  if (size_ < capacity_ || resize(capacity_ == 0 ? kCapacityLeast : capacity_ * 2)) return true;
  PyErr_NoMemory();
  return false;
}

void Items::shrink() {
  if (capacity_ > kCapacityKept && size_ <= capacity_ / 8) resize(capacity_ / 2);  // Or it stays.
}

void Items::clear() {
  Entry* ring = std::exchange(ring_, nullptr);
  const std::size_t mask = std::exchange(capacity_, 0) - 1;
  const std::size_t head = std::exchange(head_, 0);
  const std::size_t size = std::exchange(size_, 0);
  version_ += 1;
  for (std::size_t i = 0; i < size; i++) Py_DECREF(ring[(head + i) & mask].item);
  PyMem_Free(ring);
}

int Items::traverse(visitproc visit, void* arg) const {
  for (std::size_t i = 0; i < size_; i++) Py_VISIT(at(i).item);
  return 0;
}

// --- The heap: each entry is no less than its parent, at (place - 1) / 2.

Items::Done Items::is_less(PyObject* left, PyObject* right, bool* less) const {
  const std::uint64_t version = version_;
  int answer = 0;
  {
    const Ref kept_left = Ref::share(left), kept_right = Ref::share(right);
    answer = PyObject_RichCompareBool(left, right, Py_LT);
  }
  if (answer < 0) return Done::no;
  *less = answer != 0;
  return version == version_ ? Done::yes : Done::changed;
}

// The place for a new item.
Items::Done Items::find_above(PyObject* item, std::size_t* place) const {
  *place = size_;
  while (*place > 0) {
    const std::size_t parent = (*place - 1) / 2;
    bool less = false;
    const Done done = is_less(item, at(parent).item, &less);
    if (done != Done::yes) return done;
    if (!less) break;
    *place = parent;
  }
  return Done::yes;
}

// The place for the last entry, when the root is taken out.
Items::Done Items::find_below(std::size_t* place) const {
  const std::size_t end = size_ - 1;
  *place = 0;
  for (std::size_t child = 1; child < end; child = *place * 2 + 1) {
    bool less = true;
    if (child + 1 < end) {
      const Done done = is_less(at(child).item, at(child + 1).item, &less);
      if (done != Done::yes) return done;
      if (!less) child += 1;
    }
    const Done done = is_less(at(child).item, at(end).item, &less);
    if (done != Done::yes) return done;
    if (!less) break;
    *place = child;
  }
  return Done::yes;
}

void Items::sift_in(Entry entry, std::size_t place) {
  std::size_t hole = size_++;
  for (; hole > place; hole = (hole - 1) / 2) at(hole) = at((hole - 1) / 2);
  at(hole) = entry;
}

// The last entry goes to `place`, and all on the way from there to the root go up by one.
Items::Entry Items::take_root(std::size_t place) {
  Entry carried = at(size_ - 1);
  size_ -= 1;
  if (size_ == 0) return carried;
  for (;; place = (place - 1) / 2) {
    std::swap(carried, at(place));
    if (place == 0) return carried;
  }
}

// --- All three

Items::Done Items::push(Ref& item, std::uint64_t number) {
  std::size_t place = size_;
  if (order_ == Order::heap) {
    const Done done = find_above(item.get(), &place);
    if (done != Done::yes) return done;
  }
  if (!reserve_one()) return Done::no;
  sift_in({item.release(), number}, place);
  version_ += 1;
  return Done::yes;
}

Items::Done Items::pop(Ref* item, std::uint64_t* number) {
  GW_ASSERT(size_ > 0);
  Entry taken{};
  if (order_ == Order::heap) {
    std::size_t place = 0;
    const Done done = find_below(&place);
    if (done != Done::yes) return done;
    taken = take_root(place);
  } else if (order_ == Order::line) {
    taken = at(0);
    head_ = (head_ + 1) & (capacity_ - 1);
    size_ -= 1;
  } else {
    taken = at(size_ - 1);
    size_ -= 1;
  }
  version_ += 1;
  shrink();
  *item = Ref::steal(taken.item);
  *number = taken.number;
  return Done::yes;
}

Items::Done Items::push_again(Ref& item, std::uint64_t number) {
  if (order_ == Order::heap) {
    const Done done = push(item, number);
    return done == Done::no ? push_unsorted(item, number) : done;
  }
  if (!reserve_one()) return Done::no;
  version_ += 1;
  head_ = (head_ - 1) & (capacity_ - 1);
  size_ += 1;
  std::size_t place = 0;
  for (; place + 1 < size_ && at(place + 1).number < number; place++) at(place) = at(place + 1);
  at(place) = {item.release(), number};
  return Done::yes;
}

// Pushing has failed, and an error is set.
Items::Done Items::push_unsorted(Ref& item, std::uint64_t number) {
  const Ref kept = Ref::share(item.get());
  // When nothing is left to compare it with, others may wait for it already.
  const Done done = size_ > 0 ? Done::yes : Done::changed;
  if (done == Done::yes) {
    if (!reserve_one()) return Done::no;
    sift_in({item.release(), number}, size_);
    version_ += 1;
  }
  PyErr_WriteUnraisable(kept.get());
  return done;
}

}  // namespace greenwsgi::module
