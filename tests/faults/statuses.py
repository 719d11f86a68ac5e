"""Error statuses: those that pass, those that waiting fixes, and permanent ones."""

from __future__ import annotations

from typing import Any

from tests.faults.fault import ANSWERED, Fault, Outcome, answers, fails, once

from vmpilot.testing.script import Flood, HttpError, Reply, Step, StepMaker

KEY_IN_TEXT = "sk-fault-0123456789abcdef"
"""The key of the client under test, as a provider may quote it."""

_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>cloudflare</body></html>"
_MOMENT = "Sun, 06 Nov 1994 08:49:{0:02} GMT"
_RESUME = r"\d\d:\d\d"

_TRIED_AGAIN = "Retry after a short wait; the second answer is complete."
_SAID_ONCE = "Do not retry; report in one sentence what is wrong and what to do."


def _fault(name: str, advice: str, *script: Step | StepMaker, expects: Outcome, **members: Any) -> Fault:
    return Fault(name=name, family="statuses", advice=advice, script=script, expects=(expects,), **members)


def _passing(name: str, error: HttpError, *, waits: float = 0.0, advice: str = _TRIED_AGAIN) -> Fault:
    return _fault(name, advice, *once(error), expects=answers(requests=2), waits=waits)


def _final(name: str, error: HttpError, says: str, *, advice: str = _SAID_ONCE) -> Fault:
    return _fault(name, advice, error, ANSWERED, expects=fails(says))


def _wait(value: str, **headers: str) -> HttpError:
    return HttpError(429, "Slow down.", headers={"Retry-After": value, **headers})


PASSING = (
    _passing("408", HttpError(408, "The request timed out.")),
    _passing("409", HttpError(409, "Another request is under way.")),
    _passing("429", HttpError(429, "Rate limit reached for requests.")),
    _passing("429-empty", HttpError(429, body="")),
    _passing("429-html", HttpError(429, body=_PAGE.format("429 Too Many Requests"))),
    _passing("500", HttpError(500, "The server had an error while processing your request.")),
    _passing("500-empty", HttpError(500, body="")),
    _passing("500-not-openai", HttpError(500, body={"detail": {"msg": "CUDA out of memory"}})),
    _passing("500-megabyte", HttpError(500, "Trace: " + "x" * 1_000_000)),
    _passing("502-html", HttpError(502, body=_PAGE.format("502 Bad Gateway"))),
    _passing("503", HttpError(503, "The engine is currently overloaded.")),
    _passing("503-empty", HttpError(503, body="")),
    _passing("503-loading", HttpError(503, "Loading model", kind="unavailable_error")),
    _passing("504-html", HttpError(504, body=_PAGE.format("504 Gateway Time-out"))),
    _passing("520-html", HttpError(520, body=_PAGE.format("Web server is returning an unknown error"))),
    _passing("529", HttpError(529, "Overloaded", kind="overloaded_error")),
    _passing("529-html", HttpError(529, body=_PAGE.format("529 Site is overloaded"))),
    _passing("529-empty", HttpError(529, body="")),
    _fault(
        "500-twice",
        "Retry; wait longer the second time.",
        HttpError(500, "Oops."),
        HttpError(500, "Oops."),
        ANSWERED,
        expects=answers(requests=3),
        waits=0.4,
    ),
    _fault(
        "500-for-ever",
        "Give up after three attempts and report the server's message.",
        HttpError(500, "It broke."),
        expects=fails("It broke", requests=3),
        repeats=True,
    ),
    _fault(
        "429-for-ever",
        "Give up after three attempts and report the rate limit.",
        HttpError(429, "Slow down."),
        expects=fails("many requests|rate|limit", requests=3),
        repeats=True,
    ),
    _fault(
        "500-without-an-end",
        "Limit how much of an error body is read; after three attempts, report the server error.",
        Flood("trace " * 1_000, status=500, content_type="text/plain"),
        expects=fails("fail|500", requests=3),
        repeats=True,
        settings={"first_content_timeout": 20.0},
        megabytes=150,
    ),
    _fault(
        "400-that-drips",
        "A rejection whose body never ends is still a rejection, or the connection is dead: close it.",
        Flood("bad ", opening="Bad request ", status=400, content_type="text/plain", interval=0.1),
        expects=fails("refused|400|nothing|silent", requests=1, text=None),
        repeats=True,
        settings={"first_content_timeout": 1.0, "gap_timeout": 1.0, "attempts": 1},
        closes=True,
    ),
    _fault(
        "500-with-the-key",
        "Report the failure without the key that the server quotes.",
        HttpError(500, f"Bearer {KEY_IN_TEXT} could not be billed; headers: Authorization: Bearer {KEY_IN_TEXT}"),
        expects=fails("billed|500", requests=3),
        repeats=True,
    ),
)

_FLOOR = "Wait at least as long as the server asks."
_FAR = "Do not wait that long: end the turn and report when to continue."

WAITS = (
    _passing("retry-after-seconds", _wait("1"), waits=0.95, advice=_FLOOR),
    _passing("retry-after-fraction", _wait("0.9"), waits=0.85, advice=_FLOOR),
    _passing("retry-after-ms", HttpError(429, "Wait.", headers={"retry-after-ms": "1100"}), waits=1.05, advice=_FLOOR),
    _passing("retry-after-date", _wait(_MOMENT.format(38), Date=_MOMENT.format(37)), waits=0.95, advice=_FLOOR),
    _passing("retry-after-on-503", HttpError(503, "Wait.", headers={"Retry-After": "1"}), waits=0.95, advice=_FLOOR),
    _passing("retry-after-past", _wait(_MOMENT.format(7)), advice="A time in the past means no wait."),
    _passing("retry-after-words", _wait("soon"), advice="Words are not a time: wait as usual."),
    _passing("retry-after-negative", _wait("-5"), advice="A negative time means no wait."),
    _final("retry-after-hour", _wait("3600"), _RESUME, advice=_FAR),
    _final("retry-after-hour-ms", HttpError(429, headers={"retry-after-ms": "3600000"}), _RESUME, advice=_FAR),
    _final(
        "retry-after-hour-date",
        _wait("Sun, 06 Nov 1994 09:49:37 GMT", Date=_MOMENT.format(37)),
        _RESUME,
        advice=_FAR,
    ),
    _final("retry-after-aeon", _wait("99999999999999999999"), "many requests|rate|limit", advice=_FAR),
    _final("retry-after-hour-on-503", HttpError(503, headers={"Retry-After": "3600"}), _RESUME, advice=_FAR),
)

FINAL = (
    _final("401", HttpError(401, f"Incorrect API key provided: {KEY_IN_TEXT}.", code="invalid_api_key"), "key"),
    _final("401-html", HttpError(401, body=_PAGE.format("401 Authorization Required")), "key"),
    _final("402", HttpError(402, "Insufficient Balance"), "credit|balance"),
    _final("403", HttpError(403, "Country, region, or territory not supported"), "permit|country"),
    _final("403-html", HttpError(403, body=_PAGE.format("Attention Required!")), "permit|403"),
    _final("403-empty", HttpError(403, body=""), "permit|403"),
    _final("404-model", HttpError(404, "The model `scripted` does not exist", code="model_not_found"), "scripted"),
    _final("404-path", HttpError(404, body="404 page not found"), "not found.*base URL|base URL"),
    _final("405", HttpError(405, body={"detail": "Method Not Allowed"}), "405|not allowed"),
    _final("413", HttpError(413, body=_PAGE.format("413 Request Entity Too Large")), "room|large|context|413"),
    _final(
        "400-context",
        HttpError(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded"),
        "room|context|window",
    ),
    _final("400-context-in-words", HttpError(400, body={"detail": "prompt is too long"}), "room|context|window"),
    _final("500-context", HttpError(500, "the request exceeds the available context size"), "room|context|window"),
    _final(
        "400-policy", HttpError(400, "Rejected by the safety system.", code="content_policy_violation"), "policy|safety"
    ),
    _final("400-unnamed", HttpError(400, "Bad request"), "refused|bad request"),
    _final("400-empty", HttpError(400, body=""), "refused|400"),
    _final("400-escapes", HttpError(400, "a \x1b[31mred\x1b]0;title\x07 \u202elight\x00"), "red"),
    _final("400-megabyte", HttpError(400, "y" * 1_000_000), "yyy"),
    _final("422", HttpError(422, body={"detail": "Field required: messages"}), "field required|422"),
    _final("429-quota", HttpError(429, "You exceeded your quota.", code="insufficient_quota"), "credit|quota|billing"),
    _final("429-billing", HttpError(429, "Billing hard limit", code="billing_hard_limit_reached"), "credit|billing"),
)


def _by_model(error: HttpError) -> StepMaker:
    """Fails for the first model and answers for any other."""
    return lambda request: error if request.body["model"] == "scripted" else Reply(ANSWERED.text)


_SECOND = {"fallback": ("scripted-second",)}

FALLBACK = (
    _fault(
        "gone-with-a-fallback",
        "Ask the fallback model at once, and report the switch.",
        _by_model(HttpError(404, "The model `scripted` does not exist", code="model_not_found")),
        expects=answers(requests=2),
        repeats=True,
        settings=_SECOND,
    ),
    _fault(
        "down-with-a-fallback",
        "Make three attempts, then ask the fallback model.",
        _by_model(HttpError(503, "Overloaded.")),
        expects=answers(requests=(2, 4)),
        repeats=True,
        settings=_SECOND,
    ),
)

STATUSES = (*PASSING, *WAITS, *FINAL, *FALLBACK)
