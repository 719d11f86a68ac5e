"""The scripted server over real HTTP: routes, records, replies, and the final check."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx
import pytest
from tests.core.testing.exchanges import connect, events_of, post, raw_request, read_to_end

from vmpilot.contract.messages import Usage
from vmpilot.testing import (
    Framing,
    RecordedRequest,
    Reply,
    ScriptedCall,
    ScriptedServer,
    Stall,
    Step,
)

Ask: TypeAlias = Callable[..., dict[str, Any]]


# Routes and HTTP


def test_models(client: httpx.Client) -> None:
    with ScriptedServer([], models=("one", "two")) as server:
        listing = client.get(f"{server.base_url}/models").json()
    assert listing["object"] == "list"
    assert [entry["id"] for entry in listing["data"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/embeddings", 404),
        ("GET", "/chat/completions", 405),
        ("POST", "/models", 405),
        ("HEAD", "/models", 405),
        ("DELETE", "/nothing", 405),
        ("BREW", "/chat/completions", 405),
    ],
)
def test_other_routes(client: httpx.Client, method: str, path: str, status: int) -> None:
    with ScriptedServer([]) as server:
        response = client.request(method, f"{server.base_url}{path}")
        assert client.get(f"{server.base_url}/models").status_code == 200  # the connection is still usable
    assert response.status_code == status
    assert ("allow" in response.headers) == (status == 405)
    if method != "HEAD":
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_query_string_is_ignored(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        assert client.post(f"{server.base_url}/chat/completions?api-version=1", json=ask()).status_code == 200


def test_one_connection_serves_many_requests_with_both_body_encodings(ask: Ask) -> None:
    body = json.dumps(ask()).encode()
    with ScriptedServer([Reply("one"), Reply("two"), Reply("three")]) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10.0)
        answers = []
        for payload in (body, [body[:5], body[5:]], body):
            connection.request("POST", "/v1/chat/completions", payload, encode_chunked=True)
            answers.append(json.loads(connection.getresponse().read())["choices"][0]["message"]["content"])
            first_port = connection.sock.getsockname()[1]
        assert connection.sock.getsockname()[1] == first_port
        connection.close()
        sizes = {request.raw_size for request in server.requests}
    assert answers == ["one", "two", "three"]
    assert sizes == {len(body)}


def test_pipelined_requests_are_answered_in_order(ask: Ask) -> None:
    with ScriptedServer([Reply("first", delay=0.02), Reply("second")]) as server, connect(server) as sock:
        sock.sendall(raw_request(ask()) + raw_request(ask()).replace(b"Host", b"Connection: close\r\nHost"))
        answer = read_to_end(sock)
    assert 0 < answer.find(b'"first"') < answer.find(b'"second"')


def test_invalid_http_gets_400_and_a_closed_connection() -> None:
    with ScriptedServer([]) as server, connect(server) as sock:
        sock.sendall(b"hello\r\n\r\n")
        assert read_to_end(sock).startswith(b"HTTP/1.1 400 ")


def test_expect_continue(ask: Ask) -> None:
    head, body = raw_request(ask()).split(b"\r\n\r\n")
    with ScriptedServer([Reply("ok")]) as server, connect(server) as sock:
        sock.sendall(head + b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_to_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_several_connections_at_once(client: httpx.Client, ask: Ask) -> None:
    together = 8
    with ScriptedServer([*[Stall()] * together, Reply("free")]) as server:
        socks = [connect(server) for _ in range(together)]
        for sock in socks:
            sock.sendall(raw_request(ask(stream=True)))
        server.wait_for_requests(together)
        assert post(client, server, ask()).status_code == 200  # while the others are still open
        for sock in socks:
            sock.close()


def test_concurrent_requests_each_get_one_step(client: httpx.Client, ask: Ask) -> None:
    count = 40
    with ScriptedServer([Reply(str(number)) for number in range(count)]) as server, ThreadPoolExecutor(8) as pool:
        responses = pool.map(lambda _: post(client, server, ask()).json(), range(count))
        texts = {response["choices"][0]["message"]["content"] for response in responses}
    assert texts == {str(number) for number in range(count)}


def test_base_url_needs_a_start() -> None:
    server = ScriptedServer([])
    with pytest.raises(RuntimeError, match="until it is started"):
        _ = server.base_url


def test_a_port_in_use_is_reported() -> None:
    with ScriptedServer([]) as server:
        port = urlsplit(server.base_url).port or 0
        with pytest.raises(OSError, match="in use"):
            ScriptedServer([], port=port).start()


def test_stopping_ends_thread_and_connections(ask: Ask) -> None:
    with ScriptedServer([Stall("request")]) as server:
        sock = connect(server)
        sock.sendall(raw_request(ask()))
        (request,) = server.wait_for_requests(1)
    assert read_to_end(sock) == b""
    sock.close()
    assert not request.client_gone.is_set()  # the server closed the connection
    assert "scripted-server" not in {thread.name for thread in threading.enumerate()}
    server.stop()


# Records


def test_recorded_requests_show_no_secrets(client: httpx.Client, ask: Ask) -> None:
    client.headers["Authorization"] = "Bearer sk-secret"
    before = time.monotonic()
    with ScriptedServer([Reply("ok", delay=0.02)]) as server:
        post(client, server, ask(temperature=0.5))
        (request,) = server.requests
    assert (request.number, request.method, request.path) == (1, "POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert request.body["temperature"] == 0.5
    assert request.messages[0]["content"] == "hi"
    assert request.finished_at is not None
    assert before <= request.arrived_at <= request.finished_at - 0.02
    assert not request.client_gone.is_set()
    assert "sk-secret" not in repr(request)


def test_keep_limits_the_record(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("ok")], repeat_last=True, keep=2) as server:
        for _ in range(5):
            post(client, server, ask())
        assert [request.number for request in server.wait_for_requests(5)] == [4, 5]


def test_a_wait_that_times_out_reports_what_was_seen(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        post(client, server, ask())
        with pytest.raises(
            TimeoutError, match="2 requests; the scripted server has received 1 requests and 0 hang-ups"
        ):
            server.wait_for_requests(2, timeout=0.01)
        with pytest.raises(TimeoutError, match="hang up"):
            server.wait_for_hangup(timeout=0.01)


# Replies


def test_complete_reply(client: httpx.Client, ask: Ask) -> None:
    reply = Reply(
        "text",
        "thought",
        (ScriptedCall("shell", {"command": "ls"}, id="c1"), ScriptedCall("shell", "{broken")),
        usage=Usage(input_tokens=7, output_tokens=3, cached_tokens=2, reasoning_tokens=1),
    )
    with ScriptedServer([reply]) as server:
        answer = post(client, server, ask()).json()
    (choice,) = answer["choices"]
    message = choice["message"]
    assert (answer["object"], answer["model"], choice["finish_reason"]) == ("chat.completion", "m", "tool_calls")
    assert (message["role"], message["content"], message["reasoning_content"]) == ("assistant", "text", "thought")
    assert message["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "shell", "arguments": '{"command": "ls"}'},
    }
    assert message["tool_calls"][1]["function"]["arguments"] == "{broken"
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_streamed_reply(client: httpx.Client, ask: Ask) -> None:
    calls = (ScriptedCall("shell", {"a": "b c"}, id="c1"), ScriptedCall("read", "{}", id="c2", chunks=2))
    body = ask(stream=True, stream_options={"include_usage": True})
    with ScriptedServer([Reply("one two", "hm", calls)]) as server:
        response = post(client, server, body)
    events = events_of(response)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    assert [event["choices"][0]["delta"] for event in events[:-1]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "one "},
        {"content": "two"},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "shell", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"b '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'c"}'}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "read", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
        {},
    ]
    reasons = [event["choices"][0]["finish_reason"] for event in events[:-1]]
    assert reasons == [None] * 11 + ["tool_calls"]
    assert [event["usage"] for event in events[:-1]] == [None] * 12
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["total_tokens"] == 120


def test_a_stream_reports_usage_only_on_request(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("ok"), Reply("ok", usage=None)]) as server:
        unasked = events_of(post(client, server, ask(stream=True)))
        missing = events_of(post(client, server, ask(stream=True, stream_options={"include_usage": True})))
    assert all("usage" not in event for event in unasked)
    assert [event["usage"] for event in missing] == [None, None, None]


def test_every_answer_has_new_ids(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply(tool_calls=(ScriptedCall("a"), ScriptedCall("a")))], repeat_last=True) as server:
        answers = [post(client, server, ask()).json() for _ in range(2)]
    calls = [call["id"] for answer in answers for call in answer["choices"][0]["message"]["tool_calls"]]
    assert len(set(calls)) == 4
    assert answers[0]["id"] != answers[1]["id"]


def test_unusual_calls(client: httpx.Client, ask: Ask) -> None:
    calls = (ScriptedCall(None, "[]", id=None, index=None), ScriptedCall("", "{}", id="", index=0, chunks=1))
    with ScriptedServer([Reply(tool_calls=calls)] * 2) as server:
        whole = post(client, server, ask()).json()["choices"][0]["message"]
        events = events_of(post(client, server, ask(stream=True)))
    deltas = [event["choices"][0]["delta"] for event in events]
    assert whole["content"] is None
    assert whole["tool_calls"][0] == {"type": "function", "function": {"arguments": "[]"}}
    assert deltas[0]["content"] is None
    assert deltas[1] == {"tool_calls": [{"type": "function", "function": {"arguments": ""}}]}
    assert deltas[2] == {"tool_calls": [{"function": {"arguments": "[]"}}]}
    assert deltas[3]["tool_calls"][0]["id"] == ""
    assert deltas[4] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


@pytest.mark.parametrize("stream", [False, True])
def test_finish_reason_model_refusal_and_unusual_text(client: httpx.Client, ask: Ask, *, stream: bool) -> None:
    replies = [
        Reply("half", finish="length", model="other"),
        Reply("no end", framing=Framing(finish=False)),
        Reply(refusal="I will not"),
        Reply(chunks=("\ud83d", "\ude00 \0 grüße")),
    ]
    with ScriptedServer(replies) as server:
        responses = [post(client, server, ask(stream=stream)) for _ in replies]
    answers = [events_of(response) if stream else [response.json()] for response in responses]
    choices = [[answer["choices"][0] for answer in each] for each in answers]
    said = "delta" if stream else "message"
    assert answers[0][0]["model"] == "other"
    assert choices[0][-1]["finish_reason"] == "length"
    assert [choice["finish_reason"] for choice in choices[1]] == [None] * len(choices[1])
    assert "".join(choice[said].get("refusal") or "" for choice in choices[2]) == "I will not"
    assert "".join(choice[said].get("content") or "" for choice in choices[3]) == (
        "\ud83d\ude00 \0 grüße" if stream else "😀 \0 grüße"
    )


def test_delay_precedes_the_content_and_gap_separates_chunks(client: httpx.Client, ask: Ask) -> None:
    replies = [Reply("one two three", delay=0.05), Reply("one two", gap=0.03)]
    with ScriptedServer(replies) as server:
        with client.stream("POST", f"{server.base_url}/chat/completions", json=ask(stream=True)) as response:
            lines = response.iter_lines()
            assert "role" in next(lines)
            assert server.requests[0].finished_at is None  # the rest is still withheld
            assert len(list(lines)) == 11
        post(client, server, ask(stream=True))
        times = [(request.finished_at or 0) - request.arrived_at for request in server.requests]
    assert times[0] >= 0.05
    assert times[1] >= 0.03 * 4


def test_a_long_stream_reaches_a_slow_reader_completely(ask: Ask) -> None:
    reply = Reply("x" * 12_000_000, chunks=5_000)  # more than the sockets' buffers hold
    with ScriptedServer([reply]) as server, connect(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(raw_request(ask(stream=True)).replace(b"Host", b"Connection: close\r\nHost"))
        data = sock.recv(4096)
        finished_early = server.requests[0].finished_at is not None
        data += read_to_end(sock)
        assert server.requests[0].finished_at is not None
    assert not finished_early
    assert data.count(b'"content":"' + b"x" * 2_400 + b'"') == 5_000


# The steps of the script and the final check


def test_steps_answer_in_order_and_can_inspect_the_request(client: httpx.Client, ask: Ask) -> None:
    def echo(request: RecordedRequest) -> Step:
        return Reply(f"you said {request.messages[-1]['content']}")

    with ScriptedServer([Reply("first"), echo]) as server:
        texts = [post(client, server, ask()).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert texts == ["first", "you said hi"]


def test_repeat_last(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("once"), Reply("ever")], repeat_last=True) as server:
        texts = [post(client, server, ask()).json()["choices"][0]["message"]["content"] for _ in range(4)]
    assert texts == ["once", "ever", "ever", "ever"]


def test_too_many_requests_get_500_and_fail_the_check(client: httpx.Client, ask: Ask) -> None:
    server = ScriptedServer([Reply("only")])
    server.start()
    post(client, server, ask())
    server.check()
    response = post(client, server, ask())
    server.stop()
    assert response.status_code == 500
    assert "THE SCRIPT HAS RUN OUT: request 2" in response.json()["error"]["message"]
    with pytest.raises(AssertionError, match="request 2 exceeds its 1 steps"):
        server.check()


def test_unused_steps_fail_at_the_end() -> None:
    with (
        pytest.raises(AssertionError, match=r"2 of 2 steps were not used; the first is Reply\(text='a'"),
        ScriptedServer([Reply("a"), Reply("b")]),
    ):
        pass


def test_an_error_in_the_block_is_not_hidden_by_the_check() -> None:
    with pytest.raises(KeyError, match="mine"), ScriptedServer([Reply("left over")]):
        raise KeyError("mine")


def test_a_callable_that_raises_fails_the_check(client: httpx.Client, ask: Ask) -> None:
    def look(request: RecordedRequest) -> Step:
        raise AssertionError(f"not what I expected: {request.messages}")

    server = ScriptedServer([look])
    server.start()
    with pytest.raises(httpx.RemoteProtocolError):
        post(client, server, ask())
    server.stop()
    with pytest.raises(AssertionError, match="not what I expected") as caught:
        server.check()
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_callable_must_return_a_step(client: httpx.Client, ask: Ask) -> None:
    server = ScriptedServer([lambda _request: "a text"])  # type: ignore[list-item,return-value]
    server.start()
    with pytest.raises(httpx.RemoteProtocolError):
        post(client, server, ask())
    server.stop()
    with pytest.raises(AssertionError, match="must return a step, not 'a text'"):
        server.check()


def test_strict_rejects_and_records_but_keeps_the_step(client: httpx.Client, ask: Ask) -> None:
    server = ScriptedServer([Reply("ok")])
    server.start()
    response = post(client, server, ask(messages=[{"role": "robot", "content": "x"}]))
    assert post(client, server, ask()).status_code == 200
    server.stop()
    fault = "messages[0].role: unknown role 'robot'"
    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"Invalid request: {fault}"
    assert server.faults == (f"request 1: {fault}",)
    with pytest.raises(AssertionError, match="unknown role 'robot'"):
        server.check()


def test_without_strict_everything_is_accepted(client: httpx.Client) -> None:
    with ScriptedServer([Reply("ok")], strict=False) as server:
        assert post(client, server, {"messages": "nonsense"}).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"model": NaN'])
def test_a_body_that_is_not_an_object_is_a_fault(client: httpx.Client, body: bytes) -> None:
    server = ScriptedServer([], strict=False)
    server.start()
    response = client.post(f"{server.base_url}/chat/completions", content=body)
    server.stop()
    assert response.status_code == 400
    assert server.faults == ("request 1: the body is not a JSON object",)


def test_a_surrogate_in_the_body_is_reported(client: httpx.Client, ask: Ask) -> None:
    server = ScriptedServer([])
    server.start()
    body = json.dumps(ask(messages=[{"role": "user", "content": "\ud83d"}]))
    response = client.post(f"{server.base_url}/chat/completions", content=body.encode())
    server.stop()
    assert response.status_code == 400
    assert server.faults == ("request 1: messages[0].content: contains a lone surrogate or NUL",)
