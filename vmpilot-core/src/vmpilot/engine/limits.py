"""The limits of a turn. The core enforces them, so they are the same for every backend."""

from __future__ import annotations

from collections.abc import Callable

from vmpilot.contract import LimitName, LimitReached, ModelInfo, TurnStopped, Usage
from vmpilot.engine.costs import ASSUMED_INPUT_PRICE, ASSUMED_OUTPUT_PRICE, CostTracker
from vmpilot.engine.loop_detector import LoopDetector

WARNING = 0.8
"""Share of a limit at which the user gets a warning, once."""
_FEW_STEPS = 10
"""No warning for a step limit below this: the user is watching."""

_GO_ON = "Send “continue” to resume, or raise the limit with {option}."
_UNPRICED = (
    "The price of {model} is unknown, so --max-cost assumes ${input:g} per million input tokens and ${output:g} per "
    "million output tokens. To limit tokens instead, use --max-total-tokens."
)
_UNTOLD = "{model} does not report token usage, so the limits of this request use an estimate."


class LimitStop(TurnStopped):
    """A limit was reached, as described by `event`."""

    def __init__(self, event: LimitReached) -> None:
        super().__init__(event.text)
        self.event = event


class Limits:
    """Counts a turn's calls to its models against its limits; None means no limit.

    `max_cost` is in US dollars; `max_total_tokens` counts input and output, including calls for a summary. Limits are
    checked before the next call: an answer that has arrived is kept. `tell` receives sentences for the user;
    `find_info` looks up a model by its name.
    """

    def __init__(
        self,
        *,
        max_steps: int,
        max_cost: float | None = None,
        max_total_tokens: int | None = None,
        model: str = "the model",
        find_info: Callable[[str], ModelInfo | None] = lambda _model: None,
        tell: Callable[[str], None] = lambda _sentence: None,
        loop_detector: LoopDetector | None = None,
    ) -> None:
        self._max_steps = max_steps
        self._max_cost = max_cost
        self._max_tokens = max_total_tokens
        self._model = model
        self._tell = tell
        self._loop_detector = loop_detector or LoopDetector()
        self._costs = CostTracker(find_info)
        self._begun = False
        self._told: set[str] = set()
        self.steps = 0

    @property
    def usage(self) -> Usage:
        """The providers' counts."""
        return self._costs.usage

    @property
    def cost(self) -> float | None:
        """US dollars; None if a price or a count is unknown."""
        return self._costs.cost

    def begin_step(self) -> None:
        """A step with a call to the model is about to begin. Raises `LimitStop` if no step is left."""
        if (verdict := self._loop_detector.verdict) is not None:
            raise LimitStop(verdict)
        if self.steps >= self._max_steps:
            what = f"Stopped after {self.steps} step{'s' if self.steps > 1 else ''}, the limit for one request."
            raise _stop("steps", self._max_steps, what, "--max-steps")
        self.begin_call()
        if self._max_steps >= _FEW_STEPS:
            used = f"{self.steps} of the {self._max_steps} steps of this request are used (--max-steps)."
            self._warn("--max-steps", self.steps / self._max_steps, used)
        self.steps += 1
        self._begun = True

    def begin_call(self) -> None:
        """A call to a model is about to be made. Raises `LimitStop` if the token or cost limit is reached."""
        if self._max_tokens is not None:
            self._check_tokens(self._costs.tokens, self._max_tokens)
        if self._max_cost is not None:
            self._tell_of_price(self._model)
            self._check_money(self._costs.spent, self._max_cost)

    def end_step(self, usage: Usage | None, *, model: str = "", estimate: Callable[[], Usage] = Usage) -> None:
        """A call to the model was made. Raises `LimitStop` if it exceeded the limit (an unsupervised call).

        `model` is the model that answered, if it is not the turn's; `estimate` is called if `usage` is None.
        """
        try:
            if not self._begun:
                self.begin_step()
        finally:
            self._begun = False
            self.add_usage(usage, model=model, estimate=estimate)

    def add_usage(self, usage: Usage | None, *, model: str = "", estimate: Callable[[], Usage] = Usage) -> None:
        """Count a call that is not a step, such as one for a summary."""
        asked = model or self._model
        self._costs.add(asked, usage, estimate)
        if self._max_cost is not None:
            self._tell_of_price(asked)
        if usage is None and (self._max_cost is not None or self._max_tokens is not None):
            self._tell_once(_UNTOLD.format(model=asked))

    def _check_tokens(self, used: int, most: int) -> None:
        if used >= most:
            what = f"Stopped after {used:,} tokens; the limit for one request is {most:,}."
            raise _stop("tokens", most, what, "--max-total-tokens")
        sentence = f"{used:,} of the {most:,} tokens of this request are used (--max-total-tokens)."
        self._warn("--max-total-tokens", used / most, sentence)

    def _check_money(self, spent: float, most: float) -> None:
        if spent >= most:
            what = f"Stopped at {dollars(spent)}; the limit for one request is {dollars(most)}."
            raise _stop("money", most, what, "--max-cost")
        self._warn("--max-cost", spent / most, f"{dollars(spent)} of {dollars(most)} are used (--max-cost).")

    def _tell_of_price(self, model: str) -> None:
        if not self._costs.knows_price(model):
            prices = {"input": ASSUMED_INPUT_PRICE * 1e6, "output": ASSUMED_OUTPUT_PRICE * 1e6}
            self._tell_once(_UNPRICED.format(model=model, **prices))

    def _warn(self, limit: str, share: float, sentence: str) -> None:
        if share >= WARNING:
            self._tell_once(sentence, limit)

    def _tell_once(self, sentence: str, key: str = "") -> None:
        if (key or sentence) not in self._told:
            self._told.add(key or sentence)
            self._tell(sentence)


def out_of_time(seconds: float) -> LimitReached:
    """The event for a turn that ran out of time."""
    return _stop("seconds", seconds, f"Stopped after {seconds:g} s, the limit for one request.", "--max-seconds").event


def dollars(amount: float) -> str:
    """The amount, with as many digits as small ones need."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def _stop(limit: LimitName, most: float, what: str, option: str) -> LimitStop:
    return LimitStop(LimitReached(limit, most, f"{what} {_GO_ON.format(option=option)}"))
