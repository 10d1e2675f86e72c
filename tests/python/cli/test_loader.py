from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from green.cli import loader
from green.cli.errors import UsageError

APP = "def app(environ, start_response):\n    return [b'app']\n"
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(path: str, text: str = APP) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write_file


def refusal(spec: str) -> str:
    with pytest.raises(UsageError) as caught:
        loader.load(spec)
    return str(caught.value)


def test_a_name_in_a_module_of_the_working_directory(write: Write) -> None:
    write("site1.py")

    assert loader.load("site1:app") is sys.modules["site1"].app


def test_a_module_alone_means_its_app_else_its_application(write: Write) -> None:
    write("both.py", APP + "application = len\n")
    write("one.py", "def application(environ, start_response): ...\n")

    assert loader.load("both") is sys.modules["both"].app
    assert loader.load("one") is sys.modules["one"].application


def test_a_factory_is_called_with_its_literal_arguments(write: Write) -> None:
    write(
        "shop.py",
        "def create(*args, **named):\n"
        "    def app(environ, start_response): ...\n"
        "    app.made_from = args, named\n"
        "    return app\n",
    )

    app = loader.load("shop:create('a:b', [1, 2], debug=True)")

    assert app.made_from == (("a:b", [1, 2]), {"debug": True})


def test_an_attribute_of_an_object_is_reached_by_dots(write: Write) -> None:
    write("deep.py", "class holder:\n    @staticmethod\n    def app(e, s): ...\n")

    assert loader.load("deep:holder.app") is sys.modules["deep"].holder.app


def test_a_file_is_imported_with_its_directory_on_the_path(write: Write) -> None:
    write("sub/helper1.py", "VALUE = 5\n")
    write("sub/main1.py", "import helper1\n" + APP)

    assert loader.load("sub/main1.py:app") is sys.modules["main1"].app


def test_a_file_in_a_package_is_imported_as_its_part(write: Write) -> None:
    write("outer/pack1/__init__.py", "")
    write("outer/pack1/other.py", "VALUE = 5\n")
    write("outer/pack1/web.py", "from .other import VALUE\n" + APP)

    assert loader.load("outer/pack1/web.py") is sys.modules["pack1.web"].app


def test_a_file_whose_name_is_no_identifier_is_imported_all_the_same(write: Write) -> None:
    write("my-app.py")

    assert loader.load("my-app.py:app")(None, None) == [b"app"]


@pytest.mark.parametrize(
    "spec", ["project", "project/mysite/wsgi.py", "project/mysite/wsgi.py:application"]
)
def test_a_django_project_is_its_wsgi_module(write: Write, spec: str) -> None:
    write("project/manage.py", "")
    write("project/mysite/__init__.py", "")
    write("project/mysite/settings.py", "VALUE = 5\n")
    write("project/mysite/wsgi.py", "from mysite.settings import VALUE\napplication = max\n")

    assert loader.load(spec) is max


@pytest.mark.parametrize("spec", [".", "mysite", "mysite.wsgi", "mysite/wsgi.py"])
def test_a_django_project_is_found_from_inside(write: Write, spec: str) -> None:
    write("manage.py", "")
    write("mysite/__init__.py", "")
    write("mysite/wsgi.py", "application = max\n")

    assert loader.load(spec) is max


def test_a_package_with_an_app_of_its_own_is_no_directory(write: Write) -> None:
    write("flaskr/__init__.py", APP)
    write("flaskr/wsgi.py", "raise RuntimeError\n")

    assert loader.load("flaskr") is sys.modules["flaskr"].app


def test_a_directory_with_two_applications_is_ambiguous(write: Write) -> None:
    write("d/a/wsgi.py")
    write("d/b/wsgi.py")

    assert refusal("d") == "'d' has d/a/wsgi.py and d/b/wsgi.py: name the one that you mean"


def test_a_directory_without_an_application_says_what_was_looked_for(write: Write) -> None:
    write("empty/readme.txt", "")

    assert refusal("empty").startswith("'empty' is a directory without a wsgi.py or app.py")


def test_a_missing_module_suggests_a_near_name(write: Write) -> None:
    write("shopping.py")

    said = refusal("shoping:app")

    assert said.startswith("there is no module 'shoping' in ")
    assert said.endswith("; did you mean 'shopping'?")


def test_a_missing_submodule_suggests_a_near_name(write: Write) -> None:
    write("pack2/__init__.py", "")
    write("pack2/views.py")

    assert refusal("pack2.view:app").endswith("; did you mean 'pack2.views'?")


def test_a_dot_where_a_colon_belongs_is_recognised(write: Write) -> None:
    write("web2.py")

    assert refusal("web2.app").endswith(": 'web2' is a module; did you mean 'web2:app'?")


def test_a_missing_file_suggests_a_near_name(write: Write) -> None:
    write("web3.py")

    assert refusal("wbe3.py:app") == "there is no file 'wbe3.py'; did you mean 'web3.py'?"
    assert (
        refusal("no/where.py")
        == "there is no file 'no/where.py'; there is no directory 'no' either"
    )


def test_a_missing_attribute_suggests_a_near_name(write: Write) -> None:
    write("web4.py", "application1 = len\n")

    assert refusal("web4:aplication1") == (
        "web4 has no 'aplication1'; did you mean 'application1'?"
    )


def test_a_module_without_the_usual_names_suggests_its_factory(write: Write) -> None:
    write("web5.py", "def create_app(): ...\n")
    write("web6.py", "def handle(environ, start_response): ...\n")

    assert refusal("web5").endswith("name the application, such as web5:create_app()")
    assert refusal("web6").endswith("name the application, such as web6:handle")


def test_what_is_not_callable_is_no_application(write: Write) -> None:
    write("web7.py", "app = 'text'\nodd = 3\n")

    assert refusal("web7") == "web7:app is no application: it is a str, not callable"
    assert refusal("web7:odd") == "web7:odd is no application: it is an int, not callable"


def test_a_factory_that_is_not_called_is_recognised(write: Write) -> None:
    write("web8.py", "def make(): ...\n")

    assert refusal("web8:make").endswith("if it makes the application, write 'web8:make()'")


def test_an_asgi_application_is_recognised(write: Write) -> None:
    write(
        "web9.py",
        "async def app(scope, receive, send): ...\n"
        "class Made:\n    async def __call__(self, scope, receive, send): ...\n"
        "made = Made()\n",
    )

    assert "is an ASGI application" in refusal("web9")
    assert "is an ASGI application" in refusal("web9:made")


@pytest.mark.parametrize("target", ["a b", "app[0]", "f(x)", "f(**{})", "f()()", "1", "lambda: 1"])
def test_a_target_is_a_name_or_a_call_with_literals(write: Write, target: str) -> None:
    write("web10.py", "def f(*args): ...\napp = [f]\n")

    assert "is neither a name nor a call with literal arguments" in refusal(f"web10:{target}")


@pytest.mark.parametrize("spec", ["", ":app", "web:", "1web:app", "web-1:app"])
def test_what_names_nothing_is_refused(spec: str) -> None:
    assert "write module:app or path/to/file.py:app" in refusal(spec)


def test_a_file_that_another_module_hides_is_refused(write: Write) -> None:
    write("types.py")

    assert "Python knows another module 'types'" in refusal("types.py:app")


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("def inner():\n    import no_such_module_x\ninner()\n", "ModuleNotFoundError"),
        ("raise ValueError('broken')\n", "ValueError"),
        ("def broken(:\n", "SyntaxError"),
        ("import sys\nsys.exit(3)\n", "SystemExit"),
        ("import broken1\nimport broken1.nothing\n", "ModuleNotFoundError"),
    ],
)
def test_the_application_s_own_error_is_shown_without_our_frames(
    write: Write, text: str, raised: str
) -> None:
    write("broken1.py", text)

    with pytest.raises(loader.ApplicationFailed) as caught:
        loader.load("broken1:app")

    assert caught.value.status == 1
    assert str(caught.value) == f"importing broken1 failed with {raised}, see above"
    assert "broken1.py" in caught.value.detail
    assert "loader.py" not in caught.value.detail
    assert "importlib" not in caught.value.detail


def test_an_error_in_a_factory_is_the_application_s(write: Write) -> None:
    write("broken2.py", "def make():\n    raise KeyError('setting')\n")

    with pytest.raises(loader.ApplicationFailed) as caught:
        loader.load("broken2:make()")

    assert str(caught.value) == "calling broken2:make() failed with KeyError, see above"
    assert "in make" in caught.value.detail
    assert "loader.py" not in caught.value.detail
