// Intrusive lists: order, removal while visiting, and the checks on misuse.
#include "greenwsgi/base/list.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace greenwsgi;

namespace {

struct Letter : ListNode {
  explicit Letter(char letter) : value(letter) {}
  char value;
};

std::string text_of(List<Letter>& list) {
  std::string text;
  list.for_each([&](Letter& letter) { text += letter.value; });
  return text;
}

void drain(List<Letter>& list) {
  while (!list.empty()) list.pop_front();
}

}  // namespace

TEST_CASE("list: elements come out in the order of push_back, push_front goes before them") {
  Letter a('a'), b('b'), c('c');
  List<Letter> list;

  list.push_back(b);
  list.push_back(c);
  list.push_front(a);

  CHECK(text_of(list) == "abc");
  CHECK(&list.pop_front() == &a);
  CHECK_FALSE(a.linked());
  drain(list);
}

TEST_CASE("list: an element unlinks itself from the middle and may join another list") {
  Letter a('a'), b('b'), c('c');
  List<Letter> list, other;
  for (Letter* letter : {&a, &b, &c}) list.push_back(*letter);

  b.unlink();
  other.push_back(b);

  CHECK(text_of(list) == "ac");
  CHECK(text_of(other) == "b");
  drain(list);
  drain(other);
}

TEST_CASE("list: splice_back moves everything and leaves the other empty and usable") {
  Letter a('a'), b('b'), c('c'), d('d');
  List<Letter> list, other;
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);

  list.splice_back(other);
  list.splice_back(other);  // Nothing more to move.
  other.push_back(d);

  CHECK(text_of(list) == "abc");
  CHECK(text_of(other) == "d");
  drain(list);
  drain(other);
}

TEST_CASE("list: for_each lets the visitor unlink what it is given") {
  Letter a('a'), b('b'), c('c');
  List<Letter> list;
  for (Letter* letter : {&a, &b, &c}) list.push_back(*letter);

  list.for_each([](Letter& letter) {
    if (letter.value != 'b') letter.unlink();
  });

  CHECK(text_of(list) == "b");
  drain(list);
}
