"""The README: its figures are those of the results, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_house_layout import ROOT

from benchmarks.readme import filled

README = (ROOT / "README.md").read_text()


def test_every_table_is_that_of_the_json_files() -> None:
    assert "<!-- tournament-lane-unet -->" in README
    assert filled(README, ROOT / "benchmarks/results") == README


PAGES = sorted(ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_tables_are_those_of_the_json_files(page: Path) -> None:
    text = page.read_text()
    assert filled(text, ROOT / "benchmarks/results") == text


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_pages_have_the_tables_they_are_for() -> None:
    for name, table in (
        ("scene", "scene"),
        ("training", "transfer"),
        ("calibration", "calibration"),
    ):
        assert f"<!-- {table} -->" in (ROOT / f"docs/{name}.md").read_text()
    assert len(re.findall(r"\]\(", README)) > 8
