// smoke_main.cpp - runs a fuzz target without libFuzzer: over the unit tests' corpus, and over what
// one edit makes of each message. With a directory, writes the corpus there, as libFuzzer's seeds.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/unit/http/corpus_bodies.hpp"
#include "tests/unit/http/corpus_fields.hpp"
#include "tests/unit/http/corpus_lines.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace greenwsgi::http;

std::vector<std::string> inputs() {
  std::vector<std::string> all;
  for (const Case& line : kLines) all.push_back(message_of_line(line.bytes));
  for (const Case& fields : kFields) all.push_back(message_of_fields(fields.bytes) + "hello");
  for (const Case& body : kBodies) all.push_back(message_of_chunks(body.bytes));
  // For fuzz_response: flags, a length, a status, names and values.
  for (const char flags : {'\x06', '\x07', '\x04', '\x02', '\x0e', '\x0c'}) {
    for (const char* status : {"200 OK", "204 No Content", "304 Not Modified", "100 Continue"}) {
      all.push_back(std::string(1, flags) + "\x05" + status +
                    "\xff"
                    "A\xff"
                    "b\xff"
                    "Content-Length\xff"
                    "7\xff"
                    "Date\xff"
                    "d\xff"
                    "Server\xff"
                    "s");
      all.push_back(std::string(1, flags) + "\x05" + status +
                    "\xff"
                    "Connection\xff"
                    "x");
    }
  }
  return all;
}

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

/// Every byte removed, doubled, or replaced by one that framing cares about.
void run_edits(const std::string& bytes) {
  using namespace std::string_view_literals;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string edited = bytes;
    run(edited.erase(at, 1));
    edited = bytes;
    run(edited.insert(at, 1, bytes[at]));
    for (const char c : "\r\n\t :;,\0a1\xff"sv) {
      edited = bytes;
      edited[at] = c;
      run(edited);
      edited = bytes;
      run(edited.insert(at, 1, c));
    }
  }
}

bool write_seeds(const std::string& directory) {
  int number = 0;
  for (const std::string& bytes : inputs()) {
    std::FILE* const file = std::fopen((directory + "/" + std::to_string(number++)).c_str(), "wb");
    if (file == nullptr) return false;
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    if (std::fclose(file) != 0 || !written) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return write_seeds(argv[1]) ? 0 : 1;
  for (const std::string& bytes : inputs()) {
    run(bytes);
    run_edits(bytes);
  }
  return 0;
}
