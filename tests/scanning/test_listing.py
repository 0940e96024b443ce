"""Which models a scan has: the shards of job arrays are disjoint and complete, on all machines and whatever is added."""

from __future__ import annotations

import os

import pytest

from onnxcost.errors import InputError
from onnxcost.scanning.listing import Shard

NAMES = [f"{folder}/m{number:03}.onnx" for folder in ("a", "a/b", "c") for number in range(40)]


def shards(paths: list[str], given: list[str], total: int) -> list[list[str]]:
    return [Shard.of(number, total).select(paths, given) for number in range(1, total + 1)]


@pytest.mark.parametrize("total", [1, 2, 3, 16, 500])
def test_each_model_is_in_one_shard(total: int) -> None:
    paths = [f"zoo/{name}" for name in NAMES]
    found = shards(paths, ["zoo"], total)
    assert sorted(path for shard in found for path in shard) == sorted(paths)
    assert all(shard == [path for path in paths if path in set(shard)] for shard in found)
    assert max(map(len, found)) <= 3 * len(paths) / total + 5


def test_a_shard_is_the_same_on_another_machine_and_with_more_models() -> None:
    here = shards([f"zoo/{name}" for name in NAMES], ["zoo"], 4)
    for place in ("/mnt/data/zoo", "../zoo", "./zoo", "zoo//"):
        there = shards([f"{place}/{name}" for name in reversed(NAMES)], [place], 4)
        assert [sorted(os.path.relpath(path, place) for path in shard) for shard in there] == [
            sorted(path.removeprefix("zoo/") for path in shard) for shard in here
        ]
    fewer = shards([f"zoo/{name}" for name in NAMES[::2]], ["zoo"], 4)
    assert all(set(few) <= set(all_) for few, all_ in zip(fewer, here, strict=True))


def test_the_longest_folder_counts_and_without_one_the_path_as_it_is() -> None:
    one = Shard.of(1, 2)
    paths = [f"zoo/a/m{number}.onnx" for number in range(20)]
    assert one.select(paths, ["zoo", "zoo/a"]) == one.select(paths, ["zoo/a", "zoo"]) == one.select(paths, ["zoo/a"])
    assert one.select(paths, ["zoo"]) != one.select(paths, ["zoo/a"])
    assert [f"./{path}" for path in one.select(paths, paths)] == one.select([f"./{path}" for path in paths], paths)


def test_a_name_that_is_no_text_has_a_shard() -> None:
    path = os.fsdecode(b"zoo/\xff.onnx")
    assert sum(len(shard) for shard in shards([path], ["zoo"], 3)) == 1


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (-1, 3), (1, 0)])
def test_a_shard_that_is_none(shard: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"a shard must be from 1/{shard[1]} to"):
        Shard.of(*shard)


def test_the_shards_are_pinned() -> None:
    """A release that moved models to other shards would count them twice or not at all in arrays that run on."""
    assert [len(shard) for shard in shards(NAMES, ["."], 5)] == [22, 23, 28, 27, 20]
