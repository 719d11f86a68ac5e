"""A backend that repeats its input, and claims to call a model."""

from collections.abc import Iterator

from vmpilot.contract import BackendInfo, GenerationRequest, UserMessage, hookimpl


@hookimpl
def describe_backend() -> BackendInfo:
    """Only the claim of streaming is true."""
    return BackendInfo("claims_too_much", "1.0", capabilities=frozenset({"streaming", "usage"}))


@hookimpl
def generate_responses(request: GenerationRequest) -> Iterator[str]:
    """Repeat the last message in two chunks."""
    asked = request.messages[-1]
    text = asked.text if isinstance(asked, UserMessage) else ""
    yield text[:3]
    yield text[3:]
