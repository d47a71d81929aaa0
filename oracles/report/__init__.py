"""The report: what a gate found, as one page that needs nothing but a browser.

`results.json` (tests/gate/results.schema.json) goes in, `index.html` comes out: a pure function, for the results of one
machine or of several. Jinja2 and matplotlib are imported when a page is asked for, and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oracles.report.merging import Results, load, merged, save

__all__ = ["Results", "load", "merged", "save", "write_report"]


def write_report(results: Sequence[Results], folder: Path, pictures: bool = False) -> Path:
    """Write `results.json` with all results and the page `index.html` that shows them to `folder`; return the page.

    With `pictures` each of them is a file of its own too, in the folder of that name beside the page. Folders are
    made if missing. Raises ValueError for results that do not go together, and ImportError, with what to install,
    without Jinja2 or matplotlib.
    """
    together = merged(results)
    try:
        from oracles.report.page import page
        from oracles.report.page import pictures as drawn
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"the report needs {missing.name}: pip install 'backproof[report]'", name=missing.name
        ) from missing
    html = page(together)
    folder.mkdir(parents=True, exist_ok=True)
    save(together, folder / "results.json")
    path = folder / "index.html"
    path.write_text(html, encoding="utf-8")
    if pictures:
        (folder / "pictures").mkdir(exist_ok=True)
        for name, svg in drawn(together).items():
            (folder / "pictures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    return path
