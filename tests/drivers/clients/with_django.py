"""Django's ORM on PostgreSQL, with psycopg 3. A connection a green, as it is one a thread."""

from typing import Any

import django
from django.conf import settings
from measure import server

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": server["host"],
            "NAME": server["database"],
            "PORT": server["port"],
            "USER": server["user"],
        }
    },
    INSTALLED_APPS=[],
)
django.setup()

from django.db import connection, models  # noqa: E402
from django.db.models.functions import Cast  # noqa: E402

RAMP = 1.0  # 200 queries are 0.4 s of Python.


class Answer(models.Model):
    number = models.IntegerField(unique=True)

    class Meta:
        app_label = "asked"


def slow() -> Any:
    pause = models.Func(models.Value(0.5), function="pg_sleep", output_field=models.TextField())
    return Answer.objects.annotate(pause=Cast(pause, models.TextField()))


def connect(number: int) -> Any:
    if Answer._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Answer)
    Answer.objects.update_or_create(number=number)
    return connection


def ask(_: Any, number: int) -> str:
    return str(slow().get(number=number).number)


def close(connection: Any) -> None:
    connection.close()
