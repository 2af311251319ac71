"""The README: its figures are those of the results, and what it links to is there."""

from __future__ import annotations

import re

from test_house_layout import ROOT

from benchmarks.readme import filled

README = (ROOT / "README.md").read_text()


def test_every_table_is_that_of_the_json_files() -> None:
    assert "<!-- tournament-lane-unet -->" in README
    assert filled(README, ROOT / "benchmarks/results") == README


def test_the_scene_s_speed_is_that_of_its_json() -> None:
    text = (ROOT / "docs/scene.md").read_text()
    assert "<!-- scene -->" in text
    assert filled(text, ROOT / "benchmarks/results") == text


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(targets) > 8
    assert [target for target in targets if not (ROOT / target).exists()] == []
