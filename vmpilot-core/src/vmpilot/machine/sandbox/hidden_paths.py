"""The paths that sandboxed commands cannot see: secrets of users and of the machine, and VMPilot's folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECRETS_OF_A_HOME = (
    # keys and tokens
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".my.cnf", ".git-credentials"),
    *(".pypirc", ".npmrc", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".m2/settings.xml"),
    *(".terraform.d/credentials.tfrc.json", ".vault-token", ".oci", ".boto", ".s3cfg", ".password-store", ".ngrok2"),
    *(".config/gcloud", ".config/gh", ".config/glab-cli", ".config/hub", ".config/doctl", ".config/hcloud"),
    *(".config/git/credentials", ".config/containers/auth.json", ".config/rclone", ".config/sops", ".config/op"),
    *(".local/share/keyrings", ".local/share/kwalletd", ".config/Bitwarden CLI"),
    # browsers and mail
    *(".mozilla", ".thunderbird", ".config/chromium", ".config/google-chrome", ".config/BraveSoftware"),
    *(".config/microsoft-edge", ".config/vivaldi", ".config/opera", "snap/firefox", "snap/chromium"),
    # what was typed
    *(".bash_history", ".zsh_history", ".local/share/fish/fish_history", ".python_history", ".psql_history"),
    *(".mysql_history", ".rediscli_history", ".node_repl_history"),
)
SECRETS_OF_THE_MACHINE = (
    *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/security/opasswd", "/etc/krb5.keytab"),
    *("/etc/ssl/private", "/etc/letsencrypt", "/etc/wireguard", "/etc/openvpn", "/etc/ipsec.secrets"),
    *("/etc/kubernetes", "/etc/rancher", "/etc/NetworkManager/system-connections", "/etc/ppp", "/etc/docker/key.json"),
    *("/var/lib/kubelet", "/var/lib/rancher", "/var/lib/docker/swarm", "/var/lib/NetworkManager", "/var/lib/vault"),
    *("/var/lib/systemd/credential.secret", "/etc/credstore", "/etc/credstore.encrypted", "/etc/ansible/vault"),
)
_PATTERNS = (
    ("/etc/ssh", re.compile(r"ssh_host_.*_key")),
    ("/tmp", re.compile(r"\.X11-unix|\.ICE-unix|(?:ssh-|tmux-|screen|agent-).*")),  # noqa: S108  folders of sockets
)
_HOMES = Path("/home")
_MOST_HOMES = 16
"""With more users, whole homes are hidden."""


@dataclass(frozen=True, slots=True)
class HiddenPaths:
    """Whose secrets are hidden, and what else. `own_folders` are VMPilot's (settings, approvals, the log)."""

    home: Path
    own_folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, home: str, own_folders: Iterable[Path]) -> HiddenPaths:
        """The paths for a user with this home folder (`$HOME`; may be empty)."""
        return cls(Path(home or "/nonexistent").resolve(), tuple(own_folders))

    def hidden(self) -> list[Path]:
        """Paths to hide that exist now: links followed, nothing twice, nothing below another."""
        found = sorted({path for candidate in self._candidates() if (path := _existing(candidate))})
        return [path for path in found if not any(parent in found for parent in path.parents)]

    def _candidates(self) -> Iterator[Path]:
        yield from self.own_folders
        yield from map(Path, SECRETS_OF_THE_MACHINE)
        for folder, pattern in _PATTERNS:
            yield from (Path(entry.path) for entry in _entries(Path(folder)) if pattern.fullmatch(entry.name))
        own, *others = self.homes()
        if len(others) > _MOST_HOMES:
            yield from others
            others = []
        for home in (own, *others):
            yield from (home / name for name in SECRETS_OF_A_HOME)

    def homes(self) -> list[Path]:
        """The user's home first, then those of others."""
        homes = [Path("/root"), *sorted(Path(entry.path) for entry in _entries(_HOMES) if entry.is_dir())]
        return [self.home, *(home for home in homes if home != self.home and home not in self.home.parents)]


def _existing(path: Path) -> Path | None:
    """The path with links followed, if it exists and can be reached."""
    try:
        path.lstat()  # quick: most do not exist
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
