"""Issues, pull requests and comments as text for the model; what is cut is counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmpilot.tools.github._models import Comment, Issue, Label, PullRequest, Review, User
from vmpilot.tools.web.content import clean

LONGEST_BODY = 10_000
LONGEST_COMMENT = 3_000
_LONGEST_TITLE = 300


def describe_login(user: User | None) -> str:
    """A deleted account has no user."""
    return f"@{user.login}" if user else "a deleted account"


def describe_line(item: Issue | PullRequest) -> str:
    """An issue or pull request on one line of a list."""
    facts = [f"by {describe_login(item.user)}", f"updated {item.updated_at[:10]}"]
    if isinstance(item, PullRequest):
        facts.append(f"{item.head.label or item.head.ref} -> {item.base.ref}")
    else:
        if item.labels:
            facts.append(f"labels: {describe_labels(item.labels)}")
        facts.append(f"{item.comments} comments")
    return f"#{item.number} [{describe_state(item)}] {describe_title(item.title)} ({', '.join(facts)})"


def describe_state(item: Issue | PullRequest) -> str:
    if isinstance(item, PullRequest):
        if item.merged or item.merged_at:
            return "merged"
        return "draft" if item.draft and item.state == "open" else item.state
    return item.state


def describe_title(title: str) -> str:
    return " ".join(clean(title).split())[:_LONGEST_TITLE]


def describe_labels(labels: Iterable[Label | str]) -> str:
    return ", ".join(label if isinstance(label, str) else label.name for label in labels)


def describe_body(body: str | None, *, longest: int = LONGEST_BODY) -> str:
    """A body; of a long one the beginning."""
    text = clean(body or "")
    if not text:
        return "(no text)"
    over = len(text) - longest
    return f"{text[:longest]}\n[… {over:,} characters cut …]" if over > 0 else text


def describe_comments(comments: Sequence[Comment], total: int) -> str:
    """The last comments of `total`, newest last."""
    if not comments:
        return "No comments."
    first = max(total, len(comments)) - len(comments) + 1
    counted = f"Comments {first} to {max(total, len(comments))} of {max(total, len(comments))}:"
    texts = [
        f"--- {describe_login(comment.user)}, {comment.created_at}\n"
        f"{describe_body(comment.body, longest=LONGEST_COMMENT)}"
        for comment in comments
    ]
    return "\n".join((counted, *texts))


def describe_reviews(reviews: Sequence[Review]) -> str:
    """The reviews with a text or a decision."""
    said = [review for review in reviews if review.body or review.state != "COMMENTED"]
    if not said:
        return "No reviews."
    texts = [
        f"--- {describe_login(review.user)}: {review.state.lower()}\n"
        + (describe_body(review.body, longest=LONGEST_COMMENT) if review.body else "")
        for review in said
    ]
    return "\n".join(("Reviews:", *texts)).rstrip()
