// message_fields.hpp - the few header fields that say how the message itself is to be read.
//
// Host, Content-Length, Transfer-Encoding, Connection and Expect decide where the request ends and
// whether another may follow. Whatever RFC 9112 lets two readers understand differently is refused,
// even where a rule for picking one exists. All other fields pass unseen.
#pragma once

#include <cstdint>
#include <string_view>

#include "greenwsgi/http/request_parser.hpp"
#include "text.hpp"

namespace greenwsgi::http {

class MessageFields {
 public:
  /// `field` has a valid name and a trimmed value.
  Refusal take(const Header& field);
  /// All fields were taken: judges them together and fills the head's framing members.
  Refusal finish(const RequestLimits& limits, RequestHead& head) const;

 private:
  Refusal take_host(std::string_view value);
  Refusal take_content_length(std::string_view value);
  Refusal take_transfer_encoding(std::string_view value);
  Refusal take_expect(std::string_view value);
  void take_connection(std::string_view value);

  std::int64_t content_length_ = -1;
  bool host_ = false;
  bool chunked_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  bool expect_continue_ = false;
};

}  // namespace greenwsgi::http
