"""An archive gives back what was put in, always in the same octets; whatever could do harm is refused in words."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.errors import BundleDamaged
from peerlab.report import archive
from peerlab.report.archive import is_safe, pack, unpack

FILES = {"b.json": b"{}", "a/b.txt": b"text " * 1000, "a/empty": b""}


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as made:
        for name, octets in entries:
            made.writestr(zipfile.ZipInfo(name), octets, compress_type=method)
    return packed.getvalue()


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(pack(FILES)) == FILES


def test_the_order_of_the_files_and_the_time_of_day_do_not_matter() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))
    with zipfile.ZipFile(io.BytesIO(pack(FILES))) as made:
        assert made.namelist() == sorted(FILES)
        assert {entry.date_time for entry in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}


LEADING_OUT = [
    "../x", "a/../../x", "/etc/passwd", "a//b", "a/", ".hidden", "a/.ssh/x", "C:\\x", "a\\..\\x", "", "x" * 300,
    "\u202egpj.x", "a\nb", "~/x", "$HOME",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_is_refused_and_never_written(name: str) -> None:
    assert not is_safe(name)
    with pytest.raises(BundleDamaged, match="leads out of the archive"):
        unpack(zipped((name, b"x")))
    with pytest.raises(ValueError, match="cannot name a file"):
        pack({name: b"x"})


def test_a_name_cut_by_a_null_octet_is_refused() -> None:
    octets = zipped(("safe_..x", b"x")).replace(b"safe_..x", b"safe\0..x")
    with pytest.raises(BundleDamaged):
        unpack(octets)


def test_a_file_that_is_in_it_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        octets = zipped(("a", b"1"), ("a", b"2"))
    with pytest.raises(BundleDamaged, match="a: is in it twice"):
        unpack(octets)


def test_a_bomb_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = zipped(("bomb", bytes(1 << 20)))
    assert len(octets) < 2000
    monkeypatch.setattr(archive, "MOST_OCTETS", 1 << 19)
    monkeypatch.setattr(archive, "_read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(BundleDamaged, match="would unpack to 1048576 octets, more than 524288"):
        unpack(octets)


def lying(size: int) -> Callable[[bytes], bytes]:
    """An archive whose directory says another size."""
    said = (1 << 20).to_bytes(4, "little")

    def change(octets: bytes) -> bytes:
        assert octets.count(said) >= 1
        return octets.replace(said, size.to_bytes(4, "little"))

    return change


@pytest.mark.parametrize("size", [10, (1 << 20) + 1])
def test_a_size_that_is_a_lie_is_refused(size: int) -> None:
    with pytest.raises(BundleDamaged):
        unpack(lying(size)(zipped(("bomb", bytes(1 << 20)))))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    with pytest.raises(BundleDamaged, match="holds 3 files, more than 2"):
        unpack(zipped(("a", b""), ("b", b""), ("c", b"")))


def test_other_methods_of_packing_are_refused() -> None:
    with pytest.raises(BundleDamaged, match="packed by method 12"):
        unpack(zipped(("a", b"x"), method=zipfile.ZIP_BZIP2))


def test_an_encrypted_file_is_refused() -> None:
    octets = bytearray(zipped(("a", b"x")))
    octets[octets.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BundleDamaged, match="a: is encrypted"):
        unpack(bytes(octets))


@pytest.mark.parametrize("octets", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18), b"%PDF-1.7" * 100])
def test_garbage_is_refused_in_words_or_empty(octets: bytes) -> None:
    try:
        assert unpack(octets) == {}
    except BundleDamaged as refused:
        assert str(refused)


PACKED = pack(FILES)


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_changed_octet_is_refused_or_changes_no_octet_of_a_file(place: int, mask: int) -> None:
    """Names may change and files be missing: that is what the manifest is for."""
    changed = PACKED[:place] + bytes([PACKED[place] ^ mask]) + PACKED[place + 1 :]
    try:
        found = unpack(changed)
    except BundleDamaged:
        return
    assert set(found.values()) <= set(FILES.values())


@given(st.binary(max_size=400))
def test_no_octets_lead_to_anything_but_words(octets: bytes) -> None:
    try:
        unpack(b"PK\x03\x04" + octets + PACKED[-200:])
    except BundleDamaged as refused:
        assert str(refused)
