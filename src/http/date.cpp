// date.cpp - the Date field's value, made once a second and thread.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/http/response_head.hpp"

namespace greenwsgi::http {

namespace {

constexpr std::size_t kDateBytes = 29;

struct DateCache {
  std::time_t second = -1;
  char text[kDateBytes + 1] = {};
};

constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

[[gnu::cold, gnu::noinline]] void render(std::time_t second, DateCache& cache) {
  std::tm tm{};
  const bool known = gmtime_r(&second, &tm) != nullptr;
  GW_ASSERT(known);
  // The remainders tell the compiler the widths.
  const auto digits = [](int value, int range) { return static_cast<unsigned>(value % range); };
  char text[64];
  const int bytes = std::snprintf(text, sizeof text, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                                  kDays[tm.tm_wday], digits(tm.tm_mday, 100), month_name(tm.tm_mon),
                                  digits(tm.tm_year + 1900, 10000), digits(tm.tm_hour, 100),
                                  digits(tm.tm_min, 100), digits(tm.tm_sec, 100));
  GW_ASSERT(bytes == static_cast<int>(kDateBytes));
  std::memcpy(cache.text, text, kDateBytes);
  cache.second = second;
}

}  // namespace

const char* month_name(int month) {
  return kMonths[month];
}

std::string_view http_date() {
  static thread_local DateCache cache;
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != cache.second) render(now.tv_sec, cache);
  return {cache.text, kDateBytes};
}

}  // namespace greenwsgi::http
