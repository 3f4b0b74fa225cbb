"""The report page in a real browser, when there is one: no script errors, nothing wider than a phone, filters work.

With ``PEERLAB_BROWSER=1`` a machine without Chromium fails instead.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.browser import Browser, browser, program
from kit.recorded import again

from peerlab.evidence.story import Moment
from peerlab.report.html import page
from peerlab.verify.finding import Outcome

DEMANDED = os.environ.get("PEERLAB_BROWSER") == "1"
PHONE, TABLET, DESK = 390, 820, 1440

pytestmark = pytest.mark.skipif(program() is None and not DEMANDED, reason="no Chromium on this machine")

SHOWN = "Array.from(document.querySelectorAll('.finding:not([hidden])')).map(one => one.dataset.check)"
SETTLE = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "report.html"
    recorded = again()
    place.write_text(page(recorded.content, recorded.evidence, recorded.findings))
    return place


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert program() is not None, "PEERLAB_BROWSER=1 wants a Chromium, and there is none"
    with browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.fixture
def opened(chromium: Browser, file: Path) -> Browser:
    chromium.complaints.clear()
    chromium.open(file, DESK)
    return chromium


def ask(chromium: Browser, script: str) -> None:
    """Do something in the page as a person does: with its events."""
    chromium.value(f"(() => {{ {script} }})()")
    chromium.value(SETTLE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_nothing_is_wider_than_the_screen_and_no_script_complains(
    chromium: Browser, file: Path, width: int, dark: bool
) -> None:
    chromium.complaints.clear()
    chromium.open(file, width, dark)
    ask(chromium, "document.querySelectorAll('details').forEach(one => { one.open = true; });")
    assert chromium.value("document.documentElement.scrollWidth") == width
    beyond = """Array.from(document.querySelectorAll('body *')).filter(one =>
        !one.closest('.scroll, pre, .skip, .unseen') && one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.tagName + '.' + one.className).slice(0, 5)"""
    assert chromium.value(beyond) == []
    assert chromium.complaints == []


def test_text_can_be_read_in_both_themes(chromium: Browser, file: Path) -> None:
    """WCAG 2 AA: 4.5 to 1 for every colour of text on the colour behind it."""
    contrast = """Array.from(document.querySelectorAll('body *')).filter(one => one.checkVisibility() &&
      !one.closest('svg, select, option, .share') &&
      Array.from(one.childNodes).some(node => node.nodeType === 3 && node.data.trim())).map(one => {
        const canvas = window.canvas || (window.canvas = document.createElement('canvas').getContext('2d',
          { willReadFrequently: true }));
        const octets = (colours) => { canvas.clearRect(0, 0, 1, 1); for (const colour of colours) {
          canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); } return canvas.getImageData(0, 0, 1, 1).data; };
        const light = (d) => { const [r, g, b] = [0, 1, 2].map(n => { const v = d[n] / 255;
          return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const behind = []; for (let at = one; at; at = at.parentElement) {
          behind.unshift(getComputedStyle(at).backgroundColor); }
        const a = light(octets(behind)), b = light(octets([...behind, getComputedStyle(one).color]));
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.tagName + '.' + one.className];
      }).filter(([ratio]) => ratio < 4.5).map(([ratio, name]) => ratio.toFixed(2) + ' ' + name)"""
    for dark in (False, True):
        chromium.open(file, DESK, dark)
        ask(chromium, "document.querySelectorAll('details').forEach(one => { one.open = true; });")
        assert sorted(set(chromium.value(contrast))) == []


def test_all_is_shown_at_first(opened: Browser) -> None:
    assert sorted(opened.value(SHOWN)) == sorted(one.check for one in again().findings)
    count = len(again().findings)
    assert opened.value("document.getElementById('shown').textContent") == f"{count} of {count} shown"


def test_outcomes_can_be_filtered(opened: Browser) -> None:
    counted = Counter(one.outcome for one in again().findings)
    ask(opened, "document.querySelector('[name=outcome][value=pass]').click();")
    assert len(opened.value(SHOWN)) == len(again().findings) - counted[Outcome.PASS]
    ask(opened, "document.querySelector('[name=outcome][value=not-applicable]').click();")
    assert opened.value(SHOWN) == []
    assert opened.value("document.querySelectorAll('.phase:not([hidden])').length") == 0
    ask(opened, "document.querySelector('[name=outcome][value=pass]').click();")
    assert len(opened.value(SHOWN)) == counted[Outcome.PASS]


def test_severity_can_be_chosen(opened: Browser) -> None:
    ask(
        opened,
        "const s = document.querySelector('[name=severity]'); s.value = 'minor';"
        "s.dispatchEvent(new Event('input', { bubbles: true }));",
    )
    minor = [one.check for one in again().findings if one.severity == "minor"]
    assert sorted(opened.value(SHOWN)) == sorted(minor)


def test_words_are_searched_in_findings_and_evidence(opened: Browser) -> None:
    def search(words: str) -> list[str]:
        ask(
            opened,
            f"const s = document.querySelector('[name=search]'); s.value = {words!r};"
            "s.dispatchEvent(new Event('input', { bubbles: true }));",
        )
        return list(opened.value(SHOWN))

    found = search("pol-10 default route")
    assert "POL-10" in found and len(found) < 5
    assert "POL-10" in search("ANNOUNCE 0.0.0.0/0")
    assert search("no such words anywhere") == []
    assert len(search("")) == len(again().findings)


def test_the_picture_shows_the_chosen_moment(opened: Browser) -> None:
    line = "document.querySelector('path.connection').getAttribute('class')"
    assert "state-up" in opened.value(line)
    for moment, state in ((Moment.BASELINE, "absent"), (Moment.PRIMARY_LOST, "down"), (Moment.RESTORED, "up")):
        ask(
            opened,
            f"const m = document.getElementById('moment'); m.value = '{moment}';"
            "m.dispatchEvent(new Event('change'));",
        )
        assert opened.value(line).split()[-1] == f"state-{state}"


def test_a_link_to_a_check_opens_it(opened: Browser) -> None:
    check = next(one.check for one in again().findings if one.outcome is Outcome.NOT_APPLICABLE)
    opened.value(
        "new Promise(done => { addEventListener('hashchange', () => done(), { once: true });"
        f"location.hash = '#check-{check.lower()}'; }})"
    )
    assert opened.value(f"document.getElementById('check-{check.lower()}').open")
    assert opened.value(f"document.getElementById('check-{check.lower()}').closest('.fold').open")
    assert opened.complaints == []


def test_the_theme_is_the_readers(opened: Browser) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened.value(colour)
    button = "document.getElementById('theme').click();"
    ask(opened, button)
    assert opened.value(colour) == light
    ask(opened, button)
    assert opened.value(colour) != light
    assert opened.value("document.getElementById('theme').textContent") == "Theme: dark"
    ask(opened, button)
    assert opened.value(colour) == light


def test_without_scripts_every_finding_is_there(chromium: Browser, file: Path) -> None:
    chromium("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(file, PHONE)
        text = chromium("DOM.getOuterHTML", nodeId=chromium("DOM.getDocument")["root"]["nodeId"])["outerHTML"]
    finally:
        chromium("Emulation.setScriptExecutionDisabled", value=False)
    assert text.count('class="finding ') == len(again().findings)
    assert 'class="js"' not in text and " hidden" not in text.partition("<main")[2].partition("<script")[0]
