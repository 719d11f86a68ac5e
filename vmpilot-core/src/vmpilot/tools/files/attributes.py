"""Gives a new file what the old one had: owner, access lists and other extended attributes, mode."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


class OwnerLost(Exception):
    """The new file cannot be given the old one's owner."""


def copy_attributes(source: int, target: int) -> None:
    """From one open file to another. Raises `OwnerLost`, OSError; extended attributes as far as the system lets us."""
    facts = os.fstat(source)
    mine = os.fstat(target)
    if (facts.st_uid, facts.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(target, facts.st_uid, facts.st_gid)
        except PermissionError as error:
            raise OwnerLost from error
    with suppress(OSError):
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))  # last: a change of owner takes bits away
