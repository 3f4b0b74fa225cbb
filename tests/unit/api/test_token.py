"""The lab's own bearer tokens: only what this lab issued, for this door, and not yet expired, lets anybody in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from peerlab.api.token import SECRET, InvalidToken, Issuer, Scope

NOW = 1_800_000_000


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "api", "direct")


def test_a_token_is_good_until_it_expires(issuer: Issuer) -> None:
    token = issuer.issue(Scope.ARM, NOW, 60)
    assert issuer.check(token, Scope.ARM, NOW + 59).lab == "direct"
    with pytest.raises(InvalidToken, match="expired"):
        issuer.check(token, Scope.ARM, NOW + 60)


def test_the_secret_outlives_the_process_and_is_its_owners(tmp_path: Path) -> None:
    token = Issuer(tmp_path / "api", "direct").issue(Scope.ARM, NOW)
    assert Issuer(tmp_path / "api", "direct").check(token, Scope.ARM, NOW)
    assert stat.S_IMODE((tmp_path / "api" / SECRET).stat().st_mode) == 0o600


def test_a_door_of_another_kind_stays_shut(issuer: Issuer) -> None:
    with pytest.raises(InvalidToken, match="scope"):
        issuer.check(issuer.issue(Scope.ARM, NOW), Scope.OPERATOR, NOW)


def test_another_labs_token(issuer: Issuer, tmp_path: Path) -> None:
    with pytest.raises(InvalidToken, match="not issued by this lab"):
        issuer.check(Issuer(tmp_path / "other", "direct").issue(Scope.ARM, NOW), Scope.ARM, NOW)
    with pytest.raises(InvalidToken, match="another lab"):
        issuer.check(Issuer(tmp_path / "api", "exchange").issue(Scope.ARM, NOW), Scope.ARM, NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        # not base64, not ASCII, not three parts
        "ö.ö.ö",
        "x",
        "e30.e30.e30",
    ],
)
def test_nonsense_is_refused(issuer: Issuer, token: str) -> None:
    with pytest.raises(InvalidToken):
        issuer.check(token, Scope.ARM, NOW)


def test_no_octet_of_a_token_can_be_changed(issuer: Issuer) -> None:
    token = issuer.issue(Scope.ARM, NOW)
    head, body, signature = token.split(".")
    for changed in (
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}x.{body}.{signature}",
        f"{head}.{body}.{signature[2:]}",
    ):
        with pytest.raises(InvalidToken):
            issuer.check(changed, Scope.ARM, NOW)
