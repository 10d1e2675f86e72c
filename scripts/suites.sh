# suites.sh - what ./dev test, lint, format, fuzz and sanitize run; a part of ./dev, not a program.
#
# A suite is a function suite_NAME. It may say that it cannot run here by `skip REASON`; every other
# failure is one. Suites go on after a failure, and the table at the end says what happened.

default_suites='project unit python epoll real load wheel'
more_suites='asan leaks behaviours stress drivers cpython lint sanitize fuzz'

run_suites() {
  [ $# != 0 ] || set -- $default_suites
  for suite; do
    case " $default_suites $more_suites " in
      *" $suite "*) ;;
      *) stop "there is no suite '$suite'; there are: $default_suites $more_suites" ;;
    esac
  done
  table='' failed=0
  for suite; do
    say "suite $suite"
    began=$(date +%s)
    skipped=$build/.skipped.$$
    # A subshell of its own, not a condition: `set -e` must hold inside.
    set +e
    (set -e; "suite_$suite")
    status=$?
    set -e
    result=passed
    if [ -e "$skipped" ]; then
      result="skipped: $(cat "$skipped")"
      rm "$skipped"
    elif [ $status != 0 ]; then
      result=FAILED
      failed=1
    fi
    table="$table$(printf '%-10s %4d s  %s' "$suite" $(($(date +%s) - began)) "$result")
"
  done
  printf '\n%s' "$table"
  return $failed
}

skip() {
  say "skipped: $*"
  mkdir -p "$build"
  echo "$*" >"$skipped"
  exit 0
}

# pytest_on DIRECTORY [options]: the package is the built one, never the source directory; in the
# interpreters that tests start as well.
pytest_on() {
  PYTHONSAFEPATH=1 "$venv/bin/python" -m pytest -q "$@"
}

# pytest_in_halves [options]: what lies in tests/python itself, two at a time; the options are for
# the first half.
pytest_in_halves() {
  pytest_on tests/python/test_[a-o]*.py "$@" &
  first=$!
  failed=0
  pytest_on tests/python/test_[p-z]*.py || failed=1
  wait $first || failed=1
  return $failed
}

suite_project() {
  need test
  "$venv/bin/python" scripts/check_project.py
  "$venv/bin/python" scripts/check_headers.py
}

suite_unit() {
  build_all
  meson test -C "$build" --suite unit --print-errorlogs --quiet
}

# Can the hub $1 run here? The reason it cannot is the runtime's own.
hub_or_skip() {
  case $1 in
    uring | epoll) ;;
    *) stop "GREENWSGI_HUB=$1: tests run on uring or epoll" ;;
  esac
  reason=$(GREENWSGI_HUB=$1 "$venv/bin/python" -P -c 'from green import _core; _core.hub_reason()' 2>&1) ||
    skip "hub $1: $(echo "$reason" | tail -n 1)"
}

suite_python() {
  build_package
  need test
  hub_or_skip "${GREENWSGI_HUB:-uring}"
  GREENWSGI_HUB=${GREENWSGI_HUB:-uring} pytest_on tests/python
}

suite_epoll() {
  build_package
  need test
  hub_or_skip epoll
  GREENWSGI_HUB=epoll pytest_on tests/python
}

suite_real() {
  build_package
  need test
  need real
  # Three hundred megabytes for one test: only where they are asked for, or there already.
  [ -z "${INSTALL_BROWSER:-}" ] || command -v chromedriver >/dev/null ||
    install $(cat tests/real/debian-packages)
  pytest_on tests/real -rs
}

# Tests whose server is not there are skipped, and say so. Two hundred megabytes of them are
# installed only where they are asked for.
suite_drivers() {
  build_package
  [ -z "${INSTALL_SERVERS:-}" ] || has_servers || install $(cat tests/drivers/debian-packages)
  need test
  need drivers
  ! pkg-config --exists libmariadb || need mysqlclient  # It has no wheels.
  pytest_on tests/drivers -rs
}

has_servers() {
  for package in $(cat tests/drivers/debian-packages); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || return 1
  done
}

# What users of green threads suffer from, each a program of its own; BEHAVIOURS_FULL=1 for all the
# cycles that docs/behaviours.md tells of.
suite_behaviours() {
  build_package
  need test
  hub_or_skip "${GREENWSGI_HUB:-uring}"
  GREENWSGI_HUB=${GREENWSGI_HUB:-uring} pytest_on tests/behaviours -rs
}

# Scenarios led by dice; a failure tells its seed. STRESS_SEED=n repeats one, STRESS_SEEDS=n runs so
# many, STRESS_TESTS=word chooses tests by name.
suite_stress() {
  build_package
  need test
  hub_or_skip "${GREENWSGI_HUB:-uring}"
  GREENWSGI_HUB=${GREENWSGI_HUB:-uring} pytest_on tests/stress -k "${STRESS_TESTS:-test}"
}

suite_load() {
  build_package
  need test
  pytest_on tests/load -rs
}

suite_wheel() {
  need build
  need test
  "$venv/bin/python" scripts/check_wheel.py
}

has_cpython_tests() { "$venv/bin/python" -c 'import test.test_socket' 2>/dev/null; }

# CPython's own tests, which distributions package by themselves.
suite_cpython() {
  build_package
  has_cpython_tests || [ "$(cat "$venv/.home")" != /usr ] || install "libpython${version%.*}-testsuite"
  has_cpython_tests || skip "this Python has no test package"
  # Without it hundreds of them fail, and some hang, as they are.
  "$venv/bin/python" -c 'import socket; socket.gethostbyname("localhost")' 2>/dev/null ||
    skip 'this machine does not know the name localhost, which they use'
  "$venv/bin/python" -P tests/cpython/run.py --out "$build/cpython-tests"
}

# The Python tests over an extension module with ASan, LSan and UBSan, two at a time: five minutes.
# ASAN_TESTS="tests/python/test_x.py -k word" names other tests than all. The interpreter knows
# nothing of sanitizers, so the runtime is loaded first; libstdc++ with it, or it would not find the
# real __cxa_throw; and before them what makes forks safe among sanitizers.
# PYTHONMALLOC: else ASan sees CPython's arenas only. Reports go to files, or tests that read their
# program's output would swallow them.
suite_asan() {
  configure_sanitized
  need test
  failed=0
  run_quietly ninja -C "$sanitized" package tests/support/forks_under_asan.so
  export GREENWSGI_HUB="${GREENWSGI_HUB:-uring}" PYTHONMALLOC=malloc PYTHONPATH="$sanitized"
  rm -f "$sanitized"/report.*
  ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
  export ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0:log_path=$sanitized/report"
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  LD_PRELOAD="$sanitized/tests/support/forks_under_asan.so $(g++ -print-file-name=libasan.so)"
  LD_PRELOAD="$LD_PRELOAD $(g++ -print-file-name=libstdc++.so)"
  export LD_PRELOAD
  "$venv/bin/python" -P -c '' 2>/dev/null || {
    say 'LeakSanitizer cannot look at a process here: leaks are left out'
    export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
    rm -f "$sanitized"/report.*
  }
  "$venv/bin/python" -P -c 'from green import _core'  # No hub is a reason to skip, a fault is none.
  hub_or_skip "$GREENWSGI_HUB"
  if [ -n "${ASAN_TESTS:-}" ]; then
    pytest_on $ASAN_TESTS || failed=1
  else
    pytest_in_halves tests/python/*/ || failed=1
  fi
  ! cat "$sanitized"/report.* 2>/dev/null || failed=1
  return $failed
}

# The Python tests but those of servers, which tests/load has, each of them repeated: what grows with
# every repetition is a leak (tests/support_py/leaks.py). LEAKS says how often a suspect is repeated,
# LEAKS_TESTS="tests/python/test_x.py -k word" names other tests than all.
suite_leaks() {
  build_package
  need test
  hub_or_skip "${GREENWSGI_HUB:-uring}"
  export GREENWSGI_HUB="${GREENWSGI_HUB:-uring}" LEAKS="${LEAKS:-20}"
  if [ -n "${LEAKS_TESTS:-}" ]; then
    pytest_on $LEAKS_TESTS
  else
    pytest_in_halves
  fi
}

suite_lint() { lint; }
suite_sanitize() { sanitize; }
suite_fuzz() { fuzz "${FUZZ_SECONDS:-60}"; }

cpp_files() { find include src tests bench -path bench/out -prune -o -name '*.[ch]pp' -print; }

# The rooms below Python. Each release of clang-tidy finds something else, so only the one whose
# findings are none is asked: Debian 12's, which has its package of that name.
tidy() {
  case $(clang-tidy --version 2>/dev/null) in
    *' version 14.'*) ;;
    *)
      say 'clang-tidy 14 is not here: its checks are left out'
      return ;;
  esac
  find src/base src/hub src/fiber src/io src/http src/server -name '*.cpp' |
    xargs -n 4 -P 2 clang-tidy --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option \
      2>/dev/null
}

# Every tool has its say before the suite fails.
lint() {
  build_package
  need test
  need lint
  complaints=0
  cpp_files | xargs clang-format --dry-run -Werror || complaints=1
  ruff format --check --quiet . || complaints=1
  ruff check --quiet . || complaints=1
  mypy || complaints=1
  "$venv/bin/python" -P -m mypy.stubtest green._core --mypy-config-file pyproject.toml ||
    complaints=1
  tidy || complaints=1
  return $complaints
}

format() {
  need lint
  cpp_files | xargs clang-format -i
  ruff format --quiet .
  ruff check --quiet --fix .
}

# The build of C++ tests and package that sanitize and suite_asan share.
configure_sanitized() {
  need build
  sanitized=$build-sanitized
  [ -e "$sanitized/build.ninja" ] ||
    run_quietly meson setup "$sanitized" -Dtests=true -Db_lto=false --buildtype=debugoptimized \
      -Db_sanitize=address,undefined -Db_lundef=false --python.bytecompile=-1
}

sanitize() {
  configure_sanitized
  ninja -C "$sanitized" --quiet
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    meson test -C "$sanitized" --suite unit --print-errorlogs --quiet --timeout-multiplier 4
}

can_fuzz() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address -x c++ - -o "$root/build/.fuzz" 2>/dev/null
}

fuzz() {
  [ -e tests/fuzz/run ] || stop 'tests/fuzz/run does not exist'
  need build
  command -v clang++ >/dev/null || install clang
  can_fuzz || install "libclang-rt-$(clang++ -dumpversion | cut -d . -f 1)-dev"
  tests/fuzz/run "${1:-60}"
}
