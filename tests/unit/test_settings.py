"""Settings of the operator come from the environment, once, and what is wrong with one names it."""

from __future__ import annotations

import pytest

from zanith.controller.control import CannotStart
from zanith.controller.operator import read_settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZANITH_NAMESPACES", "ZANITH_WORKERS", "ZANITH_LIVENESS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZANITH_IMAGE", "zanith:1")


def test_only_the_image_has_to_be_given() -> None:
    settings = read_settings()
    assert (settings.image, settings.namespaces, settings.workers) == ("zanith:1", (), 16)


@pytest.mark.parametrize(("value", "namespaces"), [("", ()), ("a", ("a",)), (" a, b ,", ("a", "b"))])
def test_namespaces_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, namespaces: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ZANITH_NAMESPACES", value)
    assert read_settings().namespaces == namespaces


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ZANITH_IMAGE", "", "setting ZANITH_IMAGE"),
        ("ZANITH_WORKERS", "many", "setting ZANITH_WORKERS: input should be"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotStart, match=words):
        read_settings()
