"""A report's page as tests read it: its tags, its text, and that it stands alone."""

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image


class Page(HTMLParser):
    """Tags with their attributes, and the text outside <style>."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self._style = "", False
        self.source = path.read_text(encoding="utf8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._style = tag == "style"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else f" {data}"

    def words(self) -> str:
        return " ".join(self.text.split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def headings(self) -> list[str]:
        return [unescape(heading) for heading in re.findall(r"<h2>(.*?)</h2>", self.source)]


def assert_stands_alone(page: Page) -> None:
    """Nothing in the page is fetched from anywhere, and each picture can be decoded."""
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert not page.all("script")
    assert not re.search(r"@import|url\(", page.source)
    sources = [i["src"] for i in page.all("img")] + [s["srcset"] for s in page.all("source")]
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).load()
