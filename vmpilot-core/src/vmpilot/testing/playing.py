"""Scripted models for the conformance suite: the scripted server, or a custom one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import msgspec

from vmpilot.contract import ModelSettings, Secret
from vmpilot.testing.recording import RecordedRequest, Recorder
from vmpilot.testing.script import Step, StepMaker
from vmpilot.testing.scripted import ScriptedServer

KEY = "sk-conformance-0123456789abcdef"
"""The key in requests to a scripted model; it grants no access to anything."""

NAME = "scripted-model"


class CannotPlay(Exception):
    """A custom scripted model cannot play this step; the message says why."""


class PlayedModel(Protocol):
    """A model that answers with the steps of a script, one for each request."""

    @property
    def model(self) -> str:
        """The model's name, as used in `GenerationRequest.model`."""
        ...

    @property
    def settings(self) -> ModelSettings:
        """The settings that make a backend call this model: a base URL and a key, or neither."""
        ...

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The requests received, oldest first; the bodies are in chat completions format."""
        ...

    def wait_for_requests(self, count: int, timeout: float) -> tuple[RecordedRequest, ...]:
        """Wait until `count` requests have arrived; raises TimeoutError after `timeout` seconds."""
        ...

    def wait_for_hangup(self, timeout: float) -> RecordedRequest:
        """Wait until the client has aborted an answer; raises TimeoutError after `timeout` seconds."""
        ...


ScriptedModel: TypeAlias = "Callable[[Sequence[Step | StepMaker]], AbstractContextManager[PlayedModel]]"
"""Creates a model that answers with these steps; leaving the context manager stops it. Raises `CannotPlay`."""


class ServedModel(ScriptedServer):
    """The scripted server as a model: for every backend that can be pointed at an OpenAI-compatible server.

    It also answers requests that a strict provider rejects, because each case checks one thing. The last step answers
    all later requests.
    """

    model = f"openai/{NAME}"

    def __init__(self, steps: Sequence[Step | StepMaker]) -> None:
        super().__init__(steps, strict=False, repeat_last=True)

    @property
    def settings(self) -> ModelSettings:
        return ModelSettings(base_url=self.base_url, api_key=Secret(KEY))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ScriptPlayer:
    """A base for a custom scripted model: the script and the record of requests, without a transport.

    A subclass acts as a model for the backend's library. For each request it calls `take` with the request's contents,
    plays the step that `take` returns, and calls `leave` if the answer was aborted.
    """

    model = NAME
    settings = ModelSettings(api_key=Secret(KEY))

    def __init__(self, steps: Sequence[Step | StepMaker]) -> None:
        self._steps = tuple(steps)
        self._recorder = Recorder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        return self._recorder.requests

    def take(self, body: dict[str, Any]) -> tuple[RecordedRequest, Step]:
        """Record a request (`body` as chat completions, see `chat_messages`) and return the step to play."""
        request = self._recorder.add("POST", "", {}, body, len(msgspec.json.encode(body)))
        item = self._steps[min(request.number, len(self._steps)) - 1]
        return request, item if isinstance(item, msgspec.Struct) else item(request)

    def leave(self, request: RecordedRequest) -> None:
        """The client canceled the answer to this request."""
        self._recorder.add_hangup(request)

    def wait_for_requests(self, count: int, timeout: float) -> tuple[RecordedRequest, ...]:
        return self._recorder.wait_for_requests(count, timeout)

    def wait_for_hangup(self, timeout: float) -> RecordedRequest:
        return self._recorder.wait_for_hangup(timeout)
