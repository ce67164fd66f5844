"""Does reading the built documentation fetch anything from elsewhere? ``python checks/pages.py FOLDER``."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

OUTSIDE = re.compile(r"(https?:)?//")


class Fetched(HTMLParser):
    """Collects what a browser loads by itself: not what stands in ``<a href>``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See ``HTMLParser``."""
        for name, value in attrs:
            loads = name in ("src", "srcset", "poster", "data") or (name == "href" and tag == "link")
            if loads and value and OUTSIDE.match(value):
                self.found.append(value)


def outside(folder: Path) -> list[str]:
    """What each page and style sheet below ``folder`` would fetch from elsewhere, one line each."""
    told = []
    for page in sorted(folder.rglob("*.html")):
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        told += [f"{page.relative_to(folder)}: {address}" for address in fetched.found]
    for sheet in sorted(folder.rglob("*.css")):
        for address in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^)\"'; ]+)", sheet.read_text("utf-8")):
            told.append(f"{sheet.relative_to(folder)}: {address}")
    return told


if __name__ == "__main__":
    built = Path(sys.argv[1])
    pages = list(built.rglob("*.html"))
    if not pages:
        sys.exit(f"{built}: holds no page")
    if found := outside(built):
        sys.exit("fetched from elsewhere:\n" + "\n".join(found))
    print(f"{len(pages)} pages in {built}/index.html, none of which fetches anything from elsewhere")
