"""The smallest backend: it repeats its input."""

from collections.abc import Iterator

from vmpilot.contract import GenerationRequest, UserMessage, hookimpl


@hookimpl
def generate_responses(request: GenerationRequest) -> Iterator[str]:
    last = request.messages[-1]
    yield "You said: "
    yield last.text if isinstance(last, UserMessage) else ""
