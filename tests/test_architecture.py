"""House rules that a linter cannot hold: who may call what, and from where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from events.types import EventType

ROOT = Path(__file__).resolve().parent.parent
APPS = [
    "core",
    "events",
    "access",
    "registry",
    "approvals",
    "webhooks",
    "runners",
    "serving",
    "mlflow_api",
    "console",
    "greenlight",
]
HTTP_CLIENTS = {"httpx", "requests", "aiohttp", "urllib3", "http.client"}


def sources(*packages: str) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield (relative path, text, tree) of every module but migrations."""
    for package in packages or APPS:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                text = path.read_text()
                yield str(path.relative_to(ROOT)), text, ast.parse(text)


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of what a tree calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_only_approvals_moves_an_alias() -> None:
    verbs = ("set", "adopt", "restore", "delete")
    movers = {f"registry.{verb}_alias" for verb in verbs} | {
        "registry.break_glass",
        "registry.bypass_policy",
    }
    guilty = {
        path
        for path, _, tree in sources()
        if movers & set(calls(tree)) and not path.startswith("approvals/services")
    }
    assert not guilty


def test_only_states_assigns_status() -> None:
    guilty = {
        path
        for path, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and target.attr == "status"
    }
    assert guilty <= {"core/states.py"}


def test_only_outbound_imports_an_http_client() -> None:
    guilty = set()
    for path, _, tree in sources():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(n in HTTP_CLIENTS or n.split(".")[0] in HTTP_CLIENTS for n in names):
                guilty.add(path)
    # keep.py is a script without Django: it asks the stack's own port for life
    assert guilty <= {"core/outbound.py", "greenlight/supervisor/keep.py"}


def test_no_signals_and_no_save_overrides() -> None:
    for path, text, tree in sources():
        assert "@receiver" not in text, path
        assert ".connect(" not in text or "signal" not in text.lower(), path
        assert "save" not in {function.name for function in functions(tree)}, path


def test_every_event_type_is_emitted() -> None:
    emitted = {
        name
        for path, _, tree in sources()
        if path != "events/types.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).endswith("EventType")
        for name in [node.attr]
    }
    assert set(EventType.__members__) <= emitted


@pytest.mark.parametrize("package", APPS)
def test_functions_fit_on_a_screen(package: str) -> None:
    long = [
        f"{path}:{function.name}"
        for path, _, tree in sources(package)
        for function in functions(tree)
        if (function.end_lineno or 0) - function.lineno >= 50
    ]
    assert not long


@pytest.mark.parametrize("package", APPS)
def test_files_stay_short(package: str) -> None:
    assert not [path for path, text, _ in sources(package) if text.count("\n") > 400]


def test_writing_services_take_the_principal_by_keyword() -> None:
    for path, _, tree in sources("access", "registry", "approvals", "webhooks"):
        if "services" not in path:
            continue
        for function in functions(tree):
            positional = {argument.arg for argument in function.args.args}
            if not function.name.startswith(("_", "require")):
                assert "principal" not in positional, f"{path}:{function.name}"
