"""Sphinx configuration."""

import os
import shutil
from pathlib import Path

import pertscope

HERE = Path(__file__).parent

# the tutorials are kept outside docs/, where users look for them; Sphinx reads only what is inside
NOTEBOOKS = HERE / "notebooks"
for made in (NOTEBOOKS, HERE / "api" / "generated"):  # nothing stays of what was renamed
    shutil.rmtree(made, ignore_errors=True)
NOTEBOOKS.mkdir()
for tutorial in sorted((HERE.parent / "tutorials").glob("*")):
    if tutorial.suffix in {".md", ".ipynb"}:
        shutil.copy2(tutorial, NOTEBOOKS)

# -- project ------------------------------------------------------------------------------------
project = "pertscope"
author = "pertscope developers"
copyright = f"2026, {author}"
version = release = pertscope.__version__

# -- sources ------------------------------------------------------------------------------------
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
default_role = "literal"

# -- docstrings ---------------------------------------------------------------------------------
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False

# -- notebooks ----------------------------------------------------------------------------------
# executed at every build, because a cached result does not notice that the package changed
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds: a cell that trains, on a busy machine
nb_execution_in_temp = True
nb_merge_streams = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# -- links to other projects --------------------------------------------------------------------
# off by default, so that a build without internet passes; Read the Docs has internet
intersphinx_mapping = {}
if os.environ.get("READTHEDOCS") or os.environ.get("PERTSCOPE_INTERSPHINX"):
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "mudata": ("https://mudata.readthedocs.io/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# -- pages --------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"pertscope {version}"
