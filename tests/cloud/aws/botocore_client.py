"""Does what lines of JSON on standard input ask for with AWS's own client, and answers each with a line."""

import json
import os
import sys

import awscli.botocore.session
from awscli.botocore.config import Config
from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

BASE = dict(os.environ)


def client_for(ask):
    os.environ.clear()
    os.environ.update(BASE, **ask.get("env", {}))
    session = awscli.botocore.session.Session()
    options = {"retries": {"max_attempts": 1}, "connect_timeout": 5, "read_timeout": ask.get("timeout", 10)}
    if ask.get("unsigned"):
        options["signature_version"] = UNSIGNED
    return session.create_client(ask["service"], endpoint_url=ask["url"], config=Config(**options))


def answer(ask):
    try:
        client = client_for(ask)
        if "page" in ask:
            pages = client.get_paginator(ask["operation"]).paginate(
                PaginationConfig={"PageSize": ask["page"]}, **ask["params"]
            )
            return {"pages": [result for result in pages]}
        return {"result": getattr(client, ask["operation"])(**ask["params"])}
    except ClientError as error:
        meta = error.response["ResponseMetadata"]
        told = error.response["Error"]
        return {"error": {"code": told["Code"], "message": told["Message"], "status": meta["HTTPStatusCode"]}}
    except (BotoCoreError, HTTPClientError) as error:
        return {"error": {"code": type(error).__name__, "message": str(error), "status": 0}}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), flush=True)
