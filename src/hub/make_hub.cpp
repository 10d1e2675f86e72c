// make_hub.cpp - which hub, and why: the one place that knows both.
#include <sys/utsname.h>

#include <cstdlib>
#include <string_view>

#include "greenwsgi/hub/hub.hpp"
#include "src/hub/epoll_hub.hpp"
#include "src/hub/uring_hub.hpp"

namespace greenwsgi {

namespace {

/// "Linux 6.18".
std::string kernel() {
  utsname names{};
  ::uname(&names);
  const std::string_view release = names.release;
  const std::size_t minor = release.find('.') + 1;
  return "Linux " + std::string(release.substr(0, release.find_first_not_of("0123456789", minor)));
}

}  // namespace

HubMade make_hub(HubChoice wanted) {
  std::string uring_refusal = "it was asked for";
  if (wanted != HubChoice::epoll) {
    std::unique_ptr<UringHub> hub;
    uring_refusal = UringHub::make(hub);
    if (hub != nullptr) return {std::move(hub), "io_uring (" + kernel() + ")"};
    if (wanted == HubChoice::uring)
      return {nullptr, "io_uring was asked for, but " + uring_refusal +
                           "; without GREENWSGI_HUB=uring, epoll is taken instead"};
  }
  std::unique_ptr<EpollHub> hub;
  const std::string epoll_refusal = EpollHub::make(hub);
  if (hub == nullptr) return {nullptr, "there is no hub: " + epoll_refusal};
  return {std::move(hub), "epoll: " + uring_refusal};
}

bool hub_choice_from_environment(HubChoice* choice, std::string* bad) {
  const char* value = std::getenv("GREENWSGI_HUB");
  const std::string_view text = value != nullptr ? value : "auto";
  *choice = text == "uring"   ? HubChoice::uring
            : text == "epoll" ? HubChoice::epoll
                              : HubChoice::automatic;
  if (text == "auto" || text == "" || *choice != HubChoice::automatic) return true;
  *bad = text;
  return false;
}

}  // namespace greenwsgi
