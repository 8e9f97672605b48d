"""How the page of a report looks, and what its words mean."""

from __future__ import annotations

BEST, UNKNOWN = "★", "—"

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; }
h1, li, dt, dd, td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; background: /* a shadow on the side where there is more to see */
  linear-gradient(to right, #fff 2rem, #fff0) 0 0 / 4rem 100% no-repeat local,
  linear-gradient(to left, #fff 2rem, #fff0) 100% 0 / 4rem 100% no-repeat local,
  linear-gradient(to right, #0003, #0000) 0 0 / .8rem 100% no-repeat scroll,
  linear-gradient(to left, #0003, #0000) 100% 0 / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; }
th { text-align: left; vertical-align: top; font-weight: 600; white-space: nowrap; }
.scores { min-width: 100%; } .scores td { white-space: nowrap; }
.scores thead th { border-bottom: 2px solid #444; }
.scores thead th + th { text-align: right; }
.scores tbody { border-bottom: 1px solid #ccc; }
.scores tbody th[scope=row] { font-weight: 400; padding-left: 1.6rem; }
.scores tbody .best th[scope=row], .scores .best .mean { font-weight: 700; }
.facts td { text-align: left; }
.small { color: #555; font-size: .85rem; font-weight: 400; }
.warning { list-style: none; border-left: 4px solid #d55e00; padding-left: .7rem;
           margin: 0 0 .5rem -1rem; }
figure { margin: 1.5rem 0; }
img { width: var(--width); max-width: max(100%, calc(.7 * var(--width))); height: auto;
      display: block; mix-blend-mode: multiply; }
"""

COLUMN_WORDS = {
    "mean": "mean over conditions; the best of several predictions is bold",
    "normalised": "0 is no better than the floor, 1 as good as the ceiling; there is none where "
    "the ceiling is no better than the floor",
    "interval": "95 % bootstrap interval of the mean over conditions",
    "floor": "score of the best guess that knows nothing of the perturbation, and which guess",
    "ceiling": "score that the experiment, done again, would get; for ranks, responding genes and "
    "what else is not corrected, with half as many cells: a prediction may exceed it",
    "n": "number of scores in the mean: conditions, or sets of covariates",
    UNKNOWN: "there is no such score: because cells were not predicted, a condition is the only "
    "one of its covariates, or no gene responds",
}

METRIC_WORDS = {
    "rank": "share of other predictions that are nearer to the observation than the right one "
    "(transposed: of other observations nearer to the prediction): 0 is perfect, 0.5 random",
    "dispersion_ratio": "how much the predicted effects differ from each other, as a share of how "
    "much the observed ones do: 0 is collapsed, the same prediction for every perturbation",
    "cosine_to_mean": "how similar a predicted effect is to the mean of all: 1 is collapsed",
    "crowded_share": "share of conditions predicted nearer to another one than any two were "
    "observed: 1 is collapsed",
}
"""By a part of the metric's name."""
