"""Errors from GitHub say what to do; and the token only goes to GitHub."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.tools.web.conftest import USE, run_site

from vmpilot.contract import Secret, ToolError
from vmpilot.tools.github import GitHub

from .conftest import NOW, TOKEN, Caller, Hub, Reply, make_hub

ISSUE = "GET /repos/octo/repo/issues/1"
IN_TEN_MINUTES = str(int(NOW.timestamp()) + 600)


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (Reply({"message": "Bad credentials"}, 401), "('Bad credentials'). GITHUB_TOKEN is invalid or has expired"),
        (Reply({"message": "Not Found"}, 404), "It does not exist, or GITHUB_TOKEN may not see it"),
        (
            Reply({"message": "Not Found"}, 404, {"x-oauth-scopes": "gist", "x-accepted-oauth-scopes": "repo"}),
            "GITHUB_TOKEN has the scopes gist but needs one of: repo",
        ),
        (Reply({"message": "This issue was deleted"}, 410), "It was deleted, or issues are disabled"),
        (
            Reply({"message": "No"}, 403, {"x-oauth-scopes": "", "x-accepted-oauth-scopes": "repo, public_repo"}),
            "GITHUB_TOKEN has the scopes (none) but needs one of: repo, public_repo",
        ),
        (
            Reply({"message": "No"}, 403, {"x-oauth-scopes": "repo", "x-accepted-oauth-scopes": "repo"}),
            "GITHUB_TOKEN lacks the permission",
        ),
        (
            Reply({"message": "No"}, 403, {"x-accepted-github-permissions": "issues=write"}),
            "GITHUB_TOKEN needs the permission issues=write",
        ),
        (
            Reply({"message": "No"}, 403, {"x-github-sso": "required; url=https://github.com/orgs/octo/sso"}),
            "authorize GITHUB_TOKEN for the organization's single sign-on",
        ),
        (
            Reply(
                {"message": "API rate limit exceeded"},
                403,
                {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": IN_TEN_MINUTES},
            ),
            "The rate limit (5000 per hour) is used up. Retry at 12:10:00 UTC (in 10 min), not earlier",
        ),
        (
            Reply({"message": "You have exceeded a secondary rate limit"}, 403, {"retry-after": "90"}),
            "(secondary rate limit). Retry at 12:01:30 UTC (in 90 s), not earlier",
        ),
        (Reply({"message": "You have exceeded a secondary rate limit"}, 403), "Retry at 12:01:00 UTC (in 60 s)"),
        (Reply({"message": "Slow down"}, 429), "Retry at 12:01:00 UTC"),
        (
            Reply({"message": "x"}, 403, {"x-ratelimit-limit": "a", "x-ratelimit-remaining": "0", "retry-after": "b"}),
            "within an hour",
        ),
        (Reply({"message": "Oops"}, 502), "GitHub has a problem. Try again later"),
        (
            Reply("<html>Bad gateway</html>", 502, {"content-type": "text/html"}),
            "502 Bad Gateway. GitHub has a problem",
        ),
        (Reply("<html>Denied</html>", 403, {"content-type": "text/html"}), "GITHUB_TOKEN lacks the permission"),
        (Reply("nothing", 422, {"content-type": "text/odd; charset=klingon"}), "Correct the fields that it names"),
        (Reply({"message": f"Bad {TOKEN}"}, 400), "('Bad [token]'). The user has to look into it."),
    ],
)
async def test_an_error_states_the_reason_and_what_to_do(hub: Hub, call: Caller, reply: Reply, advice: str) -> None:
    hub.replies[ISSUE] = reply
    with pytest.raises(ToolError) as caught:
        await call("view_issue", number=1)
    assert str(caught.value).startswith(f"octo/repo: GitHub returned {reply.status} ")
    assert advice in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"resource": "Issue", "field": "title", "code": "missing_field"}], "Issue title missing_field"),
        ([{"resource": "PullRequest", "code": "custom", "message": "No commits between main and x"}], "No commits"),
        (["Label does not exist", "Other"], "Label does not exist; Other"),
        ("just a text", "just a text"),
        (None, "Validation Failed'"),
    ],
)
async def test_invalid_fields_are_named(hub: Hub, call: Caller, errors: object, expected: str) -> None:
    hub.replies["POST /repos/octo/repo/issues"] = Reply({"message": "Validation Failed", "errors": errors}, 422)
    with pytest.raises(ToolError, match="Validation Failed") as caught:
        await call("create_issue", title="A")
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", ["<html>Log in</html>", "", [], {"number": "one"}, 3, "[" * 100_000])
async def test_a_response_that_is_not_githubs_is_an_error(hub: Hub, call: Caller, value: object) -> None:
    hub.replies[ISSUE] = Reply(value)
    with pytest.raises(ToolError, match=r"check (?:the API's|its) address"):
        await call("view_issue", number=1)


async def test_an_oversized_response_is_an_error(hub: Hub, call: Caller) -> None:
    hub.replies[ISSUE] = Reply("[" + "1," * 5_000_000)
    with pytest.raises(ToolError, match="exceeds 8 MB"):
        await call("view_issue", number=1)


async def test_a_redirect_within_the_api_is_followed(hub: Hub, call: Caller) -> None:
    hub.add_issue("Disk full")
    hub.replies["GET /repos/old/name/issues/1"] = Reply({}, 301, {"location": f"{hub.url}/repos/octo/repo/issues/1"})
    assert "Disk full" in (await call("view_issue", repository="old/name", number=1)).text


@pytest.mark.parametrize("where", ["redirect", "next page"])
async def test_the_token_goes_to_no_other_server(hub: Hub, call: Caller, where: str) -> None:
    async for other in run_site(None):
        elsewhere = make_hub(other)
        if where == "redirect":
            hub.replies[ISSUE] = Reply({}, 302, {"location": f"{elsewhere.url}/repos/octo/repo/issues/1"})
        issue = hub.add_issue("A", is_pull=True)
        headers = {"link": f'<{elsewhere.url}/repos/octo/repo/issues?page=2>; rel="next"'}
        hub.replies["GET /repos/octo/repo/issues"] = Reply([issue], headers=headers)
        with pytest.raises(ToolError, match="redirected to another server"):
            await (call("view_issue", number=1) if where == "redirect" else call("list_issues"))
        assert elsewhere.asked == []


async def test_the_token_is_sent_and_shown_nowhere(hub: Hub, call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    hub.add_issue("Disk full")
    tool = call.tool
    found = await tool.run({"action": "view_issue", "repository": "octo/repo", "number": 1}, USE)
    assert hub.asked[0].authorization == f"token {TOKEN}"
    assert TOKEN not in "".join((repr(tool), repr(vars(tool)), found.text, caplog.text))


async def test_a_token_is_not_sent_unencrypted(tmp_path: Path) -> None:
    caller = Caller(tmp_path, "http://github.example/api/v3")
    with pytest.raises(ToolError, match=r"not sent unencrypted to http://github\.example"):
        await caller("list_issues")


async def test_an_unreachable_server_is_an_error_that_warns_of_a_possible_change(tmp_path: Path) -> None:
    caller = Caller(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ToolError, match=r"GitHub \(127\.0\.0\.1\) did not respond: [^.]+\.$"):
        await caller("list_issues")
    with pytest.raises(ToolError, match="may have been made: check before"):
        await caller("create_issue", title="A")


async def test_canceling_closes_the_connection_at_once(hub: Hub, call: Caller) -> None:
    hub.site.never_ends("/repos/octo/repo/issues/1")
    running = asyncio.create_task(call.tool.run({"action": "view_issue", "repository": "octo/repo", "number": 1}, USE))
    await hub.site.begun.wait()
    running.cancel()
    await asyncio.wait_for(hub.site.gone.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_github_enterprise_has_its_api_below_a_path(tmp_path: Path) -> None:
    async for site in run_site(None):
        hub = make_hub(site, "/api/v3")
        hub.add_issue("Disk full")
        caller = Caller(tmp_path, f"{hub.url}/")
        assert "Disk full" in (await caller("view_issue", number=1)).text
        await caller("branch_from_issue", number=1)
        paths = {seen.path for seen in site.seen}
        assert "/api/v3/repos/octo/repo/issues/1" in paths
        assert "/api/graphql" in paths


def test_an_unavailable_tool_says_why() -> None:
    assert GitHub.unavailable_reason(None) == "no token: set GITHUB_TOKEN"
    assert GitHub.unavailable_reason(Secret(" ")) == "no token: set GITHUB_TOKEN"
    assert GitHub.unavailable_reason(Secret(TOKEN)) is None
    assert GitHub.unavailable_reason(Secret(TOKEN), "https://github.example/api/v3") is None
    assert "use an https:// address" in str(GitHub.unavailable_reason(Secret(TOKEN), "http://github.example"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("web.WebFetch.unavailable_reason()", "httpx2, lxml_html_clean, trafilatura not installed: "),
        ("web.WebSearch.unavailable_reason()", "ddgs not installed: "),
        ("web.WebSearch.unavailable_reason(web.GoogleAccount(s, 'x'))", "httpx2 not installed: "),
        ("github.GitHub.unavailable_reason(s)", "gidgethub, httpx2 not installed: "),
    ],
)
def test_a_missing_library_is_named_with_its_install_command(expression: str, expected: str) -> None:
    code = (
        "import sys; from vmpilot.contract import Secret; from vmpilot.tools import github, web; s = Secret('x');"
        "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]; sys.path_importer_cache.clear();"
        f"print({expression})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert expected in said
    assert "vmpilot-core[" in said
