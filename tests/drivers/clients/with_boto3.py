"""S3, whose stub is slow to hand out what was put there. One client, which threads may share."""

from typing import Any

import boto3
from botocore.config import Config
from measure import server

RAMP = 1.0  # 200 requests are 0.5 s of Python.

s3 = boto3.session.Session().client(
    "s3",
    endpoint_url=f"http://{server['host']}:{server['port']}",
    region_name="nowhere",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
    config=Config(max_pool_connections=200, proxies={}, s3={"addressing_style": "path"}),
)


def connect(number: int) -> Any:
    s3.put_object(Bucket="slow", Key=str(number), Body=str(number).encode())
    return s3


def ask(s3: Any, number: int) -> str:
    return str(s3.get_object(Bucket="slow", Key=str(number))["Body"].read().decode())
