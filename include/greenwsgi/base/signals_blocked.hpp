// signals_blocked.hpp - a scope in which the calling thread takes no signals. A thread that is
// started in it inherits that: signals are the main thread's, and one that takes none at any moment
// is not where a signal goes that the program has blocked on its own threads.
#pragma once

#include <pthread.h>

#include <csignal>

namespace greenwsgi {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace greenwsgi
