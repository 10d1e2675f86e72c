#include "src/patch/hosts_file.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <unordered_map>

namespace greenwsgi::patch {

namespace {

constexpr off_t kMostBytes = 256 * 1024;  // Reading more would hold up the hub.
constexpr unsigned kIpv4 = 1, kIpv6 = 2;

// A small text file, read again when another one stands in its place.
class TextFile {
 public:
  explicit TextFile(const char* path) : path_(path) {}

  /// Has it changed since the last call? Then text() is what it holds now; nothing, if it cannot be
  /// read or is too large.
  bool refresh() {
    struct stat now {};
    if (::stat(path_, &now) != 0) now = {};
    const bool same = now.st_ino == last_.st_ino && now.st_size == last_.st_size &&
                      now.st_mtim.tv_sec == last_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == last_.st_mtim.tv_nsec;
    if (same && known_) return false;
    known_ = true;
    last_ = now;
    text_.clear();
    if (S_ISREG(now.st_mode) && now.st_size <= kMostBytes) read();
    return true;
  }
  std::string_view text() const { return text_; }

 private:
  void read() {
    const int fd = ::open(path_, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    text_.resize(static_cast<std::size_t>(last_.st_size));
    const ssize_t got = ::read(fd, text_.data(), text_.size());
    text_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    ::close(fd);
  }

  const char* path_;
  struct stat last_ {};
  bool known_ = false;
  std::string text_;
};

// Takes the first word off `line`; empty at its end or at a comment.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r#"));
  line.remove_prefix(word.size());
  return word;
}

template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return result;
}

unsigned family_of(std::string_view address) {
  const std::string text(address);
  unsigned char binary[sizeof(in6_addr)];
  if (inet_pton(AF_INET, text.c_str(), binary) == 1) return kIpv4;
  return inet_pton(AF_INET6, text.c_str(), binary) == 1 ? kIpv6 : 0;
}

// Is /etc/hosts what libc asks first? What it finds there ends the look-up.
bool files_come_first() {
  static TextFile file("/etc/nsswitch.conf");
  static bool first = false;
  if (!file.refresh()) return first;
  first = false;
  for_each_line(file.text(), [](std::string_view line) {
    const std::string_view database = next_word(line);
    if (database == "hosts:") first = next_word(line) == "files" && line.find('[') == line.npos;
  });
  return first;
}

// Of which families each name has addresses.
const std::unordered_map<std::string, unsigned>& names() {
  static TextFile file("/etc/hosts");
  static std::unordered_map<std::string, unsigned> families;
  if (!file.refresh()) return families;
  families.clear();
  for_each_line(file.text(), [](std::string_view line) {
    const unsigned family = family_of(next_word(line));
    if (family == 0) return;
    while (true) {
      const std::string_view name = next_word(line);
      if (name.empty()) return;
      families[lower(name)] |= family;
    }
  });
  return families;
}

}  // namespace

bool hosts_file_answers(std::string_view name, int family) {
  if (!files_come_first()) return false;
  const auto found = names().find(lower(name));
  if (found == names().end()) return false;
  const unsigned wanted = family == AF_UNSPEC  ? kIpv4 | kIpv6
                          : family == AF_INET  ? kIpv4
                          : family == AF_INET6 ? kIpv6
                                               : 0;
  return (found->second & wanted) != 0;
}

}  // namespace greenwsgi::patch
