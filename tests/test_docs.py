"""Pages say what is there: the model of one's own runs as written, every model has its page."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import pertscope as ps
from pertscope.models._registry import MODELS
from tests.helpers import fingerprint

DOCS = Path(__file__).parents[1] / "docs"
OWN_MODEL = "## Add your own model in 60 lines"
PAGES = [*MODELS, "gears"]


def python_of(text: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def code() -> str:
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    return python_of(page.split(f"\n{OWN_MODEL}\n")[1].split("\n## ")[0])


@pytest.fixture(scope="module")
def there(code) -> dict:
    """All that the page on extending defines."""
    names: dict = {"__name__": "page"}
    exec(compile(code, "docs/extending.md", "exec"), names)
    return names


def test_own_model_is_short(code) -> None:
    assert sum(1 for line in code.splitlines() if line.strip()) <= 60
    assert max(map(len, code.splitlines())) <= 100


def test_own_models_beat_the_floor(there) -> None:
    scores = ps.get.scores(there["adata"])["normalised"]
    assert set(scores.index) == {"gated", "shrunken", "mean_effect", "additive"}
    for name in ("gated", "shrunken"):
        assert (scores.loc[name] > 0.3).all()
        assert (scores.loc[name] > scores.loc["mean_effect"]).all()


@pytest.mark.parametrize(
    ("kind", "settings"), [("Gated", {"max_epochs": 1, "accelerator": "cpu"}), ("Shrunken", {})]
)
def test_own_model_is_saved_and_loaded(there, kind, settings, tmp_path) -> None:
    adata, model_class = there["adata"], there[kind]
    model = model_class(adata)
    model.train(**settings)
    model.save(tmp_path / kind)
    again = model_class.load(tmp_path / kind, adata)
    assert fingerprint(again.predict()) == fingerprint(model.predict())


@pytest.mark.parametrize("name", PAGES)
def test_page_of_model(name) -> None:
    page = (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert f"pertscope.tl.fit_{name}`" in page
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    for heading in ("Idea", "When to use it", "What it cannot do"):
        assert heading in headings
    assert any(h.startswith("What differs") for h in headings)
    for figure in re.findall(r"\]\((\S+\.svg)\)", page):
        assert (DOCS / "models" / figure).is_file()
    choose = (DOCS / "models" / "index.md").read_text(encoding="utf-8")
    assert f"\n{name}\n" in choose.split("{toctree}")[1]
    assert f"{{doc}}`{name}`" in choose


@pytest.mark.parametrize("name", PAGES)
def test_arguments_on_page_of_model(name) -> None:
    page = (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8")
    fits = [call for call in ast.walk(ast.parse(python_of(page))) if _fits(call, f"fit_{name}")]
    assert fits
    known = set(inspect.signature(getattr(ps.tl, f"fit_{name}")).parameters)
    if name in MODELS:
        known |= set(inspect.signature(MODELS[name].load().train).parameters)
    for call in fits:
        assert {k.arg for k in call.keywords} <= known


def _fits(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"ps.tl.{name}"
