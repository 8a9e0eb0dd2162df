"""The configuration reference is made from the settings classes, and says of every key what it means."""

from __future__ import annotations

import dataclasses

import pytest

from docs.prepare.reference import SECTIONS, reference, undescribed


def test_every_key_of_a_configuration_is_described() -> None:
    assert list(undescribed()) == []


@pytest.mark.parametrize(("title", "kind", "about"), SECTIONS, ids=[section[0] for section in SECTIONS])
def test_every_key_stands_on_the_page_with_its_type_and_default(title: str, kind: type, about: str) -> None:
    page = reference()
    part = page[page.index(f"`{title}`" if title.startswith("[") else f"## {title}") :]
    for field in dataclasses.fields(kind):
        if field.name != "base_dir":
            assert f"| `{field.name}` | " in part, field.name


def test_defaults_are_written_as_a_configuration_has_them() -> None:
    page = reference()
    assert "| `horizon_months` | whole number | `12` |" in page
    assert "| `challenger` | true or false | `true` |" in page
    assert '| `forecast` | text | `"stack"` |' in page
    assert "| `path` | text | required |" in page
