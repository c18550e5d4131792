"""What the console reads of channels: in the order in which people look for them, since when, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from serving.release_views import read_channel, read_pointers, read_releases
from serving.rollout import new_rollout
from tests.serving.benches import Bench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as bench:
        yield bench


def build_two(bench: Bench) -> tuple[str, str]:
    first = bench.project.build()
    bench.project.sync({"new.md": "# New\n\nNew words.\n"})
    return first, bench.project.build()


def test_production_comes_first_and_channels_that_were_never_set_are_named(bench: Bench) -> None:
    assert read_pointers(bench.workbench) == ()
    (chain,) = read_releases(bench.workbench).chains
    assert [(view.record.channel, view.record.release) for view in chain.channels] == [
        ("production", None),
        ("staging", None),
    ]
    release = bench.project.build()
    for channel in ("alpha", "staging", "production"):
        bench.point(channel, release)
    assert [pointer.model for pointer in read_pointers(bench.workbench)] == ["production", "staging", "alpha"]


def test_a_release_is_there_since_the_move_that_brought_it(bench: Bench) -> None:
    first, second = build_two(bench)
    bench.point("staging", second)
    bench.point("staging", first)
    bench.point("staging", first, rollout=new_rollout("percent", second, share=10))
    (chain,) = read_releases(bench.workbench).chains
    staging = chain.channels[1]
    assert staging.since is not None
    assert staging.since.version == 2
    assert staging.report is not None
    assert staging.report["arms"]["candidate"]["release"] == second
    (pointer,) = read_pointers(bench.workbench)
    assert pointer.rollout == f"10 % of the conversations: release {second[:12]}"


def test_releases_are_listed_with_the_channels_that_point_at_them(bench: Bench) -> None:
    first, second = build_two(bench)
    bench.point("production", first, forced=True)
    rows = read_releases(bench.workbench).releases
    assert [(row.record.id, row.channels) for row in rows] == [(second, ()), (first, ("production of docs (forced)",))]


def test_the_history_of_a_channel_that_was_never_set_names_the_command(bench: Bench) -> None:
    with pytest.raises(NotFound, match="lockgate release promote RELEASE production"):
        read_channel(bench.workbench, "docs", "production")
    with pytest.raises(UserError, match="not the name of a channel"):
        read_channel(bench.workbench, "docs", "../x")
