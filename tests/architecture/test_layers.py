"""The architecture, read from the source: who may import whom, and the house rules that a script can see."""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airelays"
MODULES = sorted(str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py"))

VALUES, RULES, IO, APP, COMMANDS, CLI = range(6)
LAYER_OF = {
    "errors": VALUES,
    "hints": VALUES,
    "lookup": VALUES,
    "model": VALUES,
    "settings": VALUES,
    "protocol": RULES,
    "guard": RULES,
    "dialects": RULES,
    "credentials": IO,
    "disk": IO,
    "journal": IO,
    "net": IO,
    "state": IO,
    "upstream": IO,
    "app": APP,
    "host": APP,
    "terminal": COMMANDS,
    "commands": COMMANDS,
    "cli": CLI,
    "__main__": CLI,
}
# What a rule must be given instead: time, randomness, files and sockets come in as arguments.
NOT_FOR_RULES = {
    "asyncio",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
STANDARD_OR_OURS = {"airelays", "certifi", "h11"}
MAX_MODULE_LINES = 450
MAX_FUNCTION_LINES = 40


@functools.cache
def source(module: str) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(source(module))


def imports(module: str) -> Iterator[str]:
    """Yield the dotted name of everything that `module` imports, anywhere in it."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    return Path(module).relative_to("airelays").parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_its_own_layer_and_lower_ones_only(module: str) -> None:
    if module == "airelays/__init__.py":
        assert not [name for name in imports(module) if not name.startswith("__future__")]
        return
    own = LAYER_OF[room_of(module)]
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "airelays" and len(parts) > 1 and parts[1] in LAYER_OF:
            assert LAYER_OF[parts[1]] <= own, f"{module} imports {name} of a higher layer"


@pytest.mark.parametrize("module", MODULES)
def test_rules_get_time_randomness_and_io_as_arguments(module: str) -> None:
    if module == "airelays/__init__.py" or LAYER_OF[room_of(module)] > RULES:
        return
    found = {name.partition(".")[0] for name in imports(module)} & NOT_FOR_RULES
    assert not found, f"{module} is a rule and imports {sorted(found)}"


@pytest.mark.parametrize("module", MODULES)
def test_only_http1_imports_h11(module: str) -> None:
    if module != "airelays/protocol/http1.py":
        assert "h11" not in {name.partition(".")[0] for name in imports(module)}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_outside_the_standard_library_but_h11_and_certifi(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports(module)}
    newer = {"compression"}  # in the standard library from Python 3.14 on
    assert roots <= STANDARD_OR_OURS | set(sys.stdlib_module_names) | newer


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_and_postpones_annotations(module: str) -> None:
    assert ast.get_docstring(tree(module)), f"{module} has no docstring"
    if len(tree(module).body) == 1:
        return  # a package that is nothing but its docstring
    second = tree(module).body[1]
    assert isinstance(second, ast.ImportFrom) and second.module == "__future__"
    assert [alias.name for alias in second.names] == ["annotations"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_enough_to_read(module: str) -> None:
    assert source(module).count("\n") <= MAX_MODULE_LINES


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from `def` on, without its docstring."""
    total = int(function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        total -= int(first.end_lineno or 0) - first.lineno + 1
    return total


@pytest.mark.parametrize("module", MODULES)
def test_a_function_is_short_enough_to_read(module: str) -> None:
    long = {
        node.name: lines_of(node)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > MAX_FUNCTION_LINES
    }
    assert not long, f"{module}: {long}"


@pytest.mark.parametrize("module", [*MODULES, "airelays.py"])
def test_the_one_file_form_can_carry_every_source(module: str) -> None:
    # It holds each module in a raw literal between three single quotes.
    assert "'" * 3 not in source(module)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_decided_by_an_assert(module: str) -> None:
    # `python -O` takes asserts out (aiohttp, CVE-2025-69227): they may state, never decide or act.
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Assert):
            inner = list(ast.walk(node.test))
            acts = [n for n in inner if isinstance(n, ast.Call | ast.NamedExpr | ast.Await)]
            assert not acts, f"{module}:{node.lineno} has an assert that acts"


@pytest.mark.parametrize("module", MODULES)
def test_no_transport_is_given_many_pieces_at_once(module: str) -> None:
    # CPython 3.12.0 to 3.12.8 and 3.13.0: writelines() never pauses the writer (CVE-2024-12254).
    named = {n.attr for n in ast.walk(tree(module)) if isinstance(n, ast.Attribute)}
    assert "writelines" not in named


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_imported_with_plain_statements(module: str) -> None:
    # A freezing tool sees `import x` inside a function; it does not see import_module("x"). Commands and handlers
    # are named as text; its spec collects their rooms.
    assert module == "airelays/lookup.py" or "importlib.import_module" not in set(imports(module))
    assert "__import__" not in {n.id for n in ast.walk(tree(module)) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("module", MODULES)
def test_all_is_written_only_where_names_are_handed_on(module: str) -> None:
    # A list of a module's own names repeats its source and is forgotten when that changes. mypy lets nothing be
    # imported from a module that only imports it, unless `__all__` hands it on.
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            imported = {name.rpartition(".")[2] for name in imports(module)}
            assert imported & set(ast.literal_eval(node.value)), f"{module} hands on nothing"


def test_build_and_packaging_shadow_no_package() -> None:
    for folder in ("build", "packaging"):
        assert not (ROOT / folder / "__init__.py").exists()


# Where the time of day is meant: dates that people read, ages of files, `created` of an answer.
WALL_CLOCK = {
    "airelays/app/relay.py": {"__init__"},
    "airelays/net/request.py": {"http_date"},
    "airelays/net/trust.py": {"describe"},
}


@pytest.mark.parametrize(
    "module", [m for m in MODULES if "/net/" in m or m == "airelays/app/relay.py"]
)
def test_limits_and_deadlines_are_told_by_the_monotonic_clock(module: str) -> None:
    # The time of day jumps (NTP, a laptop that slept); a limit that followed it would block or let through.
    found = {
        function.name
        for function in ast.walk(tree(module))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.time"
    }
    assert found <= WALL_CLOCK.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_no_kind_of_upstream_is_asked_for_by_name(module: str) -> None:
    """What differs between upstreams is a method or a value of theirs; only settings/kinds.py knows the names."""
    if module.startswith("airelays/upstream/") or module == "airelays/settings/kinds.py":
        return
    kinds = {"chatgpt", "compatible", "demo"}
    # What a client may write as `provider`, not a kind.
    allowed = {"airelays/app/catalogue.py": 1}
    found = 0
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Compare):
            constants = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            found += bool(constants & kinds)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            subject = ast.unparse(node.args[0])
            assert not (
                node.func.id in ("getattr", "hasattr", "isinstance") and "upstream" in subject
            ), f"{module}:{node.lineno} looks at what an upstream is"
    assert found == allowed.get(module, 0), f"{module} names a kind of upstream"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Typing imports count: what needs them in a circle is one subject, or has a part that belongs elsewhere."""
    name_of = {
        module.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): module
        for module in MODULES
    }
    graph = {
        name: [n for n in set(imports(module)) if n in name_of and n not in (name, "airelays")]
        for name, module in name_of.items()
    }
    order = graphlib.TopologicalSorter(graph)
    order.prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("module", MODULES)
def test_a_value_that_does_not_change_is_a_named_tuple_or_a_record(module: str) -> None:
    # `dataclass` compiles source text for each class at every start; it is for what changes (docs/architecture.md).
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "dataclass",
            "dataclasses.dataclass",
        ):
            frozen = [
                k for k in node.keywords if k.arg == "frozen" and ast.unparse(k.value) == "True"
            ]
            assert not frozen, f"{module}:{node.lineno}"
