"""A page read by a parser that is not the browser's: elements with their attributes, texts, and bad nesting."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "input", "br", "link", "img", "hr"}
NOT_IN_PHRASE = {"div", "ul", "ol", "section", "table", "p", "dl", "form", "pre"}
"""What may not stand in a paragraph or a heading."""


class Element:
    """An element of the page. ``text`` is all text in it."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Element] = []
        self.text = ""

    def every(self, tag: str = "", **wanted: str) -> list[Element]:
        """All elements in it of a tag and with these attributes (``class_`` has to be among the classes)."""
        found = []
        for child in self.children:
            if tag in ("", child.tag) and child._fits(wanted):
                found.append(child)
            found.extend(child.every(tag, **wanted))
        return found

    def _fits(self, wanted: dict[str, str]) -> bool:
        classes = self.attributes.get("class", "").split()
        return all(
            value in classes if name == "class_" else self.attributes.get(name.replace("_", "-")) == value
            for name, value in wanted.items()
        )

    def ancestors(self) -> list[str]:
        """Tags around it, the nearest first."""
        return [] if self.parent is None else [self.parent.tag, *self.parent.ancestors()]


class Page(HTMLParser):
    """The page as a tree; ``mistakes`` are elements closed in another order than they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, None)
        self.mistakes: list[str] = []
        self._at = self.root
        self.feed(text)
        self.close()
        if self._at is not self.root:
            self.mistakes.append(f"<{self._at.tag}> is never closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.mistakes.append(f"<{tag}> has an attribute twice: {names}")
        element = Element(tag, {name: value or "" for name, value in attrs}, self._at)
        self._at.children.append(element)
        around = element.ancestors()
        if tag in NOT_IN_PHRASE and {"p", "h1", "h2", "h3", "h4", "h5", "span"} & set(around):
            self.mistakes.append(f"<{tag}> in {around[:4]}")
        if tag == "li" and around[0] not in ("ul", "ol"):
            self.mistakes.append(f"<li> in <{around[0]}>")
        if tag == "summary" and (around[0] != "details" or self._at.children[0] is not element):
            self.mistakes.append("<summary> has to be the first in <details>")
        if tag == "a" and "a" in around:
            self.mistakes.append("<a> in <a>")
        if tag not in VOID:
            self._at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._at.tag != tag or self._at.parent is None:
            self.mistakes.append(f"</{tag}> closes <{self._at.tag}> at {self.getpos()}")
            return
        self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        element: Element | None = self._at
        while element is not None:
            element.text += data
            element = element.parent
