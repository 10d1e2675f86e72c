// list.hpp - intrusive doubly linked lists: membership without allocation, removal in O(1).
//
// An element derives from ListNode and is in at most one list at a time. The list owns nothing; an
// element must be unlinked before it is destroyed, which the node's destructor checks.
#pragma once

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { GW_ASSERT(!linked()); }

  bool linked() const { return next_ != nullptr; }

  void unlink() {
    GW_ASSERT(linked());
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

/// A list of T, where T derives (publicly) from ListNode.
template <class T>
class List {
 public:
  List() { clear_links(); }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    GW_ASSERT(empty());
    head_.next_ = head_.previous_ = nullptr;  // So that the sentinel's own destructor agrees.
  }

  bool empty() const { return head_.next_ == &head_; }
  /// The first element; only when !empty().
  T& front() {
    GW_ASSERT(!empty());
    return *static_cast<T*>(head_.next_);
  }

  void push_back(T& element) { insert_before(head_, element); }
  void push_front(T& element) { insert_before(*head_.next_, element); }
  T& pop_front() {
    T& first = front();
    first.unlink();
    return first;
  }

  /// Moves all of `other` behind the elements of this list. O(1).
  void splice_back(List& other) {
    if (other.empty()) return;
    ListNode* first = other.head_.next_;
    ListNode* last = other.head_.previous_;
    other.clear_links();
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }

  /// Calls `visit(T&)` for each element; `visit` may unlink (or destroy) the element it is given.
  template <class Visit>
  void for_each(Visit visit) {
    for (ListNode* node = head_.next_; node != &head_;) {
      ListNode* next = node->next_;
      visit(*static_cast<T*>(node));
      node = next;
    }
  }

 private:
  void clear_links() { head_.next_ = head_.previous_ = &head_; }
  static void insert_before(ListNode& place, ListNode& element) {
    GW_ASSERT(!element.linked());
    element.next_ = &place;
    element.previous_ = place.previous_;
    place.previous_->next_ = &element;
    place.previous_ = &element;
  }

  ListNode head_;
};

}  // namespace greenwsgi
