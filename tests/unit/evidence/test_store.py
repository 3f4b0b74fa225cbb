"""A lab's directory: found where it should be, never taken from somebody else, never half written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from kit.tcp_talk import MODEL

from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence import store as store_module
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.store import MARK, LabStore, state_home


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PEERLAB_STATE": "/a", "XDG_STATE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_STATE_HOME": "/b", "HOME": "/c"}, "/b/peerlab"),
        ({"HOME": "/c"}, "/c/.local/state/peerlab"),
    ],
)
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("PEERLAB_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert state_home() == Path(expected)


def test_a_lab_s_life(home: Path) -> None:
    made = LabStore.create("direct", "name: direct\n", MODEL)
    assert LabStore.exists("direct") and LabStore.names() == ("direct",)
    found = LabStore.open("direct")
    assert (found.path, found.topology_text(), found.model()) == (home / "direct", "name: direct\n", MODEL)
    for label, at in (("under-deny", 2), ("baseline", 1), ("under-deny", 3)):
        made.save_snapshot(Snapshot(label=label, at=at, nodes={}))
    assert [(s.label, s.at) for s in found.snapshots().values()] == [("baseline", 1), ("under-deny", 3)]
    found.remove()
    assert not LabStore.exists("direct") and LabStore.names() == ()


def test_a_second_lab_of_that_name_is_refused_and_the_first_untouched() -> None:
    LabStore.create("direct", "one", MODEL)
    with pytest.raises(RefusedError, match="peerlab down direct"):
        LabStore.create("direct", "two", MODEL)
    assert LabStore.open("direct").topology_text() == "one"


def test_a_directory_without_our_mark_is_left_alone(home: Path) -> None:
    (home / "photos").mkdir(parents=True)
    (home / "photos" / "cat.jpg").write_text("meow")
    assert LabStore.names() == ()
    for act in (lambda: LabStore.create("photos", "", MODEL), lambda: LabStore.open("photos")):
        with pytest.raises(RefusedError, match="NotOurs"):
            act()
    with pytest.raises(RefusedError, match="NotOurs"):
        LabStore("photos", home / "photos", new=False).remove()
    assert (home / "photos" / "cat.jpg").read_text() == "meow"


def test_a_link_to_a_lab_is_not_followed_when_removing(home: Path) -> None:
    real = LabStore.create("real", "", MODEL)
    (home / "link").symlink_to(real.path)
    with pytest.raises(RefusedError, match="NotOurs"):
        LabStore("link", home / "link", new=False).remove()
    assert (real.path / MARK).exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Direct", "x" * 33, "a b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="BadLabName"):
        LabStore.where(name)


def test_a_label_that_would_leave_the_directory_is_refused() -> None:
    made = LabStore.create("direct", "", MODEL)
    with pytest.raises(RefusedError, match="BadLabel"):
        made.save_snapshot(Snapshot(label="../model", at=1, nodes={}))


def test_only_who_made_it_takes_it_back() -> None:
    made = LabStore.create("direct", "", MODEL)
    LabStore.open("direct").remove_if_new()
    assert LabStore.exists("direct")
    made.remove_if_new()
    assert not LabStore.exists("direct")


def test_no_such_lab() -> None:
    with pytest.raises(RefusedError, match="NoSuchLab"):
        LabStore.open("ghost")


def test_a_model_that_cannot_be_read_is_named() -> None:
    made = LabStore.create("direct", "", MODEL)
    (made.path / "model.json").write_text('{"name": 3}')
    with pytest.raises(RuntimeFailure, match=r"model\.json: is no LabModel"):
        made.model()


def test_the_widest_model_is_the_model_until_more_was_saved_and_outlives_the_model() -> None:
    made, wider = LabStore.create("direct", "", MODEL), msgspec.structs.replace(MODEL, description="wider")
    assert made.widest() == MODEL
    made.save_widest(wider)
    made.save_model(MODEL)
    assert (LabStore.open("direct").widest(), made.model()) == (wider, MODEL)


def test_a_write_that_fails_keeps_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = LabStore.create("direct", "", MODEL)

    def full(self: Path, octets: bytes) -> int:
        with self.open("wb") as file:
            file.write(octets[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.Path, "write_bytes", full)
    with pytest.raises(RuntimeFailure, match="No space left on device"):
        made.save_model(MODEL)
    assert made.model() == MODEL
    assert not list(made.path.glob(".model*"))
