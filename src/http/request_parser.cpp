// request_parser.cpp - the order of events of one request: empty lines, head, body, end.
//
// Heads are read by HeadReader, chunked bodies by ChunkDecoder; here is what comes after what, and
// the recycling of HeadReaders, which a connection holds only while a request is in progress.
#include "greenwsgi/http/request_parser.hpp"

#include <algorithm>
#include <new>

#include "greenwsgi/base/assert.hpp"
#include "head_reader.hpp"

namespace greenwsgi::http {

namespace {

/// RFC 9112, 2.2 has servers skip "at least one".
constexpr std::uint8_t kEmptyLinesMax = 4;

/// Memory of States that are not in use, a list a thread: one comes and goes with every request.
class FreeList {
 public:
  FreeList() = default;
  FreeList(const FreeList&) = delete;
  FreeList& operator=(const FreeList&) = delete;
  ~FreeList() {
    while (first_ != nullptr) ::operator delete(pop());
    count_ = kMax;  // What is freed after this goes back to the system.
  }

  void* pop() {
    Node* const node = first_;
    if (node == nullptr) return nullptr;
    first_ = node->next;
    --count_;
    return node;
  }
  bool push(void* memory) {
    if (count_ == kMax) return false;
    first_ = new (memory) Node{first_};
    ++count_;
    return true;
  }

 private:
  struct Node {
    Node* next;
  };
  static constexpr std::size_t kMax = 64;
  Node* first_ = nullptr;
  std::size_t count_ = 0;
};

thread_local FreeList free_list;

}  // namespace

struct RequestParser::State {
  explicit State(const RequestLimits& limits) : reader(limits) {}

  static void* operator new(std::size_t bytes, const std::nothrow_t& nothrow) noexcept {
    void* const memory = free_list.pop();
    return memory != nullptr ? memory : ::operator new(bytes, nothrow);
  }
  static void operator delete(void* memory) {
    if (!free_list.push(memory)) ::operator delete(memory);
  }

  HeadReader reader;
};

RequestParser::RequestParser(const RequestLimits& limits) : limits_(limits) {}

RequestParser::~RequestParser() = default;

RequestParser::Step RequestParser::next(std::span<const std::byte> input) {
  std::size_t used = 0;
  switch (at_) {
    case At::start:
      if (!skip_empty_lines(input, used)) return refuse(400, "an empty line too many", used);
      if (used == input.size()) return {Event::need_more, used};
      if (state_ == nullptr) {
        state_.reset(new (std::nothrow) State(limits_));
        if (state_ == nullptr) {
          return refuse(kNoMemoryForHead.status, kNoMemoryForHead.reason, used);
        }
      } else {
        state_->reader.restart();
      }
      at_ = At::head;
      return read_head(input, used);
    case At::head:
      return read_head(input, 0);
    case At::sized_body:
      return read_sized_body(input);
    case At::chunked_body:
      return read_chunked_body(input);
    case At::end:
      at_ = At::start;
      empty_lines_ = 0;
      return {Event::end, 0};
    case At::failed:
      break;
  }
  return {Event::error, 0};
}

/// False: what is there is not an empty line, or there are too many of them.
bool RequestParser::skip_empty_lines(std::span<const std::byte> input, std::size_t& used) {
  for (; used < input.size(); ++used) {
    const char c = static_cast<char>(input[used]);
    if (!after_cr_ && c != '\r') return true;
    if (!after_cr_) {
      after_cr_ = true;
      continue;
    }
    after_cr_ = false;
    if (c != '\n') return false;
    if (++empty_lines_ > kEmptyLinesMax) return false;
  }
  return true;
}

RequestParser::Step RequestParser::read_head(std::span<const std::byte> input, std::size_t used) {
  HeadReader& reader = state_->reader;
  const HeadReader::Read read = reader.read(input.subspan(used));
  used += read.consumed;
  if (read.progress == HeadReader::Progress::need_more) return {Event::need_more, used};
  if (read.progress == HeadReader::Progress::refused) {
    return refuse(reader.refusal().status, reader.refusal().reason, used);
  }

  const RequestHead& head = reader.head();
  at_ = At::end;
  if (head.chunked) {
    chunks_ = {};
    at_ = At::chunked_body;
  } else if (head.content_length > 0) {
    sized_left_ = static_cast<std::uint64_t>(head.content_length);
    at_ = At::sized_body;
  }
  return {Event::head, used};
}

RequestParser::Step RequestParser::read_sized_body(std::span<const std::byte> input) {
  if (input.empty()) return {Event::need_more, 0};
  const std::size_t bytes = std::min<std::uint64_t>(sized_left_, input.size());
  sized_left_ -= bytes;
  if (sized_left_ == 0) at_ = At::end;
  return {Event::body, bytes, input.first(bytes)};
}

RequestParser::Step RequestParser::read_chunked_body(std::span<const std::byte> input) {
  const ChunkDecoder::Step step = chunks_.next(input, limits_);
  switch (step.found) {
    case ChunkDecoder::Found::need_more:
      return {Event::need_more, step.consumed};
    case ChunkDecoder::Found::data:
      return {Event::body, step.consumed, step.data};
    case ChunkDecoder::Found::end:
      at_ = At::start;
      empty_lines_ = 0;
      return {Event::end, step.consumed};
    case ChunkDecoder::Found::error:
      break;
  }
  return refuse(chunks_.status(), chunks_.reason(), step.consumed);
}

RequestParser::Step RequestParser::refuse(int status, const char* reason, std::size_t used) {
  GW_ASSERT(status != 0);
  at_ = At::failed;
  status_ = status;
  reason_ = reason;
  return {Event::error, used};
}

const RequestHead& RequestParser::head() const {
  GW_ASSERT(state_ != nullptr);
  return state_->reader.head();
}

const RequestHead* RequestParser::request_line() const {
  return state_ != nullptr ? state_->reader.request_line() : nullptr;
}

void RequestParser::release_head() {
  GW_ASSERT(at_ != At::head);
  state_.reset();
}

}  // namespace greenwsgi::http
