"""What Schemathesis has to know of the contract: how calls are signed, and that a refusal is HTTP 200 with a code.

Every check of Schemathesis is on. One of its failures is judged again here (`filter_failure`), because it takes HTTP
200 for acceptance. Three checks of the contract's own come on top.
"""

import hashlib
import hmac
import os
import uuid
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData

MEMBERS = ["resultCode", "resultDesc", "returnCode", "returnDesc", "successCount"]
DONE, NO_SUCH_CAMPAIGN, STATE_FORBIDS, TIME_FORMAT = "0200000", "0200007", "0200028", "0200030"
# The demo has four campaigns in VDN 1. The third is executing.
CAMPAIGNS = range(1, 5)


def hmac_hex(key, message):
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def wire(value):
    """A header's value as it travels, without the white space that HTTP takes away."""
    return (value if isinstance(value, bytes) else value.encode("latin-1")).strip(b" \t")


class Signed(requests.auth.AuthBase):
    """Signs what is about to travel. A case for which Schemathesis takes the credentials away goes out unsigned."""

    def __call__(self, request):
        url = urlsplit(request.url)
        request.headers["Host"] = url.netloc
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        query = sorted(pair if "=" in pair else pair + "=" for pair in url.query.split("&") if pair)
        query = ["&".join("=".join(quote(part, safe="") for part in pair.split("=", 1)) for pair in query)] if query else []
        # An Idempotency-Key has an effect, so it counts only when it is signed.
        names = ["host"] + [name for name in ["idempotency-key"] if name in request.headers]
        signed_headers = ";".join(names)
        header_lines = sorted(f"{name}:{quote(wire(request.headers[name]), safe='')}" for name in names)
        lines = [request.method, url.path, *query, signed_headers, *header_lines, quote(body, safe="")]
        timestamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        prefix = f"auth-v2/{os.environ['ACCESS_KEY']}/{timestamp}/{signed_headers}"
        signing_key = hmac_hex(os.environ["SECRET_KEY"], prefix)
        request.headers["Authorization"] = f"{prefix}/{hmac_hex(signing_key, chr(10).join(lines))}"
        return request


schemathesis.auth.set_from_requests(Signed())


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    """Numbers drawn at random name no campaign: half of the valid calls go to one that is there."""
    vdn = (case.path_parameters or {}).get("vdnId")
    if is_positive(case) and isinstance(vdn, int) and vdn % 2 == 1:
        case.path_parameters = {"vdnId": 1, "campaignId": CAMPAIGNS[vdn // 2 % len(CAMPAIGNS)]}
    # A key that is drawn twice would belong to another request.
    if is_positive(case) and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A business refusal travels as HTTP 200 (contract, section 2): negative data is refused by the code.

    Stays a failure: negative data that is answered with 0200000.
    """
    is_refusal = response.status_code == 200 and response.json()["resultCode"] != DONE
    return not (isinstance(failure, AcceptedNegativeData) and is_refusal)


@schemathesis.check
def has_the_five_members(ctx, response, case):
    if response.request.method == "HEAD":
        return
    answer = response.json()
    assert list(answer) == MEMBERS, f"not the five members in their order: {list(answer)}"
    assert answer["returnCode"] == answer["resultCode"] and answer["returnDesc"] == answer["resultDesc"]
    assert answer["successCount"] == 0 or answer["resultCode"] == DONE, "numbers deleted by a refused call"


@schemathesis.check
def valid_calls_are_refused_for_nothing_but_the_campaign_and_the_calendar(ctx, response, case):
    if not is_positive(case) or response.status_code != 200:
        return
    allowed = {DONE, NO_SUCH_CAMPAIGN, STATE_FORBIDS} | ({TIME_FORMAT} if not is_real_time(case.body) else set())
    code = response.json()["resultCode"]
    assert code in allowed, f"a call that fits the schema is refused with {code}: {response.json()['resultDesc']}"


def is_real_time(body):
    time = body.get("recycleTime")
    try:
        return time is None or bool(datetime.strptime(time, "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return False


@schemathesis.check
def names_the_request(ctx, response, case):
    assert response.headers.get("x-request-id"), "no X-Request-Id"
