"""HTML: the page's own text, without what all pages of a site repeat around it."""

from __future__ import annotations

from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import Comment, NavigableString, Tag

from retrieval.documents.formats.assembler import Assembler

DROPPED = ["script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "button", "svg"]
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTAINERS = "html body main article section div center figure details fieldset dl ul ol blockquote address hgroup"
CONTAINERS = frozenset(_CONTAINERS.split())
CELL_SEPARATOR = " | "


def read_html(text: str, into: Assembler) -> str | None:
    """Read a page into `into`; returns its first h1, else its <title>, else None.

    If the page has a <main> or an <article>, only its content is read. A table gives one line per row, cells joined by
    ` | `.
    """
    page = BeautifulSoup(text, "html.parser")
    title = page.title.get_text(" ", strip=True) if page.title else None
    root = page.find("main") or page.find("article") or page.body or page
    _drop(root)
    first = root.find("h1")
    _read(root, into)
    return (first.get_text(" ", strip=True) if first else None) or title or into.first_heading


def _drop(root: Tag) -> None:
    for tag in root.find_all([*DROPPED, "title", "head"]):
        if tag.name == "header" and tag.find(list(HEADINGS)):
            tag.unwrap()  # an article's own header holds its heading
        else:
            tag.decompose()
    for comment in root.find_all(string=lambda string: isinstance(string, Comment)):
        comment.extract()


def _read(container: Tag, into: Assembler) -> None:
    """Walk a container: headings, tables and blocks in order; loose text between them is a block too."""
    loose: list[str] = []
    for child in container.children:
        if isinstance(child, NavigableString):
            loose.append(str(child))
        elif isinstance(child, Tag) and _is_inline(child):
            loose.append("\n" if child.name == "br" else child.get_text())
        elif isinstance(child, Tag):
            _flush(loose, into)
            _read_block(child, into)
    _flush(loose, into)


def _flush(loose: list[str], into: Assembler) -> None:
    into.block(_tidy("".join(loose)))
    loose.clear()


def _read_block(tag: Tag, into: Assembler) -> None:
    if tag.name in HEADINGS:
        into.heading(HEADINGS[tag.name], tag.get_text(" ", strip=True))
    elif tag.name == "table":
        into.block("\n".join(_rows(tag)))
    elif tag.name == "pre":
        into.block(tag.get_text())
    elif tag.name in ("ul", "ol", "dl") and not tag.find([*HEADINGS, "table"]):
        into.block("\n".join(_items(tag)))
    elif tag.name in CONTAINERS or tag.find([*CONTAINERS, *HEADINGS, "p", "table"]):
        _read(tag, into)
    else:
        into.block(_tidy(_with_breaks(tag)))


def _is_inline(tag: Tag) -> bool:
    blocks = {*HEADINGS, *CONTAINERS, "p", "table", "pre", "li", "dt", "dd", "figcaption", "summary", "hr"}
    return tag.name not in blocks and tag.find(list(blocks)) is None


def _rows(table: Tag) -> Iterator[str]:
    caption = table.find("caption")
    if caption:
        yield caption.get_text(" ", strip=True)
    for row in table.find_all("tr"):
        cells = [" ".join(cell.get_text(" ", strip=True).split()) for cell in row.find_all(["th", "td"])]
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _items(tag: Tag) -> Iterator[str]:
    for item in tag.find_all(["li", "dt", "dd"]):
        for nested in item.find_all(["ul", "ol", "dl"]):
            nested.extract()
            item.insert_after(nested)
        text = " ".join(item.get_text(" ", strip=True).split())
        if text:
            yield text if item.name == "dt" else f"- {text}"


def _with_breaks(tag: Tag) -> str:
    for line_break in tag.find_all("br"):
        line_break.replace_with("\n")
    return tag.get_text()


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return " ".join(line for line in lines if line) if "\n" in text else " ".join(text.split())
