"""Live output: the first piece at once, then joined pieces, nothing lost. The clock is an argument."""

from math import inf

from vmpilot.machine.processes.output_reader import LiveOutput


def test_the_first_piece_is_delivered_at_once_and_the_next_waits() -> None:
    heard: list[str] = []
    live = LiveOutput(heard.append)
    assert live.due == inf
    live.add("a")
    live.deliver_due(100.0)
    live.add("b")
    live.add("c")
    live.deliver_due(100.01)
    assert heard == ["a"]
    assert 100.01 < live.due <= 100.06
    live.deliver_due(live.due)
    assert heard == ["a", "bc"]
    assert live.due == inf


def test_much_text_is_delivered_early() -> None:
    heard: list[str] = []
    live = LiveOutput(heard.append)
    live.add("a")
    live.deliver_due(100.0)
    live.add("b" * 1_000_000)
    live.deliver_due(100.0)
    assert [len(text) for text in heard] == [1, 1_000_000]


def test_flush_delivers_the_last() -> None:
    heard: list[str] = []
    live = LiveOutput(heard.append)
    live.add("")
    live.flush()
    live.add("end")
    live.flush()
    live.flush()
    assert heard == ["end"]


def test_after_stop_nothing_is_delivered() -> None:
    heard: list[str] = []
    live = LiveOutput(heard.append)
    live.add("a")
    live.stop()
    live.add("b")
    live.flush()
    assert heard == []
    assert live.due == inf
