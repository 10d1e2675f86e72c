from smtplib import SMTP
from typing import Any

from measure import server


def connect(number: int) -> Any:
    client = SMTP(server["host"], server["port"], local_hostname="test.invalid")
    client.ehlo()
    return client


def ask(client: Any, number: int) -> str:
    client.mail("one@test.invalid")
    client.rcpt("two@test.invalid")
    code, text = client.data(f"Subject: many\r\n\r\n{number}\r\n")
    assert code == 250
    return str(text.decode())


def close(client: Any) -> None:
    client.close()
