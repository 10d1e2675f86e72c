// corpus_bodies.hpp - what follows the head of a chunked POST. Outcome: the body in quotes when the
// request ended at the last byte, "..." when more is wanted, or a status.
#pragma once

#include "corpus.hpp"

namespace greenwsgi::http {

inline constexpr Case kBodies[] = {
    {"no chunk gives an empty body", "0\r\n\r\n"sv, "\"\""},
    {"a chunk is read", "5\r\nhello\r\n0\r\n\r\n"sv, "\"hello\""},
    {"chunks are joined", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"sv, "\"abc\""},
    {"a size is hexadecimal, in either case", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"sv,
     "\"01234567890123456789\""},
    {"zeros may lead a size", "005\r\nhello\r\n000\r\n\r\n"sv, "\"hello\""},
    {"data may look like framing", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"sv, "\"\r\n0\r\n\r\n\""},
    {"data may hold any byte", "4\r\n\0\r\n\xff\r\n0\r\n\r\n"sv, "\"\0\r\n\xff\""sv},
    {"a chunk extension is skipped", "1;a=b\r\nx\r\n0;c\r\n\r\n"sv, "\"x\""},
    {"a quoted chunk extension is skipped", "1;a=\"b;c\"\r\nx\r\n0\r\n\r\n"sv, "\"x\""},
    {"a body without its last chunk wants more", "5\r\nhello\r\n"sv, "..."},
    {"a body without its last line wants more", "0\r\n"sv, "..."},
    {"trailers are dropped", "0\r\nA: b\r\nContent-Length: 7\r\n\r\n"sv, "\"\""},
    {"an empty trailer is dropped", "0\r\nA:\r\n\r\n"sv, "\"\""},
    {"a trailer may hold obsolete text", "0\r\nA: \xe9\r\n\r\n"sv, "\"\""},
    // Sizes.
    {"an empty size is refused", "\r\n\r\n"sv, "400"},
    {"a size with 0x is refused", "0x3\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a plus is refused", "+3\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a minus is refused", "-3\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with an underscore is refused", "0_3\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a space in front is refused", " 3\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a space behind is refused", "3 \r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a tab behind is refused", "3\t\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a space in front of an extension is refused", "3 ;a\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with an h is refused", "3h\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size with a letter beyond f is refused", "g\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a decimal point in a size is refused", "3.0\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"an extension without a size is refused", ";a\r\n\r\n"sv, "400"},
    {"a size of 2^64 + 3 is refused", "10000000000000003\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size of 2^64 - 1 is refused", "ffffffffffffffff\r\nabc"sv, "400"},
    {"sizes whose sum overflows are refused", "1\r\na\r\n7fffffffffffffff\r\na"sv, "400"},
    {"a size behind seventeen zeros is refused", "000000000000000003\r\nabc\r\n0\r\n\r\n"sv, "400"},
    // Line ends.
    {"a size that ends in LF is refused", "3\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a size that ends in CR is refused", "3\rabc\r\n0\r\n\r\n"sv, "400"},
    {"CR CR LF behind a size is refused", "3\r\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"data that ends in LF is refused", "3\r\nabc\n0\r\n\r\n"sv, "400"},
    {"data that ends in CR is refused", "3\r\nabc\r0\r\n\r\n"sv, "400"},
    {"data that ends in CR and another byte is refused", "3\r\nabc\rX0\r\n\r\n"sv, "400"},
    {"data longer than its size is refused", "3\r\nabcd\r\n0\r\n\r\n"sv, "400"},
    {"data shorter than its size is refused", "4\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a last line that is LF is refused", "0\r\n\n"sv, "400"},
    {"a last line that is CR and more is refused", "0\r\n\rX"sv, "400"},
    {"a last chunk that ends in LF is refused", "0\n\r\n"sv, "400"},
    {"an LF in an extension is refused", "3;a\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a bare CR in an extension is refused", "3;a\rb\r\nabc\r\n0\r\n\r\n"sv, "400"},
    {"a NUL in an extension is refused", "3;\0\r\nabc\r\n0\r\n\r\n"sv, "400"},
    // Trailers.
    {"a trailer that ends in LF is refused", "0\r\nA: b\n\r\n"sv, "400"},
    {"a trailer with a bare CR is refused", "0\r\nA: b\rc\r\n\r\n"sv, "400"},
    {"a trailer with a NUL is refused", "0\r\nA: \0\r\n\r\n"sv, "400"},
    {"a folded trailer is refused", "0\r\nA: b\r\n c\r\n\r\n"sv, "400"},
    {"a trailer without a colon is refused", "0\r\nA\r\n\r\n"sv, "400"},
    {"a trailer without a name is refused", "0\r\n: b\r\n\r\n"sv, "400"},
    {"a space in front of a trailer's colon is refused", "0\r\nA : b\r\n\r\n"sv, "400"},
    {"a second request in a trailer's place is refused", "0\r\nGET / HTTP/1.1\r\n\r\n"sv, "400"},
};

}  // namespace greenwsgi::http
