from __future__ import annotations

import os
from dataclasses import fields

import pytest

from green.cli.binding import TcpAddress, UnixAddress
from green.cli.errors import UsageError
from green.cli.options import ServeOptions, option_fields, resolve

APP = {"app": "app:app"}


def test_defaults_are_safe_and_complete() -> None:
    options = resolve(APP, {})

    assert options.bind == (TcpAddress("127.0.0.1", 8000),)
    assert options.workers == 1
    assert options.header_timeout == 30.0
    assert options.header_bytes == 32 * 1024
    assert options.body_bytes == 1024**3
    assert options.keep_alive_timeout == 75.0
    assert options.access_log is None
    assert options.no_patch is False


def test_every_field_but_the_application_is_an_option() -> None:
    assert {each.name for each in fields(ServeOptions)} == {"app", *dict(option_fields())}


def test_the_command_line_beats_the_environment() -> None:
    environ = {"GREENWSGI_GRACE": "1s", "GREENWSGI_BACKLOG": "7"}

    options = resolve({**APP, "grace": "2s"}, environ)

    assert (options.grace, options.backlog) == (2.0, 7)


def test_the_environment_may_name_the_application() -> None:
    assert resolve({}, {"GREENWSGI_APP": "shop"}).app == "shop"


def test_no_application_is_a_sentence_that_says_how_to_name_one() -> None:
    with pytest.raises(UsageError, match="name the application to serve, such as module:app"):
        resolve({"app": None}, {})


def test_repeatable_options_come_from_the_environment_as_words() -> None:
    environ = {
        "GREENWSGI_BIND": ":80 unix:/run/x.sock",
        "GREENWSGI_ENV": "A=1 'B=two words'",
    }

    options = resolve(APP, environ)

    assert options.bind == (TcpAddress(None, 80), UnixAddress("/run/x.sock"))
    assert options.env == (("A", "1"), ("B", "two words"))


def test_a_repeatable_option_that_is_empty_in_the_environment_is_not_there() -> None:
    options = resolve(APP, {"GREENWSGI_BIND": "", "GREENWSGI_ENV": ""})

    assert options.bind == resolve(APP, {}).bind
    assert options.env == ()


def test_a_stack_too_small_to_run_anything_is_refused() -> None:
    with pytest.raises(UsageError, match="--stack-size needs at least 64k"):
        resolve({**APP, "stack_size": "4k"}, {})


def test_port_means_every_interface_unless_an_address_is_given() -> None:
    assert resolve(APP, {"PORT": "5000"}).bind == (TcpAddress(None, 5000),)
    typed = {**APP, "bind": ["127.0.0.1:1"]}
    assert resolve(typed, {"PORT": "5000"}).bind == (TcpAddress("127.0.0.1", 1),)


def test_web_concurrency_is_the_default_of_workers() -> None:
    assert resolve(APP, {"WEB_CONCURRENCY": "3"}).workers == 3
    assert resolve(APP, {"WEB_CONCURRENCY": "3", "GREENWSGI_WORKERS": "2"}).workers == 2
    assert resolve(APP, {"WEB_CONCURRENCY": ""}).workers == 1


def test_auto_workers_are_one_a_core_that_this_process_may_use() -> None:
    assert resolve({**APP, "workers": "auto"}, {}).workers == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("typed", "environ", "sentence"),
    [
        ({"grace": "soon"}, {}, "--grace needs a time"),
        ({}, {"GREENWSGI_GRACE": "soon"}, "GREENWSGI_GRACE needs a time"),
        ({}, {"WEB_CONCURRENCY": "lots"}, "WEB_CONCURRENCY needs a number of processes"),
        ({}, {"PORT": "http"}, "PORT needs HOST:PORT"),
        ({"bind": ["localhost"]}, {}, "--bind needs HOST:PORT"),
        ({"env": ["A"]}, {}, "--env needs KEY=VALUE"),
        ({"workers": "0"}, {}, "--workers needs a number"),
        ({"unix_mode": "999"}, {}, "--unix-mode needs file permissions"),
        ({"access_log": "apache"}, {}, "--access-log is one of off, common, combined, json"),
        ({"header_timeout": "0"}, {}, "--header-timeout needs a time longer than 0"),
        ({"server_header": "a\r\nb"}, {}, "--server-header needs printable"),
        ({}, {"GREENWSGI_NO_PATCH": "maybe"}, "GREENWSGI_NO_PATCH needs 1 or 0"),
        ({}, {"GREENWSGI_ENV": "'A=1"}, "GREENWSGI_ENV No closing quotation"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_its_source(
    typed: dict[str, object], environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve({**APP, **typed}, environ)

    assert str(caught.value).startswith(sentence)
    assert caught.value.status == 2


def test_a_flag_is_also_an_environment_variable() -> None:
    assert resolve(APP, {"GREENWSGI_NO_PATCH": "1"}).no_patch is True
    assert resolve({**APP, "no_patch": "1"}, {"GREENWSGI_NO_PATCH": "0"}).no_patch is True
