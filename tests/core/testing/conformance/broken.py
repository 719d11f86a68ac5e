"""Backends with one fault each, and the case meant for it. All other cases pass, except those listed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.core.testing.conformance.broken_models import (
    BlocksTheLoop,
    CallsAllEndsProper,
    CompletesTwice,
    DoublesADelta,
    DropsImages,
    DropsReasoning,
    DropsTemperatureZero,
    FollowsRedirects,
    ForgetsCachedTokens,
    ForgetsTheFirstTurns,
    HasItsOwnDefaults,
    HoldsTheTextBack,
    IgnoresTemperature,
    InventsUsage,
    IsSilentDuringCalls,
    KeepsItsConnection,
    KeepsTheProvidersName,
    LosesTheCause,
    MakesHalfCallsWhole,
    MendsArguments,
    NeverCompletes,
    QuotesTheKey,
    RaisesTheLibrarysErrors,
    RetriesByItself,
    SaysReasoningAloud,
    SendsOpaqueDataToAnybody,
    StripsTheText,
    SwallowsErrors,
)
from tests.core.testing.conformance.broken_turns import (
    AddsUsageUp,
    CallsBeforeItsMessage,
    CatchesTheStop,
    ClaimsAnotherName,
    HandsOverTwice,
    KeepsStateBetweenTurns,
    LeaksTheKey,
    LeavesTasksBehind,
    LetsToolsRunOn,
    MixesTurns,
    RunsCommandsItself,
    RunsOneAfterTheOther,
    RunsTwinsOnce,
    SendsWhatItHad,
    SkipsUnknownTools,
    StopsAfterTheTools,
    StopsAtTheFirstFailure,
    SwallowsItsCancellation,
    TakesResultsAsTheyCome,
    TalksAfterwards,
    TellsTheModelOfTheLog,
)
from tests.core.testing.conformance.reference import Reference


@dataclass(frozen=True)
class Broken:
    """A faulty backend, the case meant for its fault, and the cases that necessarily fail with it.

    With `spoils_much` it fails too many others to list.
    """

    backend: type[Reference]
    meant: str
    also: frozenset[str] = frozenset()
    spoils_much: bool = False


def broken(backend: type[Reference], meant: str, *also: str, spoils_much: bool = False) -> Broken:
    return Broken(backend, meant, frozenset(also), spoils_much)


BROKEN = (
    broken(ClaimsAnotherName, "core.describes_itself"),
    broken(IgnoresTemperature, "core.temperature"),
    broken(DropsTemperatureZero, "core.temperature"),
    broken(HasItsOwnDefaults, "core.unset_settings"),
    broken(KeepsTheProvidersName, "core.model_name"),
    broken(LeaksTheKey, "core.key_in_its_place"),
    broken(KeepsStateBetweenTurns, "core.nothing_is_kept", "core.no_system_prompt"),
    broken(MixesTurns, "core.turns_at_once"),
    broken(TalksAfterwards, "core.ends_with_the_answer", "streaming.one_message_for_each_call"),
    broken(DoublesADelta, "streaming.deltas_make_the_message"),
    broken(HoldsTheTextBack, "streaming.as_it_comes", spoils_much=True),
    broken(StripsTheText, "streaming.text_to_the_letter"),
    broken(DropsReasoning, "streaming.reasoning", "streaming.reasoning_in_pieces"),
    broken(IsSilentDuringCalls, "streaming.signs_of_life"),
    broken(CompletesTwice, "streaming.one_message_for_each_call", "streaming.in_one_piece", "resume.its_own_turn"),
    broken(NeverCompletes, "core.answers", spoils_much=True),
    broken(MakesHalfCallsWhole, "tools.half_call"),
    broken(CallsAllEndsProper, "tools.other_ends"),
    broken(RunsCommandsItself, "tools.only_the_toolbox"),
    broken(SkipsUnknownTools, "tools.unknown_tool"),
    broken(MendsArguments, "tools.broken_arguments"),
    broken(HandsOverTwice, "tools.message_before_its_calls"),
    broken(CallsBeforeItsMessage, "tools.message_before_its_calls", spoils_much=True),
    broken(StopsAfterTheTools, "tools.the_model_has_the_last_word", spoils_much=True),
    broken(RunsOneAfterTheOther, "parallel.side_by_side"),
    broken(TakesResultsAsTheyCome, "parallel.results_in_order", "cancel.cancelled_in_a_tool"),
    broken(StopsAtTheFirstFailure, "parallel.one_fails"),
    broken(RunsTwinsOnce, "parallel.twins"),
    broken(SwallowsErrors, "errors.broken_stream", spoils_much=True),
    broken(RetriesByItself, "errors.no_own_retries"),
    broken(RaisesTheLibrarysErrors, "errors.model_not_found"),
    broken(LosesTheCause, "errors.chained"),
    broken(QuotesTheKey, "errors.sentence_without_key"),
    broken(FollowsRedirects, "errors.redirects"),
    broken(CatchesTheStop, "errors.turn_stopped"),
    broken(TellsTheModelOfTheLog, "errors.failing_log"),
    broken(SwallowsItsCancellation, "cancel.cancelled_while_speaking"),
    broken(LetsToolsRunOn, "cancel.cancelled_in_a_tool"),
    broken(LeavesTasksBehind, "cancel.nothing_runs_on"),
    broken(KeepsItsConnection, "cancel.closed_while_speaking", spoils_much=True),
    broken(BlocksTheLoop, "core.loop_stays_free", spoils_much=True),
    broken(InventsUsage, "usage.not_told", "usage.in_one_piece"),
    broken(ForgetsCachedTokens, "usage.told", "usage.in_one_piece"),
    broken(AddsUsageUp, "usage.each_its_own"),
    broken(SendsWhatItHad, "resume.what_the_core_says", "resume.broken_call"),
    broken(SaysReasoningAloud, "resume.reasoning_is_not_said"),
    broken(SendsOpaqueDataToAnybody, "resume.data_of_another_provider"),
    broken(DropsImages, "resume.images"),
    broken(ForgetsTheFirstTurns, "resume.earlier_turns"),
)
