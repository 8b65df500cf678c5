"""Commands forked from a warm parent beside the same commands in processes of their own: real processes, both."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.warm import child, client, wire
from jobs.warm.code import Code
from tests.warm_kit import Warm, ready, result, start, start_parent, until

RUNS = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} '); time.sleep(60)"
"""Writes its process id down, then works for a minute."""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """One parent for the commands that leave it as it was."""
    parent = ready(tmp_path_factory.mktemp("warm"), patience=1)
    yield parent
    parent.end()


@pytest.fixture
def parents() -> Iterator[Callable[[Warm], Warm]]:
    """Keeps parents that a test started, and ends them with it."""
    started: list[Warm] = []

    def keep(warm: Warm) -> Warm:
        started.append(warm)
        return warm

    yield keep
    for warm in started:
        warm.end()


@pytest.fixture
def own(parents: Callable[[Warm], Warm], tmp_path: Path) -> Warm:
    """A parent that a test may end."""
    return parents(ready(tmp_path, loaded="VERSION = 1"))


@pytest.fixture(params=["forked", "plain"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which a parent listens, then one in which none does: what follows holds in both."""
    if request.param == "plain":
        return tmp_path
    parent: Warm = request.getfixturevalue("warm")
    return parent.run


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def written(path: Path) -> list[int]:
    until(lambda: path.exists() and path.read_text().endswith(" "))
    return [int(pid) for pid in path.read_text().split()]


# ---- with a parent and without


def test_the_kinds_are_what_they_are_called(run: Path, warm: Warm) -> None:
    kind = client.Forked if run == warm.run else client.Plain
    command = start(run, "pass")
    assert type(command) is kind
    assert command.wait(20) == 0
    command.stderr.close()


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(17)", 17, ""),
        ("import sys; sys.exit(None)", 0, ""),
        ("import sys; sys.exit('in words')", 1, "in words\n"),
        ("import os; os._exit(255)", 255, ""),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit, sys; atexit.register(print, 'last words', file=sys.stderr)", 0, "last words\n"),
        (
            "import sys, threading, time; "
            "threading.Thread(target=lambda: (time.sleep(.3), print('late', file=sys.stderr))).start()",
            0,
            "late\n",
        ),
    ],
)
def test_exit_codes(run: Path, text: str, code: int, said: str) -> None:
    assert result(run, text) == (code, "", said)


def test_a_fault_is_a_traceback_and_exit_code_1(run: Path) -> None:
    code, out, said = result(run, "raise ValueError('why')")
    assert (code, out) == (1, "")
    assert said.endswith("ValueError: why\n")


def test_standard_streams(run: Path) -> None:
    text = "import os, sys; print('é', end=''); print(sys.stdin.read() == '', file=sys.stderr); os.system('echo child')"
    assert result(run, text, PYTHONUNBUFFERED=os.environ.get("PYTHONUNBUFFERED", "")) in (
        (0, "échild\n", "True\n"),  # unbuffered
        (0, "child\né", "True\n"),
    )


def test_words_are_heard_while_the_command_runs(run: Path, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    text = "import os, sys, time; sys.stderr.write('first\\n')\nwhile not os.path.exists(sys.argv[1]): time.sleep(.05)"
    command = start(run, f"{text}\nprint('second', file=sys.stderr)", go_on)
    with command.stderr as said:
        assert said.readline() == "first\n"
        assert command.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.1)
        go_on.touch()
        assert said.readline() == "second\n"
    assert command.wait(20) == 0


def test_all_that_a_process_gets_from_its_client(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HUB_TEST_ODD", "é=\udcff\n")
    before, hangup = os.umask(0o027), signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
    try:
        text = (
            "import json, os, signal, sys, time; m = os.umask(0); "
            "print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), m, time.localtime(0).tm_hour, "
            "[signal.getsignal(n) == signal.SIG_DFL for n in (15, 17, 1)], list(signal.pthread_sigmask(0, [])), "
            "signal.getsignal(2) is signal.default_int_handler, __name__, os.isatty(1)]))"
        )
        code, out, said = result(run, text, "one", "--two=2", TZ="Asia/Tokyo", HUB_HOME="elsewhere")
    finally:
        os.umask(before)
        signal.signal(signal.SIGHUP, hangup)
    assert (code, said) == (0, "")
    assert out.count("\n") == 1, out.partition("\n")[2]
    environment = os.environ | {"TZ": "Asia/Tokyo", "HUB_HOME": "elsewhere"}
    assert json.loads(out) == [
        ["one", "--two=2"], environment, str(here), 0o027, 9, [True] * 3, [], True, "__main__", False,
    ]  # fmt: skip


def test_a_large_request_and_answer(run: Path) -> None:
    code, out, said = result(run, "import os, sys; sys.stderr.write(os.environ['BIG'])", BIG="x" * 120_000)
    assert (code, out, said) == (0, "", "x" * 120_000)


def test_stopping_ends_the_command(run: Path, tmp_path: Path) -> None:
    command = start(run, RUNS, tmp_path / "pid")
    (pid,) = written(tmp_path / "pid")
    command.stop()
    assert command.poll() == command.wait() == -signal.SIGTERM
    assert gone(pid)
    command.stop()  # nothing is left to end
    command.stderr.close()


def test_two_run_at_once(run: Path, tmp_path: Path) -> None:
    text = "import os, sys, time; open(sys.argv[1], 'w')\nwhile not os.path.exists(sys.argv[2]): time.sleep(.05)"
    one, two = tmp_path / "one", tmp_path / "two"
    commands = [start(run, text, one, two), start(run, text, two, one)]
    assert [command.wait(20) for command in commands] == [0, 0]
    for command in commands:
        command.stderr.close()


def test_a_command_that_has_ended_before_its_client_looks_runs_once(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.send_fds

    def slow(*arguments: Any) -> int:
        sent = real(*arguments)
        time.sleep(1)
        return sent

    monkeypatch.setattr(socket, "send_fds", slow)
    assert result(run, "import sys; open(sys.argv[1], 'a').write('once ')", tmp_path / "ran")[0] == 0
    assert (tmp_path / "ran").read_text() == "once "


# ---- what the parent adds, and what it keeps to


def test_a_stopped_command_takes_its_children_with_it(warm: Warm, tmp_path: Path) -> None:
    text = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {RUNS!r}, sys.argv[1]]); {RUNS}"
    command = start(warm.run, text, tmp_path / "pids")
    until(lambda: len(written(tmp_path / "pids")) == 2)
    command.stop()
    until(lambda: all(map(gone, written(tmp_path / "pids"))))
    command.stderr.close()


def test_one_that_ignores_term_is_killed(warm: Warm, tmp_path: Path) -> None:
    command = start(warm.run, f"import signal; signal.signal(15, signal.SIG_IGN); {RUNS}", tmp_path / "pid")
    written(tmp_path / "pid")
    command.stop()
    assert command.poll() == -signal.SIGKILL
    command.stderr.close()


def test_a_command_whose_client_is_killed_ends(warm: Warm, tmp_path: Path) -> None:
    text = (
        "import os, sys; from pathlib import Path; from jobs.warm import client; "
        "command = client.start([sys.argv[2], sys.argv[3]], run=Path(sys.argv[1]), environment=os.environ, "
        "stdout=sys.stdout, stderr=sys.stderr); command.wait()"
    )
    asked = subprocess.Popen([sys.executable, "-c", text, str(warm.run), RUNS, str(tmp_path / "pid")])
    (pid,) = written(tmp_path / "pid")
    assert psutil.Process(pid).ppid() == warm.process.pid
    asked.kill()
    asked.wait()
    until(lambda: gone(pid))


def test_a_child_is_a_session_of_its_own_with_three_descriptors(warm: Warm) -> None:
    text = (
        "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid(), "
        "[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) < 3], "
        "[n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}') and "
        "os.readlink(f'/proc/self/fd/{n}').startswith('socket')])"
    )
    other = start(warm.run, "import time; time.sleep(60)")
    code, out, said = result(warm.run, text)
    other.stop()
    other.stderr.close()
    assert (code, said) == (0, "")
    assert out.startswith("True ['/dev/null', ")
    assert out.endswith(" []\n"), "neither the parent's socket nor another command's"


def test_the_socket_is_for_its_user_alone(warm: Warm) -> None:
    path = warm.run / wire.SOCKET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_by_both_sides(parents: Callable[[Warm], Warm]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        warm = parents(ready(Path(folder)))
        (warm.run / wire.SOCKET).chmod(0o666)  # as if the file let everybody in
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            os._exit(0 if _refused(warm.run) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert "a process of another user was refused" in warm.log
        assert "begins" not in warm.log


def _refused(run: Path) -> bool:
    try:
        client.connect(run).close()
    except PermissionError:
        pass
    else:
        return False
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(run / wire.SOCKET))
    try:
        wire.send_request(raw, client._request(["print('not for you')"], os.environ), [0, 1, 2])
        return raw.recv(100) == b""
    except OSError:
        return True


def test_a_path_that_is_longer_than_a_socket_may_have(parents: Callable[[Warm], Warm], tmp_path: Path) -> None:
    warm = parents(ready(tmp_path / ("long" * 40)))
    assert len(str(warm.run)) > 108
    assert result(warm.run, "import os; print(os.getppid())") == (0, f"{warm.process.pid}\n", "")


@pytest.mark.parametrize("name", ["LANG", "PYTHONPATH", "LD_LIBRARY_PATH"])
def test_what_is_read_once_at_a_start_is_given_to_a_process_of_its_own(warm: Warm, name: str) -> None:
    code, out, _ = result(warm.run, f"import os; print(os.getppid(), os.environ['{name}'])", **{name: "/elsewhere"})
    assert (code, out) == (0, f"{os.getpid()} /elsewhere\n")
    assert f"another {name}" in warm.log


def test_what_modules_say_to_the_environment_while_they_are_loaded_reaches_the_command(
    parents: Callable[[Warm], Warm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in child.ALLOCATORS:
        monkeypatch.delenv(name, raising=False)  # a library that another test imported may have set it
    warm = parents(ready(tmp_path, loaded="import os; os.environ['SWITCH'] = 'off'"))
    text = "import os; print([os.environ.get(n) for n in ('SWITCH', 'OPENBLAS_NUM_THREADS', '_RJEM_MALLOC_CONF')])"
    assert result(warm.run, text)[1] == "['off', None, None]\n"


def test_a_folder_that_is_gone_is_left_to_a_process_of_its_own(
    warm: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert result(warm.run, "import os; print(os.getppid())", PYTHONPATH=os.environ.get("PYTHONPATH", ""))[0] == 0


def test_a_parent_that_cannot_fork_goes_on(parents: Callable[[Warm], Warm], tmp_path: Path) -> None:
    # as where the machine allows no more processes: twice, the first for the question whether it answers
    full = "import os\nreal, left = os.fork, [1, 1]\n"
    full += (
        "def fork():\n    if left:\n        left.pop()\n        raise BlockingIOError(11, 'full')\n    return real()\n"
    )
    warm = parents(ready(tmp_path, loaded=f"{full}os.fork = fork"))
    text = "import os; print(os.getppid())"
    assert result(warm.run, text) == (0, f"{os.getpid()}\n", "")
    assert result(warm.run, text) == (0, f"{warm.process.pid}\n", "")


# ---- parents that end, hang, begin anew


def test_a_socket_that_a_killed_parent_left_is_passed_over_and_replaced(
    own: Warm, parents: Callable[[Warm], Warm]
) -> None:
    own.end()
    assert (own.run / wire.SOCKET).exists()
    assert result(own.run, "import os; print(os.getppid())") == (0, f"{os.getpid()}\n", "")
    again = parents(ready(own.run.parent))
    assert result(own.run, "import os; print(os.getppid())") == (0, f"{again.process.pid}\n", "")


def test_a_second_parent_is_refused(own: Warm, parents: Callable[[Warm], Warm], tmp_path: Path) -> None:
    second = parents(start_parent(tmp_path))
    assert second.process.wait(20) == 1
    assert client.answering(own.run) == own.process.pid


def test_a_parent_that_dies_takes_its_commands_with_it(own: Warm, tmp_path: Path) -> None:
    command = start(own.run, RUNS, tmp_path / "pid")
    (pid,) = written(tmp_path / "pid")
    own.end()
    assert command.wait(20) == -signal.SIGKILL
    until(lambda: gone(pid))
    command.stderr.close()


def test_a_parent_that_is_asked_to_end_ends_its_commands(own: Warm, tmp_path: Path) -> None:
    command = start(own.run, RUNS, tmp_path / "pid")
    (pid,) = written(tmp_path / "pid")
    own.process.terminate()
    assert command.wait(20) == -signal.SIGTERM
    assert own.process.wait(20) == 0
    assert gone(pid)
    assert not (own.run / wire.SOCKET).exists()
    command.stderr.close()


def test_a_parent_that_hangs_is_left_alone_and_nothing_runs_twice(
    own: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_WITHIN", 0.5)
    own.process.send_signal(signal.SIGSTOP)
    ran = tmp_path / "ran"
    assert result(own.run, "import sys; open(sys.argv[1], 'a').write('once ')", ran)[0] == 0
    own.process.send_signal(signal.SIGCONT)
    assert result(own.run, "import os; print(os.getppid())")[1] == f"{own.process.pid}\n"  # it has dealt with the first
    # it could not say that it begins, or was ended before it could
    until(lambda: "nothing begins: BrokenPipeError" in own.log or f"ended with -{signal.SIGTERM}" in own.log)
    assert ran.read_text() == "once "


def test_new_code_is_noticed_before_the_next_command(own: Warm, tmp_path: Path) -> None:
    text = "import os, sys, time; time.sleep(float(sys.argv[1])); print(VERSION, os.getppid())"
    assert result(own.run, text, 0) == (0, f"1 {own.process.pid}\n", "")
    under_way = start(own.run, f"open({str(tmp_path / 'up')!r}, 'w'); {text}", 2)
    until((tmp_path / "up").exists)
    (own.code / "loaded.py").write_text("VERSION = 2")
    # the text finds no VERSION in a process of its own: it was not the old parent that ran it
    assert result(own.run, "import os; print('VERSION' in globals(), os.getppid())")[1] == f"False {os.getpid()}\n"
    assert under_way.wait(20) == 0, "what runs goes on"
    until(lambda: client.answering(own.run) == own.process.pid)
    assert result(own.run, text, 0) == (0, f"2 {own.process.pid}\n", "")
    under_way.stderr.close()


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "2 threads"),
        ("this is no Python", "SyntaxError"),
    ],
)
def test_a_parent_that_may_not_serve_says_why_and_waits_for_other_code(
    parents: Callable[[Warm], Warm], tmp_path: Path, loaded: str, why: str
) -> None:
    warm = parents(start_parent(tmp_path, loaded))
    until(lambda: why in warm.log)
    assert "commands start plainly until the code changes" in warm.log
    assert client.answering(warm.run) == 0
    assert result(warm.run, "import os; print(os.getppid())") == (0, f"{os.getpid()}\n", "")
    (warm.code / "loaded.py").write_text("")
    until(lambda: client.answering(warm.run) == warm.process.pid)


def test_the_log_names_commands_and_their_cost_but_not_their_arguments(warm: Warm) -> None:
    assert result(warm.run, "pass", "verb", "--reason=words of a person")[0] == 0
    until(lambda: "ended with 0" in warm.log.split("pass verb begins")[-1])
    assert "words of a person" not in warm.log


# ---- the stamp of the code


def test_a_stamp_changes_with_what_may_be_loaded(tmp_path: Path) -> None:
    tree, lock = tmp_path / "tree", tmp_path / "uv.lock"
    (tree / "room").mkdir(parents=True)
    (tree / "room" / "module.py").write_text("1")
    code = Code((tree, tmp_path / "missing"), (lock,))
    seen = [code.stamp()]

    def changed() -> bool:
        seen.append(code.stamp())
        return seen[-1] != seen[-2]

    assert not changed()
    (tree / "room" / "notes.md").write_text("nobody loads this")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "module.py").write_text("compiled")
    assert not changed()
    for step in (
        lambda: (tree / "room" / "module.py").write_text("22"),
        lambda: os.utime(tree / "room" / "module.py", ns=(1, 1)),
        lambda: (tree / "room" / "rules.toml").write_text(""),
        lambda: (tree / "room" / "module.py").rename(tree / "module.py"),
        lambda: lock.write_text("1"),
        lock.unlink,
    ):
        step()
        assert changed()


def test_a_stamp_is_quick() -> None:
    code = Code((client.CODE / "jobs", client.CODE / "schemas"))
    begin = time.perf_counter()
    assert len(code.stamp()) > 100
    assert time.perf_counter() - begin < 0.5
