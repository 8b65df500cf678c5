"""The borders between rooms: docs/tools/rooms.toml lists who may import whom, all else is refused."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from docs.tools.rooms import Room, rooms

ROOT = Path(__file__).resolve().parents[2]
ONE_PLACE = {
    # word in the code: the only modules that may say it
    '.format("delta")': {"jobs/lake/tables.py", "jobs/spark/selftest.py"},
    "SparkSession.builder": {"jobs/spark/session.py"},
    "sparkContext": set(),
    "._jvm": set(),
    "ignoreCorruptFiles": set(),
    "inferSchema": set(),
}
ENVIRONMENT = {
    # JAVA_HOME; the environment of a child process; a switch that Great Expectations reads
    "jobs/settings.py",
    "jobs/spark/jars.py",
    "jobs/spark/server.py",
    "jobs/serve/airflow.py",
    "jobs/quality/gx.py",
    # where the keys of the Spark server are
    "jobs/tasks/keyring.py",
    # the environment of each command is its client's; the allocators read theirs before anything is loaded
    "jobs/warm/child.py",
    "jobs/warm/parent.py",
}
LAZY = {
    # who -> what is imported inside functions, for a start that need not wait for it; all else stands at the top
    "jobs.cli": {
        # help, a refused argument and the shell's completion: 0.4 s instead of 1 to 9
        *("catalogue.db", "catalogue.web", "jobs.alerts", "jobs.contributors", "jobs.hub", "jobs.intake", "jobs.lake"),
        *("jobs.quality", "jobs.serve", "jobs.settings", "jobs.spark", "jobs.steps", "rich", "uvicorn"),
    },
    "jobs.spark": {"grpc", "pyspark"},  # the commands that only read the hub database
    "jobs.quality": {"great_expectations", "jobs.quality.gx", "pyspark"},  # 8 s: only where something is judged
    "jobs.serve.demo": {"jobs.contributors.synthetic"},  # pandas: `hub init` knows a demo's home by this module
    "dags.lib": {"catalogue.db"},  # Airflow reads the DAGs again and again
    "docs.tools": {"playwright"},  # installed where pictures are taken
    "bench": {"bench", "great_expectations", "jobs.quality.gx", "pyspark"},  # what an engine imports is measured
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
TOPS = ("jobs", "schemas", "expectations", "catalogue", "dags", "bench", "docs", "docker")


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the project but its tests, by its dotted name."""
    paths = [p for top in TOPS for p in (ROOT / top).rglob("*.py")]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def room_of(module: str) -> str | None:
    """The room that a module of ours stands in; the longest name that fits. None: a package that only holds rooms."""
    return max((r for r in rooms() if f"{module}.".startswith(f"{r}.")), key=len, default=None)


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, wherever in the file, for types too."""
    return names_in(ast.parse(path.read_text("utf-8")))


def names_in(code: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def late_imports(path: Path) -> set[str]:
    """Dotted names that a module imports inside its functions."""
    functions = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, FUNCTIONS)]
    return set().union(*(names_in(f) for f in functions))


def crossings(path: Path, room: Room) -> list[str]:
    """What a module imports and may not."""
    home = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    wrong = []
    for name in sorted(imports(path)):
        top = name.split(".")[0]
        ours = top in TOPS
        if not (room_of(name) in (home, *room.may) if ours else top in {*sys.stdlib_module_names, *room.libraries}):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_it_may(room: str) -> None:
    of_room = [path for module, path in modules().items() if room_of(module) == room]
    assert of_room, f"{room} is empty: correct its name in this test"
    assert [wrong for path in of_room for wrong in crossings(path, rooms()[room])] == []


def test_every_module_stands_in_a_room() -> None:
    holders = {module for module in modules() if any(r.startswith(f"{module}.") for r in rooms())}
    outside = [m for m, p in modules().items() if room_of(m) is None and (m not in holders or imports(p))]
    assert outside == []


@pytest.mark.parametrize("room", rooms())
def test_no_room_reaches_up(room: str) -> None:
    below = list(rooms())[: list(rooms()).index(room)]
    assert [name for name in rooms()[room].may if name not in below] == []


def test_the_check_finds_a_crossing() -> None:
    path = ROOT / "jobs" / "steps" / "stage.py"
    room = rooms()["jobs.steps"]
    assert crossings(path, room) == []
    assert crossings(path, room.model_copy(update={"may": tuple(set(room.may) - {"jobs.lake"})}))
    assert crossings(path, room.model_copy(update={"libraries": ()}))


def starts_with(name: str, begin: str) -> bool:
    return f"{name}.".startswith(f"{begin}.")


def test_imports_stand_at_the_top_unless_a_start_need_not_wait_for_them() -> None:
    late = {(module, name) for module, path in modules().items() for name in late_imports(path)}
    allowed = {(who, what) for who, names in LAZY.items() for what in names}
    used = {a: {i for i in late if starts_with(i[0], a[0]) and starts_with(i[1], a[1])} for a in allowed}
    assert late - set().union(*used.values()) == set()
    assert {a for a, of in used.items() if not of} == set(), "nothing needs these any more"


def circles(edges: Mapping[str, set[str]]) -> set[str]:
    """Modules that import themselves by some way: what is left when modules without arrows go, again and again."""
    left = {name: set(to) for name, to in edges.items()}
    while ends := {name for name, to in left.items() if not to & left.keys()}:
        left = {name: to for name, to in left.items() if name not in ends}
    return set(left)


def arrows() -> Mapping[str, set[str]]:
    """Module to the modules of ours that it imports. A package's ``__init__`` counts when it is imported itself."""
    found = {}
    for module, path in modules().items():
        wanted = {n if n in modules() else n.rpartition(".")[0] for n in imports(path)}
        found[module] = (wanted & modules().keys()) - {module}
    return found


def test_no_two_modules_import_each_other() -> None:
    assert circles(arrows()) == set()


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


@pytest.mark.parametrize("word", ONE_PLACE)
def test_one_place_only(word: str) -> None:
    rooms = ("jobs", "catalogue", "dags", "schemas", "expectations")
    users = {
        str(path.relative_to(ROOT))
        for module, path in modules().items()
        if module.split(".")[0] in rooms and word in path.read_text("utf-8")
    }
    assert users == ONE_PLACE[word]


def test_only_settings_read_the_environment() -> None:
    rooms = ("jobs", "catalogue", "schemas", "expectations")
    users = {
        str(path.relative_to(ROOT))
        for module, path in modules().items()
        if module.split(".")[0] in rooms and any(w in path.read_text("utf-8") for w in ("os.environ", "getenv"))
    }
    assert users <= ENVIRONMENT, users - ENVIRONMENT
