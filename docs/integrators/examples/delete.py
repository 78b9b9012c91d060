"""Usage: ACCESS_KEY=… SECRET_KEY=… python3 delete.py BASE_URL VDN CAMPAIGN BODY"""

import hashlib
import hmac
import os
import sys
import urllib.request
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit


def normalize(text: str) -> str:
    return quote(text, safe="")  # Keeps A-Z a-z 0-9 - . _ ~ and nothing else.


def hmac_hex(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def sign(access_key: str, secret_key: str, path: str, headers: dict[str, str], body: str) -> str:
    signed_headers = ";".join(sorted(name.lower() for name in headers))
    lines = sorted(f"{normalize(name.lower())}:{normalize(value.strip())}" for name, value in headers.items())
    canonical_request = "\n".join(["POST", path, signed_headers, *lines, normalize(body)])
    timestamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    prefix = f"auth-v2/{access_key}/{timestamp}/{signed_headers}"
    return f"{prefix}/{hmac_hex(hmac_hex(secret_key, prefix), canonical_request)}"


def delete(base_url: str, access_key: str, secret_key: str, vdn: str, campaign: str, body: str) -> str:
    path = f"/rest/isales/v1/openapi/campaigns/{vdn}/calldata/{campaign}/delete"
    headers = {"Host": urlsplit(base_url).netloc, "Content-Type": "application/json; charset=UTF-8"}
    headers["Authorization"] = sign(access_key, secret_key, path, headers, body)
    request = urllib.request.Request(base_url + path, body.encode(), headers, method="POST")
    with urllib.request.urlopen(request) as response:  # Raises for any status but 200.
        return response.read().decode()


if __name__ == "__main__":
    base_url, vdn, campaign, body = sys.argv[1:]
    print(delete(base_url, os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"], vdn, campaign, body))
