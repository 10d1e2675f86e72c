// request_line.hpp - METHOD SP TARGET SP VERSION (RFC 9112, 3), and the authority inside a target.
//
// Exactly one space between the three: what else a lenient reader takes for a request line is where
// two of them disagree. Whether the method is one that the server knows is llhttp's to say.
#pragma once

#include <string_view>

#include "greenwsgi/http/request_parser.hpp"
#include "text.hpp"

namespace greenwsgi::http {

/// `line` has no control characters but HTAB and no line end. Fills method, target, path, query,
/// authority and version_minor.
Refusal parse_request_line(std::string_view line, RequestHead& head);

/// uri-host [":" port], the host not empty: a DNS name, an IPv4 address, an IPv6 one in brackets.
bool is_host(std::string_view text);

}  // namespace greenwsgi::http
