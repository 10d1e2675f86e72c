// text_test.cpp - the byte classes and the few ways to read text, each against its plain
// definition.
#include "src/http/text.hpp"

#include <doctest/doctest.h>

#include <string>

#include "greenwsgi/http/request_parser.hpp"

namespace greenwsgi::http {
namespace {

TEST_CASE("find_control: finds the one control character wherever it stands") {
  // Longer than two of the 16-byte steps, so that each step and the rest is tried.
  for (std::size_t length = 0; length < 40; ++length) {
    std::string text(length, 'x');
    CHECK(find_control(text.data(), text.data() + length) == text.data() + length);
    for (std::size_t at = 0; at < length; ++at) {
      for (const char control : {'\0', '\t', '\n', '\x1f', '\x7f'}) {
        text[at] = control;
        CHECK(find_control(text.data(), text.data() + length) == text.data() + at);
      }
      text[at] = 'x';
    }
  }
}

TEST_CASE("find_control: a byte above 0x7f is no control character") {
  const std::string text = "\x80\x9f\xff 16 bytes or more \xe4";

  CHECK(find_control(text.data(), text.data() + text.size()) == text.data() + text.size());
}

TEST_CASE("classes_of: one bad byte marks the text, at any place") {
  for (std::size_t length = 1; length < 10; ++length) {
    CHECK((classes_of(std::string(length, 'a')) & kNotToken) == 0);
    for (std::size_t at = 0; at < length; ++at) {
      std::string text(length, 'a');
      text[at] = '(';
      CHECK((classes_of(text) & kNotToken) != 0);
    }
  }
  CHECK((classes_of("X_Y") & kUnderscore) != 0);
  CHECK((classes_of("X-Y") & kUnderscore) == 0);
}

TEST_CASE("equals_lower: letters in either case, and nothing that only looks alike") {
  CHECK(equals_lower("Keep-Alive", "keep-alive"));
  CHECK(equals_lower("CLOSE", "close"));
  CHECK_FALSE(equals_lower("close ", "close"));
  CHECK_FALSE(equals_lower("clos", "close"));
  CHECK_FALSE(equals_lower("keep_alive", "keep-alive"));
}

TEST_CASE("trim: takes spaces and tabs off both ends only") {
  CHECK(trim(" \t a b\t ") == "a b");
  CHECK(trim(" \t ") == "");
  CHECK(trim("\ra") == "\ra");
}

TEST_CASE("parse_decimal: digits that fit 63 bits, and nothing else") {
  CHECK(parse_decimal("0") == 0);
  CHECK(parse_decimal("007") == 7);
  CHECK(parse_decimal("9223372036854775807") == 9223372036854775807);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "1,1", "9223372036854775808"})
    CHECK(parse_decimal(text) == -1);
}

TEST_CASE("is_token: not empty, and no separators") {
  CHECK(is_token("X-Header_1~"));
  for (const char* text : {"", "a b", "a:", "\"a\"", "a\x80"}) CHECK_FALSE(is_token(text));
}

TEST_CASE("is_field_value: tabs and upper bytes may stand in it, line ends may not") {
  CHECK(is_field_value(""));
  CHECK(is_field_value("a\tb \xe4"));
  for (const char* text : {"a\rb", "a\nb", "a\tb\x7f"}) CHECK_FALSE(is_field_value(text));
  CHECK_FALSE(is_field_value(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace greenwsgi::http
