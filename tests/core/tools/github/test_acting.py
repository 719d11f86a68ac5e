"""Creating issues, pull requests, comments and branches, and their effects."""

from __future__ import annotations

from typing import Any

import pytest

from vmpilot.contract import Acts, ToolError
from vmpilot.tools.github._models import Issue, read
from vmpilot.tools.github._writing import check_branch, name_branch

from .conftest import COMMIT, DAY, Caller, Hub, Reply


async def test_an_issue_is_created_and_can_be_viewed(hub: Hub, call: Caller) -> None:
    made = await call("create_issue", title="Disk full", body="On /var", labels=["bug"])
    assert made.text == "Created issue #1 in octo/repo: https://github.com/octo/repo/issues/1"
    assert hub.asked[0].data == {"title": "Disk full", "body": "On /var", "labels": ["bug"]}
    assert "On /var" in (await call("view_issue", number=1)).text


@pytest.mark.parametrize("kind", ["issue", "pull_request"])
async def test_a_comment_is_created(hub: Hub, call: Caller, kind: str) -> None:
    hub.add_issue("Disk full")
    made = await call(f"comment_{kind}", number=1, body="Done.")
    assert made.text == "Commented on #1 in octo/repo: https://github.com/octo/repo#c1"
    assert hub.comments[1][0]["body"] == "Done."


async def test_a_pull_request_targets_the_default_branch_unless_another_is_named(hub: Hub, call: Caller) -> None:
    made = await call("create_pull_request", title="A change", head="topic", body="Why", draft=True)
    assert made.text.startswith("Created pull request #1 in octo/repo, topic -> main: https://")
    assert hub.asked[-1].data == {"title": "A change", "head": "topic", "body": "Why", "draft": True, "base": "main"}
    await call("create_pull_request", title="A change", head="me:topic", base="release", draft=False, body="")
    assert hub.asked[-1].data == {"title": "A change", "head": "me:topic", "base": "release"}


async def test_a_branch_is_created_from_an_issue_and_linked_to_it(hub: Hub, call: Caller) -> None:
    hub.add_issue("Disk full: /var, again!")
    made = (await call("branch_from_issue", number=1)).text
    assert made == (
        "Created branch 1-disk-full-var-again in octo/repo from main (0123456789), linked to #1. "
        "To work on it: git fetch origin && git switch 1-disk-full-var-again"
    )
    assert hub.branches["1-disk-full-var-again"] == COMMIT
    linking = hub.asked[-1]
    assert linking.path == "/graphql"
    assert linking.data["variables"] == {
        "issue": "I_1",
        "oid": COMMIT,
        "name": "1-disk-full-var-again",
        "repository": "R_1",
    }


async def test_a_branch_is_created_even_if_it_cannot_be_linked(hub: Hub, call: Caller) -> None:
    hub.links = False
    hub.branches["stable/2"] = "f" * 40
    hub.add_issue("Disk full")
    made = (await call("branch_from_issue", number=1, base="stable/2", branch="fix/disk#1")).text
    assert "Created branch fix/disk#1 in octo/repo from stable/2 (ffffffffff), not linked to" in made
    assert hub.branches["fix/disk#1"] == "f" * 40
    assert hub.asked[-1].data == {"ref": "refs/heads/fix/disk#1", "sha": "f" * 40}


async def test_an_existing_branch_is_left_alone(hub: Hub, call: Caller) -> None:
    hub.add_issue("Disk full")
    hub.branches["1-disk-full"] = "e" * 40
    assert "The branch 1-disk-full already exists" in (await call("branch_from_issue", number=1)).text
    assert hub.branches["1-disk-full"] == "e" * 40
    assert all(asked.method == "GET" for asked in hub.asked)


async def test_a_branch_needs_an_issue_and_a_base(hub: Hub, call: Caller) -> None:
    hub.add_pull("A change")
    hub.add_issue("Disk full")
    with pytest.raises(ToolError, match="#1 is a pull request"):
        await call("branch_from_issue", number=1)
    with pytest.raises(ToolError, match="The branch nowhere does not exist in octo/repo"):
        await call("branch_from_issue", number=2, base="nowhere")
    with pytest.raises(ToolError, match="Invalid branch name"):
        await call("branch_from_issue", number=2, branch="a..b")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Ünïcode & Ähnliches", "7-unicode-ahnliches"),
        ("日本語", "7"),
        ("../../etc/passwd", "7-etc-passwd"),
        ("a very long title that goes on and on and on and on", "7-a-very-long-title-that-goes-on-and-on-and-on-and"),
        ("x" * 100, "7"),
    ],
)
def test_a_branch_is_named_after_the_issue(title: str, name: str) -> None:
    facts = {"number": 7, "title": title, "state": "open", "html_url": "", "created_at": DAY, "updated_at": DAY}
    found = name_branch(read(facts, Issue))
    assert found == name
    assert check_branch(found) == found


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a..b",
        "a@{b",
        "/a",
        "a/",
        "a//b",
        "a/.b",
        "a.lock",
        "a.",
        "@",
        "a\nb",
    ],
)
def test_invalid_branch_names_are_rejected(name: str) -> None:
    with pytest.raises(ToolError):
        check_branch(name)


def test_the_effect_names_action_and_repository(call: Caller) -> None:
    arguments = {
        "action": "create_issue",
        "repository": "octo/repo",
        "title": "A",
        "body": "First\nsecond",
        "labels": [],
    }
    assert call.tool.effect(arguments) == Acts("create_issue octo/repo")
    assert call.tool.title(arguments) == 'GitHub create_issue octo/repo: {"title": "A", "body": "First\\nsecond"}'


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"action": "create_issue"}, "create_issue requires title"),
        ({"action": "create_issue", "title": " "}, "create_issue requires title"),
        ({"action": "comment_issue"}, "comment_issue requires number and body"),
        (
            {"action": "view_issue", "number": 1, "body": "x"},
            "view_issue does not accept body. .* it accepts: number, count",
        ),
        ({"action": "list_issues", "repository": "octo"}, "Expected OWNER/NAME"),
        ({"action": "list_issues", "repository": "octo/.."}, "Expected OWNER/NAME"),
        ({"action": "list_issues", "repository": "octo/repo/../../x"}, "Expected OWNER/NAME"),
    ],
)
async def test_invalid_arguments_are_rejected_before_anything_is_sent(
    hub: Hub, call: Caller, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(ToolError, match=why):
        call.tool.effect({"repository": "octo/repo"} | arguments)
    with pytest.raises(ToolError, match=why):
        await call(**arguments)
    assert hub.asked == []


async def test_a_new_issue_in_a_moved_repository_is_not_sent_elsewhere(hub: Hub, call: Caller) -> None:
    moved = Reply({"message": "Moved"}, 301, {"location": f"{hub.url}/repositories/1/issues"})
    hub.replies["POST /repos/octo/repo/issues"] = moved
    with pytest.raises(ToolError, match="has moved"):
        await call("create_issue", title="A")
    assert len(hub.asked) == 1
