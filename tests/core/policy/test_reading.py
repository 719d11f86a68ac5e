"""Which shell lines run without a question: benign ones, hostile ones by the trick they use, and bash as the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.contract import Acts, RunsCommand
from vmpilot.policy import Gate, plainly_reads
from vmpilot.policy.reading import LINE_LIMIT, changes_folder, simple_commands
from vmpilot.policy.reading_programs import PROGRAMS

BENIGN = [
    "ls",
    "ls -la",
    "ls -lah --color=never /var/log",
    "cd src && ls -R",
    "pwd; whoami; hostname",
    "cat README.md",
    "cat -n src/main.py | head -50",
    "head -n 20 /var/log/syslog",
    "tail -n -5 notes.txt",
    "wc -l src/*.py",
    "wc -l test_*.py",
    "grep -rn TODO src",
    "grep -rn run etc",
    "grep -rn error /var/log",
    "grep -rn 'def main' --include=*.py .",
    "grep -E '^(a|b)+$' words.txt",
    "grep -c processor /proc/cpuinfo",
    "cat /proc/meminfo | grep -i memfree",
    "find . -name '*.py' -type f",
    "find /var -size +100M -mtime -7",
    "find / -xdev -type f -size +1G 2>/dev/null | head -20",
    "du -sh /var/log 2>/dev/null",
    "du -xh --max-depth=1 / 2> /dev/null | sort -rh | head -n 15",
    "df -h",
    "df -h / && free -m",
    "ps aux | sort -k4 -n | tail -5",
    "ps -eo pid,comm,rss --sort=-rss | head",
    "ps -p 1 -o args",
    "uname -a",
    "date",
    "date -u +%F",
    "date -d yesterday",
    "id -un",
    "uptime",
    "nproc --all",
    "lscpu | grep -i model",
    "lsblk -o NAME,SIZE",
    "ss -tlnp",
    "ip -br addr",
    "ip r",
    "systemctl status ssh --no-pager",
    "systemctl --no-pager list-units --type=service",
    "systemctl -p ActiveState show ssh",
    "journalctl -u ssh -n 100 --no-pager",
    "journalctl -b -1 -p err",
    "dpkg -l",
    "apt-cache policy bash",
    "echo 'it is 5 > 3; rm -rf / would be $HOME'",
    "printf '%s %s' done now",
    "stat -c %s pyproject.toml",
    "file /bin/ls",
    "sort -t: -k3 -n /etc/passwd",
    "cut -d: -f1 /etc/passwd | sort | uniq -c",
    "diff -u a.txt b.txt",
    "sha256sum LICENSE",
    "tree -L 2 -I node_modules",
    "test -f setup.py && echo yes || echo no",
    "which python3",
    "seq 1 10",
    "ls >/dev/null 2>&1",
    "ls 'a b' \"c d\"",
    "true;",
]

HOSTILE = {
    "a second command": [
        "ls; rm -rf /",
        "ls && rm x",
        "ls || rm x",
        "ls | sh",
        "ls & rm x",
        "ls &",
        "ls |& sh",
        "ls\nrm x",
        "ls\r\nrm x",
        "ls;\nrm x",
        "ls |\nsh",
        "cat x | tee y",
        "echo x | xargs rm",
        "ls;rm${IFS}x",
        "ls;{ rm x; }",
        "ls; (rm x)",
    ],
    "substitution": [
        "ls $(rm x)",
        "ls `rm x`",
        'ls "$(rm x)"',
        'ls "`rm x`"',
        "cat <(rm x)",
        "cat <<< $(rm x)",
        "ls $((a[$(rm x)]))",
        "ls ${x:=$(rm x)}",
        'echo "${x@P}"',
        "cat $HOME/x",
        'cat "$FILE"',
        "ls ~root",
        "ls ~/x",
        "echo $'\\x72m'",
        'echo $"x"',
        "ls $[1+1]",
    ],
    "compound syntax": [
        "if true; then rm x; fi",
        "for f in a; do rm $f; done",
        "while true; do rm x; done",
        "case a in a) rm x;; esac",
        "{ ls; }",
        "(ls)",
        "! ls",
        "ls() { rm x; }; ls",
        "function ls { rm x; }",
        "[[ -f x ]]",
        "(( x = 1 ))",
        "coproc ls",
        "time ls",
        "ls ; ; ls",
        "ls &&",
        "| ls",
        "ls ||",
        "ls # rm",
        "cat << EOF",
        "ls;;ls",
    ],
    "a wrapper": [
        "sudo ls",
        "env ls",
        "env -S 'rm x'",
        "xargs ls",
        "nohup ls",
        "nice ls",
        "timeout 5 ls",
        "stdbuf -o0 ls",
        "command rm x",
        "builtin eval x",
        "exec ls",
        "eval ls",
        "bash -c ls",
        "sh -c 'rm x'",
        "python3 -c 1",
        "perl -e 1",
        "busybox rm x",
        "watch ls",
        "strace ls",
        "script -c ls",
        "setsid ls",
        "ssh host ls",
        "doas ls",
        "chroot / ls",
        "unshare ls",
        "parallel rm",
        ". ./x",
        "source x",
        "trap 'rm x' EXIT",
        "alias ls=rm",
        "awk 'BEGIN{system(0)}'",
        "sed -n 1e x",
        "vim -c x",
        "less x",
        "man ls",
        "git status",
        "tar cf x y",
        "curl http://x",
        "nc -l 1",
        "docker ps",
        "mount",
    ],
    "a program by another name": [
        "/bin/ls",
        "./ls",
        "\\ls",
        "l\\s",
        "'/bin/ls'",
        "l?",
        "LS",
        "'ls '",
        "''",
        "\u0441at x",
        "'\u0441at' x",
        "\uff4c\uff53",
        "ls\u200b",
        "c\u00adat x",
    ],
    "an assignment": [
        "PATH=. ls",
        "LD_PRELOAD=./x.so ls",
        "x=1",
        "BASH_ENV=x ls",
        "IFS=/ ls",
        "a[0]=1 ls",
        "export PATH=.",
        "declare x=1",
        "printf -v PATH x",
        "read x",
        "unset PATH",
        "test -v 'a[$(id)]'",
    ],
    "a redirection": [
        "ls > x",
        "ls >> x",
        "echo x >| y",
        "echo x > /etc/passwd",
        "ls 2> x",
        "ls &> x",
        "ls >& x",
        "cat < x",
        "cat <> x",
        "ls > /dev/null/../../etc/x",
        "ls > /dev/nullx",
        "ls >/dev/null>x",
        "ls > '/dev/null'x",
        "ls 2>&1x",
        "ls 3> x",
        "ls {fd}> x",
        "echo x > /dev/tcp/127.0.0.1/80",
        "ls >  /dev/sda",
        "ls >\u00a0/dev/null",
        "> x",
    ],
    "an option that writes or runs": [
        "find . -delete",
        "find . -exec rm {} +",
        "find . -execdir rm x",
        "find . -ok rm x",
        "find . -fprint x",
        "find . -fprintf x y",
        "find . -fls x",
        "find . -files0-from x",
        "sort -o x y",
        "sort -ox y",
        "sort --output=x y",
        "sort --outp=x y",
        "sort --compress-program=sh x",
        "sort -S 1b --compress-prog=sh x",
        "sort -T /x y",
        "uniq a b",
        "uniq -c a b",
        "tree -o x",
        "tree -Po pattern x",
        "tree -Lo 2 x",
        "tree -R -H . -o x",
        "date -s 2020-01-01",
        "date 010100002020",
        "date --set=x",
        "date -us x",
        "date -d -d 010100002020",
        "hostname evil",
        "hostname -F x",
        "file -C -m x",
        "ip link set eth0 down",
        "ip -b a",
        "ip -batch a",
        "ip -force a",
        "ip -n x a",
        "ip netns exec x ls",
        "ss -K",
        "ss --kill",
        "ss -D x",
        "journalctl --vacuum-size=1K",
        "journalctl --rotate",
        "journalctl --flush",
        "journalctl --cursor-file=x",
        "journalctl -f",
        "tail -f x",
        "tail --follow x",
        "dpkg -i x",
        "dpkg -r x",
        "dpkg --purge x",
        "dpkg -lr x",
        "apt-cache gencaches",
        "apt-cache -o Dir::Bin::x=y policy",
        "systemctl restart ssh",
        "systemctl edit ssh",
        "systemctl -H host status",
        "systemctl -p status restart ssh",
        "systemctl -p -p restart status",
        "systemctl --type status restart x",
        "systemctl --state status restart x",
        "lsblk --sysroot x",
        "md5sum -c x",
        "wc --files0-from=x",
        "grep -f x y",
        "diff --to-file=x y",
        "who x --unknown",
        "stat --unknown x",
        "ls -- -x",
        "sort -- -o",
        "cat --",
        "ls -laX1q\u00e9",
        "head --line=5 x",
        "free -s 1",
        "type -f ls",
    ],
    "wildcards that become options or secrets": [
        "sort *",
        "sort ?x",
        "sort ''*",
        "sort '-'*",
        'sort ""?o.txt',
        "ls -*",
        "find . -name *.py",
        "cat *.txt",
        "cat ./*",
        "cat */x.txt",
        "cat /etc/sh*w",
        "cat /etc/shado?",
        "cat /pro?/1/envir?n",
        "cat /proc/*/cmdline",
        "head -c 9 /de?/sda",
        "cat /etc/ssl/*/x.txt",
        "cat .*.txt",
        "cat src/.?nv.txt",
        "cat [a]bc",
        "cat {a,b}",
        "cat @(a|b)",
        "cat keys/*.pem",
    ],
    "a secret or a device": [
        "cat .env",
        "cat ./.env",
        "cat src/.git/config",
        "cat .e''nv",
        "cat '.env'",
        "ls .ssh",
        "cat /root/.ssh/id_rsa",
        "cat id_ed25519",
        "cat /etc/shadow",
        "cat /etc/gshadow-",
        "cat /etc//shadow",
        "cat /etc/SHADOW",
        "cat /etc/ssh/ssh_host_rsa_key",
        "cat /etc/security/opasswd",
        "cat server.pem",
        "cat tls.key",
        "cat store.p12",
        "cat aws_credentials",
        "cat api_token.txt",
        "cat terraform.tfstate",
        "cat /run/secrets/db",
        "cat /etc/wireguard/wg0.conf",
        "cat /proc/1/environ",
        "cat /proc/self/environ",
        "cat /proc/self/../1/environ",
        "cat /proc/cpuinfo/../1/maps",
        "cat //proc//kcore",
        "cd /; cat proc/1/maps",
        "cd /proc/1",
        "cat /dev/sda",
        "strings /dev/mem",
        "head -c 1 /./dev/sda",
        "cd /dev",
        "grep x --include=.env -r .",
        "diff /dev/null /etc/shadow",
        "grep -r BEGIN /",
        "grep -r BEGIN /root",
        "grep -rn BEGIN /root/",
        "grep --recursive BEGIN //root/.",
        "grep -nr x /etc/ssh",
        "grep -r x /home/someone",
        "grep -r x src/../../..",
        "diff -r /etc /srv",
        "ps e",
        "ps axe",
        "ps -ue",
        "ps -u e",
        "ps eww",
        "ps -o environ",
    ],
    "padding and odd characters": [
        "ls" + " " * LINE_LIMIT + "; rm x",
        "ls " + "a" * LINE_LIMIT,
        "ls;\u00a0rm x",
        "ls;\u2003ls",
        "ls ;\rls",
        "ls ;\vls",
        "ls &&\fls",
        "ls\t-la",
        "ls \x00",
        "ls '\x00'",
        "ls \x1b[2K",
        "ls '\x1b]0;x'",
        "ls \ud800",
        "ls \u202e",
        "ls \u2028rm x",
        "ls !!",
        'echo "!x"',
        "ls 'a",
        'ls "a',
        "ls 'a\nb'",
        "ls a\\",
        "ls \\\nrm x",
        "",
        " ",
        "\n",
        ";",
        "#",
    ],
}

_LINES = [pytest.param(line, id=f"{trick}: {line[:40]!a}") for trick, lines in HOSTILE.items() for line in lines]


@pytest.mark.parametrize("line", BENIGN)
def test_reading_needs_no_question(line: str) -> None:
    assert plainly_reads(line)


@pytest.mark.parametrize("line", _LINES)
def test_a_hostile_line_is_asked_about(line: str) -> None:
    assert not plainly_reads(line)


def test_the_table_of_hostile_lines_is_large() -> None:
    lines = [line for group in HOSTILE.values() for line in group]
    assert len(lines) == len(set(lines)) >= 150


def test_benign_lines_are_correct_shell() -> None:
    script = "\n".join(BENIGN)
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_no_program_takes_an_unknown_option(program: str) -> None:
    for option in ("--exec=x", "--delete", "--no-such-option", "--", "-@", "-:", "-#", "-é"):
        assert not PROGRAMS[program].permits([option]), option


def test_a_value_hides_nothing() -> None:
    sort = PROGRAMS["sort"]
    assert sort.permits(["-k", "2", "-t,"])
    assert not sort.permits(["-k", "-o", "x"])
    assert not sort.permits(["-k"])


# Every program of the table is a function here that only notes how it was called; nothing else can be found.
_SPY = (
    "".join(
        f"{name}() {{ builtin printf '%s\\0' {name} \"$@\" $'\\1' >&3; }}\n" for name in sorted(PROGRAMS) if name != "["
    )
    + "set -f; PATH=/nonexistent\n"
)


def read_by_bash(line: str, folder: Path) -> list[tuple[str, ...]]:
    """The simple commands that bash runs for the line, in any order; `||` is to be left out of it."""
    notes = folder / "notes"
    script = f"exec 3>{notes}\n{_SPY}{line}\n"
    subprocess.run(
        ["bash", "--norc"],
        input=script.encode(),
        cwd=folder,
        env={},
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    calls = notes.read_bytes().decode().split("\x01\0")
    return sorted(tuple(call.split("\0")[:-1]) for call in calls if call)


@pytest.mark.parametrize("line", [line for line in BENIGN if "||" not in line])
def test_benign_lines_are_read_as_bash_reads_them(line: str, tmp_path: Path) -> None:
    assert sorted(simple_commands(line) or ()) == read_by_bash(line, tmp_path)


_TOKENS = st.sampled_from(
    [
        *["ls", "cat", "echo", " ", "  ", ";", "&&", "|", "&", "a", "-l", "'", '"', "''", "' '", '" "', "x y", "\\"],
        *["2>&1", ">/dev/null", "2> /dev/null", ">", "<", "1", "2", "$", "`", "(", ")", "{", "}", "#", "~", "!", "\n"],
        *["*", "?", "[", "=", "x=", "\u00a0", "\r", "\t", "é", ".", "/", "%", "^", "@", "+", ",", ":"],
    ]
)


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(tokens=st.lists(_TOKENS, max_size=7))
def test_what_is_read_is_read_as_bash_reads_it(tokens: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    line = "ls " + "".join(tokens)
    commands = simple_commands(line)
    if commands is None or "||" in line or any(command[0] not in PROGRAMS for command in commands):
        return
    assert sorted(commands) == read_by_bash(line, tmp_path_factory.getbasetemp())


def test_leaving_the_folder_is_noticed() -> None:
    assert changes_folder("ls; cd src && ls")
    assert not changes_folder("ls cd")
    assert not changes_folder("cd $(rm x)")


def runs(line: str) -> RunsCommand:
    return RunsCommand(line, Path("/"))


@pytest.mark.parametrize(
    ("mode", "action"), [("observe", "deny"), ("operate", "ask"), ("full", "allow")], ids=["observe", "operate", "full"]
)
def test_what_a_mode_does_with_the_rest(mode: str, action: str) -> None:
    gate = Gate(mode)  # type: ignore[arg-type]
    assert gate.decide("shell", runs("ls")).action == "allow"
    assert gate.decide("shell", runs("rm x")).action == action
    assert gate.decide("write_note", Acts()).action == action


def test_calls_run_side_by_side_only_where_that_is_safe() -> None:
    gate = Gate("full")
    assert not gate.decide("shell", runs("ls")).alone
    assert gate.decide("shell", runs("cd src")).alone
    assert gate.decide("shell", runs("touch x")).alone
