"""The hosts file, the hosts that ``--on`` names, and what reaches ssh and the shell behind it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from onnxcost.errors import InputError
from onnxcost.fleet.hosts import Host, load_hosts, select_hosts
from onnxcost.fleet.ssh import remote_command, ssh_command

FILE = """
[pi5]
address = "10.0.0.7"
user = "pi"
port = 2222
identity = "~/.ssh/board"
command = "'/opt/my venv/bin/python' -m onnxcost"
provider = "xnnpack"
threads = 4
tags = ["arm", "lab"]
timeout = 90

[orin]
tags = ["arm"]
"""
PI5 = Host(
    "pi5",
    "10.0.0.7",
    "pi",
    2222,
    "~/.ssh/board",
    ("/opt/my venv/bin/python", "-m", "onnxcost"),
    "xnnpack",
    4,
    ("arm", "lab"),
    90,
)
ORIN = Host("orin", "orin", tags=("arm",))
KNOWN = {"pi5": PI5, "orin": ORIN}


def test_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(FILE)
    assert load_hosts(tmp_path / "hosts.toml") == KNOWN


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pi5", "cannot read"),
        ("pi5 = 1", "a host must be a table"),
        ("[-oProxyCommand]\n", "a host name consists of letters"),
        ("[all]\n", "is not 'all'"),
        ("['a b']\n", "a host name consists of letters"),
        ("[a]\nadress = 'x'", "has no option 'adress'; did you mean 'address'?"),
        ("[a]\naddress = '-oProxyCommand=touch x'", "address must be the name or the number of a host"),
        ("[a]\naddress = 'a; touch x'", "address must be"),
        ("[a]\naddress = 7", "address must be"),
        ("[a]\nuser = '-l'", "user must be the name of a user"),
        ("[a]\nuser = '$(id)'", "user must be"),
        ("[a]\nport = 0", "port must be a whole number from 1 to 65535, not 0"),
        ("[a]\nport = true", "port must be"),
        ("[a]\nthreads = '4'", "threads must be a whole number"),
        ("[a]\ncommand = ''", "command must be"),
        ('[a]\ncommand = "\'"', "command must be"),
        ('[a]\ncommand = "a\\u001b"', "command must be"),
        ("[a]\ntags = 'lab'", "tags must be a list"),
        ("[a]\ntimeout = 0", "timeout must be a number of seconds above 0"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"hosts\.toml") as refused:
        load_hosts(path)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("pi5", [PI5]),
        ("orin, pi5,orin", [ORIN, PI5]),
        ("arm", [PI5, ORIN]),
        ("lab", [PI5]),
        ("all", [PI5, ORIN]),
        ("other", [Host("other", "other")]),
        ("me@10.0.0.7", [Host("me@10.0.0.7", "10.0.0.7", "me")]),
        ("ssh://me@h:2222", [Host("ssh://me@h:2222", "h", "me", 2222)]),
        ("ssh://[fe80::1%eth0]:22", [Host("ssh://[fe80::1%eth0]:22", "fe80::1%eth0", port=22)]),
        ("pi5,me@h", [PI5, Host("me@h", "h", "me")]),
    ],
)
def test_the_hosts_that_a_list_names(text: str, hosts: list[Host]) -> None:
    assert select_hosts(text, KNOWN) == hosts


@pytest.mark.parametrize(
    "text",
    [
        "", " , ", "-oProxyCommand=touch pwned", "-F/dev/null", "me@-oX", "-x@h", "a b", "h;touch pwned", "$(touch pwned)",
        "`id`", "a|b", "@h", "me@", "h:2222", "ssh://h:99999", "ssh://-o", "a\nb", "\x1b[31m", "h/../x", "me@you@h",
    ],
)  # fmt: skip
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(InputError, match=r"is not a host|names no host"):
        select_hosts(text, KNOWN)


def test_all_hosts_where_there_are_none() -> None:
    with pytest.raises(InputError, match="'all' is not a host"):
        select_hosts("all", {})


def test_the_address_is_after_all_options() -> None:
    words = ssh_command(PI5)
    assert words[-3:-1] == ["--", "10.0.0.7"]
    assert [words[words.index(option) + 1] for option in ("-l", "-p", "-i")] == [
        "pi",
        "2222",
        str(Path("~/.ssh/board").expanduser()),
    ]
    assert "BatchMode=yes" in words
    assert not {"-l", "-p", "-i"} & set(ssh_command(ORIN))


@pytest.mark.parametrize("words", [("/a b/python", "-m", "$(touch pwned)"), ("x;touch pwned",), ("a'b", '"'), ("&", "|", "\\")])
def test_a_shell_takes_each_word_as_it_is(words: tuple[str, ...], tmp_path: Path) -> None:
    line = remote_command(("printf", "%s\\n", *words)).partition(" --version &&")[0]
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [*words]
    assert not list(tmp_path.iterdir())


def test_a_home_is_that_of_the_board() -> None:
    assert remote_command(["~/my env/bin/onnxcost"]).startswith("~/'my env/bin/onnxcost' --version && exec ~/'my env/bin/")
    assert shlex.split(remote_command(["a", "~"]))[:2] == ["a", "~"]
