"""What a caller is told while the local model gets ready; a value, not a bar."""

from dataclasses import dataclass

DOWNLOADING = "downloading the model's weights"
WAITING = "waiting for another process that fetches the model's weights"
VERIFYING = "verifying the model's weights"
LOADING = "loading the model"


@dataclass(frozen=True)
class Progress:
    """How far one stage has come: `done` and `total` are bytes, `total` is None where it is not known."""

    stage: str
    done: int = 0
    total: int | None = None
