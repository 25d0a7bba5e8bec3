"""What `palimpsest try` says at its end."""

from __future__ import annotations

from rich.console import Console

from evaluator.cli.palimpsest.try_out import _show_seconds
from evaluator.contract.seconds import Decoded, RunSeconds, Seconds


def test_it_says_where_the_seconds_went_and_what_drafts_saved() -> None:
    stages = {"generate": Seconds(wall_s=6, cpu_s=11.25), "attack": Seconds(), "seal": Seconds(wall_s=1.5, cpu_s=1)}
    found = RunSeconds(run_id="r1", whole=Seconds(wall_s=7.5, cpu_s=12.25), stages=stages)
    console = Console(record=True, width=100)
    _show_seconds(found, console)
    said = console.export_text()
    assert all(text in said for text in ("Generation", "6.00", "11.25", "Sealing", "The whole run", "7.50"))
    assert "Attacks" not in said and "decoding" not in said, "nothing of what was not come to"
    decoded = Decoded(passes=40, tokens=130, guessed=120, accepted=90)
    _show_seconds(found.model_copy(update={"decoded": decoded}), console)
    assert "130 tokens in 40 passes; of 120 guessed ahead 90 were right, 2.25 a pass" in console.export_text()
