"""The package as a whole: cheap import, documented names, signatures, direction of imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "pertscope"
FILES = sorted(SRC.rglob("*.py"))

NAMESPACES = ("pp", "tl", "ev", "pl", "get", "models", "datasets", "bench")
IN_PLACE = {"pp", "ev"}
RETURN_OTHER_ROWS = {"aggregate"}
HEAVY = {"lightning", "matplotlib", "scanpy", "scvi", "sklearn", "torch"}
MAY_HOLD_HEAVY = {"nn", "data", "models"}
NOT_AT_IMPORT = HEAVY | {"anndata", "h5py", "mudata", "numba", "numpy", "pandas", "scipy", "yaml"}

MAX_LINES = 250
MAX_POSITIONAL = 3
REFUSED_PARAMETERS = {"copy", "inplace", "random_state", "random_seed", "rng"}
CHECKED_METHODS = ("train", "predict")

# layer -> layers that it may import, at the top of a file or inside a function
MAY_IMPORT = {
    "_version": set(),
    "__init__": set(),
    "_core": set(),
    "nn": {"_core"},
    "data": {"_core"},
    "pp": {"_core"},
    "get": {"_core"},
    "ev": {"_core", "datasets", "get", "pp"},
    "datasets": {"_core"},
    "models": {"_core", "pp", "nn", "data"},
    "tl": {"_core", "datasets", "ev", "get", "pp", "models"},
    "external": set(),
    "bench": {"_core", "get", "pp", "ev", "datasets", "models", "tl"},
    "pl": {"_core", "get", "ev", "bench"},
    "cli": {"_core", "get", "pp", "ev", "datasets", "models", "tl", "bench", "pl"},
    "__main__": {"cli"},
}


def _report(problems: list[str]) -> None:
    assert not problems, "\n  " + "\n  ".join(problems)


# -- import --------------------------------------------------------------------------------------


def _modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in result.stdout.split()}


def test_import_is_light() -> None:
    assert not _modules_after("import pertscope") & NOT_AT_IMPORT


def test_namespaces_import_nothing_heavy() -> None:
    code = "import pertscope\nfor name in dir(pertscope): getattr(pertscope, name)"
    assert not _modules_after(code) & HEAVY


def test_dir_completes_namespaces() -> None:
    assert set(dir(ps)) == {*NAMESPACES, "__version__"}
    assert set(ps.__all__) == set(dir(ps))


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_namespace_is_an_attribute(namespace: str) -> None:
    assert getattr(ps, namespace) is importlib.import_module(f"pertscope.{namespace}")


def test_unknown_attribute_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'qc'"):
        ps.qc  # noqa: B018


# -- names, signatures, docstrings ---------------------------------------------------------------


def _public(namespace: str) -> dict[str, Any]:
    module = importlib.import_module(f"pertscope.{namespace}")
    return {name: getattr(module, name) for name in module.__all__}


def _sections(docstring: str) -> dict[str, str]:
    """Split a numpydoc docstring: title -> body, the part before the first title under ''."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", docstring, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _documented(section: str) -> list[str]:
    """Names at the margin of a Parameters section; ``a, b : int`` names two."""
    heads = [line for line in section.splitlines() if line and not line.startswith(" ")]
    return [n.strip().lstrip("*") for head in heads for n in head.split(" :")[0].split(",")]


def _parameters(function: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.name not in {"self", "cls"}]


def _signature_problems(name: str, function: Any) -> Iterator[str]:
    parameters = _parameters(function)
    n_positional = sum(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters)
    if n_positional > MAX_POSITIONAL:
        yield f"{name}: {n_positional} positional parameters, at most {MAX_POSITIONAL}"
    for p in parameters:
        if p.name in REFUSED_PARAMETERS:
            yield f"{name}: no parameter is called {p.name!r}"
        if not p.name[0].islower():
            yield f"{name}: parameter {p.name!r} does not start lower-case"
        if p.annotation is p.empty:
            yield f"{name}: parameter {p.name!r} has no annotation"
        if p.name == "seed" and p.default is p.empty:
            yield f"{name}: 'seed' has no default"
    if inspect.signature(function).return_annotation is inspect.Signature.empty:
        yield f"{name}: the return value has no annotation"


def _docstring_problems(name: str, documented: Any, function: Any) -> Iterator[str]:
    """Summary and parameters: of a function, or of a class and its ``__init__``."""
    sections = _sections(inspect.getdoc(documented) or "")
    summary = sections[""].strip().split("\n\n")[0]
    if not summary or "\n" in summary or not summary.endswith((".", "?")):
        yield f"{name}: the summary is not one sentence on one line: {summary!r}"
    described, expected = _documented(sections.get("Parameters", "")), _parameters(function)
    if described != [p.name for p in expected]:
        yield f"{name}: documents {described}, has {[p.name for p in expected]}"


def _result_problems(name: str, function: Any) -> Iterator[str]:
    """Returns where something is returned, Raises where the body raises."""
    sections = _sections(inspect.getdoc(function) or "")
    returns = inspect.signature(function).return_annotation not in {None, "None"}
    if returns and "Returns" not in sections:
        yield f"{name}: returns something, without a section Returns"
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    if any(isinstance(node, ast.Raise) for node in ast.walk(tree)) and "Raises" not in sections:
        yield f"{name}: raises, without a section Raises"


def _example_problems(name: str, documented: Any) -> Iterator[str]:
    if ">>>" not in _sections(inspect.getdoc(documented) or "").get("Examples", ""):
        yield f"{name}: no section Examples with an example that runs"


def _function_problems(name: str, function: Any) -> Iterator[str]:
    yield from _signature_problems(name, function)
    yield from _docstring_problems(name, function, function)
    yield from _result_problems(name, function)


def _member_problems(name: str, member: Any) -> Iterator[str]:
    if inspect.isclass(member):
        yield from _signature_problems(f"{name}.__init__", member.__init__)
        yield from _docstring_problems(name, member, member.__init__)
        for method in CHECKED_METHODS:
            if hasattr(member, method):
                yield from _function_problems(f"{name}.{method}", getattr(member, method))
    else:
        yield from _function_problems(name, member)
    yield from _example_problems(name, member)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_names_are_on_the_api_page(namespace: str) -> None:
    page = (ROOT / "docs" / "api" / f"{namespace}.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^ +{namespace}\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(_public(namespace))


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_signatures_and_docstrings(namespace: str) -> None:
    members = {name: m for name, m in _public(namespace).items() if callable(m)}
    assert members
    _report([p for name, m in members.items() for p in _member_problems(f"{namespace}.{name}", m)])


@pytest.mark.parametrize("namespace", sorted(IN_PLACE))
def test_functions_that_write_return_nothing(namespace: str) -> None:
    written = {n: f for n, f in _public(namespace).items() if n not in RETURN_OTHER_ROWS}
    annotations = {n: inspect.signature(f).return_annotation for n, f in written.items()}
    _report([f"{n} returns {a}" for n, a in annotations.items() if a not in {None, "None"}])


# -- files ---------------------------------------------------------------------------------------


def _imports(node: ast.AST, *, top: bool = True) -> Iterator[tuple[str, bool]]:
    """Absolute names imported under `node` (but for type checkers), and whether at import time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = "." * child.level + (child.module or "")
            yield from ((f"{module}.{alias.name}", top) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _imports(ast.Module(child.orelse, []), top=top)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, top=top and not inside)


def _layer(path: Path) -> str:
    return path.relative_to(SRC).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_imports_point_down(path: Path) -> None:
    layer = _layer(path)
    assert layer in MAY_IMPORT, f"{layer} has no place in the order of layers: add it to MAY_IMPORT"
    allowed = MAY_IMPORT[layer] | {layer, "_version"}
    problems = []
    for name, at_import in _imports(ast.parse(path.read_text(encoding="utf-8"))):
        package, _, rest = name.partition(".")
        if package == "pertscope" and rest.partition(".")[0] not in allowed:
            problems.append(f"{layer} may not import {name}")
        if package == "":
            problems.append(f"relative import {name}")
        if package in HEAVY and at_import and layer not in MAY_HOLD_HEAVY:
            problems.append(f"imports {name} at the top: import it in the function that needs it")
    _report(problems)


def test_files_are_short() -> None:
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    _report([f"{p}: {n} lines, at most {MAX_LINES}" for p, n in lines.items() if n > MAX_LINES])
