"""Groups stay whole, classes keep their shares, and the seed decides the rest."""

import numpy as np
import pytest

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.splits import pick, read_groups, read_names, split, split_by_names

BOX = np.array([[0.0, 0.0], [2.0, 2.0]])


def blank() -> Micrograph:
    return Micrograph(np.zeros((8, 8), np.uint8))


def example(name: str, *labels: str, group: str = "") -> Example:
    shapes = tuple(Shape("box", label, BOX) for label in labels)
    return Example(LabelledImage(name, 8, 8, shapes), blank, group)


def names(part: list[Example]) -> list[str]:
    return [e.name for e in part]


def specimens(groups: int = 20, *, seed: int = 0) -> list[Example]:
    """Groups of 1 to 6 images; a rare class in every fifth."""
    rng = np.random.default_rng(seed)
    examples = []
    for group in range(groups):
        for number in range(rng.integers(1, 7)):
            labels = ["particle"] * int(rng.integers(1, 9)) + ["twin"] * (group % 5 == 0)
            examples.append(example(f"{group}-{number}.png", *labels, group=f"s{group}"))
    return examples


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.7, 0.15, 0.15), (0.5, 0.5)])
def test_split_is_a_partition_that_keeps_groups_whole_and_shares_close(seed, fractions):
    examples = specimens(seed=seed)
    parts = split(examples, fractions, seed=seed)
    assert len(parts) == len(fractions)
    assert sorted(name for part in parts for name in names(part)) == sorted(names(examples))
    groups = [{e.group for e in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    for part, fraction in zip(parts, fractions, strict=True):
        assert len(part) / len(examples) == pytest.approx(fraction, abs=0.08)
        particles = [s for e in part for s in e.labels.shapes if s.label == "particle"]
        total = [s for e in examples for s in e.labels.shapes if s.label == "particle"]
        assert len(particles) / len(total) == pytest.approx(fraction, abs=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_rare_class_stands_in_both_parts(seed):
    examples = [example(f"{k}.png", "particle", *["twin"] * (k < 5)) for k in range(50)]
    train, val = split(examples, (0.8, 0.2), seed=seed)
    twins = [sum(s.label == "twin" for e in part for s in e.labels.shapes) for part in (train, val)]
    assert twins == [4, 1]
    assert (len(train), len(val)) == (40, 10)


def test_split_seed_decides_and_order_of_examples_is_kept():
    examples = [example(f"{k}.png", "particle") for k in range(30)]
    first = split(examples, seed=1)
    assert names(first[1]) == names(split(examples, seed=1)[1])
    assert names(first[1]) != names(split(examples, seed=2)[1])
    assert names(first[0]) == [n for n in names(examples) if n in set(names(first[0]))]


def test_images_without_group_are_groups_of_their_own():
    train, val = split([example("a"), example("b")], (0.5, 0.5))
    assert {*names(train), *names(val)} == {"a", "b"}


def test_no_part_is_empty_even_when_one_group_outweighs_all():
    giant = [example(f"g{k}", "particle", group="giant") for k in range(97)]
    small = [example(f"s{k}", "particle") for k in range(2)]
    for seed in range(5):
        parts = split(giant + small, (0.9, 0.05, 0.05), seed=seed)
        assert sorted(map(len, parts)) == [1, 1, 97]


def test_split_of_images_without_any_shape_works():
    train, val = split([example(str(k)) for k in range(10)])
    assert (len(train), len(val)) == (8, 2)


def test_wrong_fractions_and_too_few_groups_are_refused():
    examples = [example("a", group="one"), example("b", group="one")]
    with pytest.raises(ValueError, match=r"sum to 1. Received: fractions=\(0.8, 0.3\)"):
        split(examples, (0.8, 0.3))
    with pytest.raises(ValueError, match=r"Received: fractions=\(1.0,\)"):
        split(examples, (1.0,))
    with pytest.raises(ValueError, match=r"Received: fractions=\(1.2, -0.2\)"):
        split(examples, (1.2, -0.2))
    with pytest.raises(ValueError, match=r"2 examples in 1 group\(s\) for 2 parts. Add images"):
        split(examples)


def test_split_by_names_takes_names_with_and_without_folder_and_suffix():
    examples = [example(n) for n in ("lot/a.png", "b.tif", "c.d.png", "e.png")]
    train, val = split_by_names(examples, ["c.d", "a.png"], ["b"])
    assert names(train) == ["lot/a.png", "c.d.png"]  # in the examples' order; e is on no list
    assert names(val) == ["b.tif"]


def test_pick_gives_the_named_examples_once_in_their_own_order():
    examples = [example(n) for n in ("lot/a.png", "b.tif", "e.png")]
    assert names(pick(examples, ["e", "a.png", "lot/a"])) == ["lot/a.png", "e.png"]
    assert pick(examples, []) == []
    with pytest.raises(ValueError, match=r"with or without its suffix. Received: 'f'. Known: lot"):
        pick(examples, ["b", "f"])


def test_split_by_names_reads_another_suffix_as_the_same_image():
    train, val = split_by_names([example("a.png"), example("b.png")], ["a.jpg"], ["b.tiff"])
    assert (names(train), names(val)) == (["a.png"], ["b.png"])


def test_split_by_names_refuses_unknown_ambiguous_overlapping_and_empty():
    examples = [example("grid_01.png"), example("grid_02.png"), example("x/a.png")]
    with pytest.raises(ValueError, match=r"Received: 'grid_03'. Close: grid_0"):
        split_by_names(examples, ["grid_03"], ["grid_02"])
    with pytest.raises(ValueError, match=r"Received: 'zzz'. Known: grid_01.png"):
        split_by_names(examples, ["zzz"], ["grid_02"])
    with pytest.raises(ValueError, match=r"on both lists.*1 on both, grid_01.png. Remove"):
        split_by_names(examples, ["grid_01", "a"], ["grid_01.png"])
    with pytest.raises(ValueError, match=r"1 for training, 0 for validation\. Add names"):
        split_by_names(examples, ["grid_01"], [])
    with pytest.raises(ValueError, match=r"Received: 'a', which may be x/a.png, y/a.png. Write"):
        split_by_names([*examples, example("y/a.png")], ["a"], ["grid_01"])


def test_split_by_names_refuses_a_specimen_on_both_sides():
    one, other = example("a.png", group="grid 7"), example("b.png", group="grid 7")
    third, single = example("c.png", group="grid 8"), example("d.png")
    message = r"no specimen may be on both sides.*Received: 'grid 7', with a.png to learn from and"
    with pytest.raises(ValueError, match=message):
        split_by_names([one, other, third], ["a", "c"], ["b"])
    train, val = split_by_names([one, other, third, single], ["a", "b", "d"], ["c"])
    assert (len(train), len(val)) == (3, 1)
    # Images without a group are specimens of their own.
    assert split_by_names([single, example("e.png")], ["d"], ["e"])


def test_read_names_skips_heading_empty_lines_and_byte_order_mark(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("\ufeffname,doi\na,1\n\nb.png,2\n", encoding="utf-8")
    assert read_names(path) == ["a", "b.png"]
    path.write_text("f78844f8ce\nf6f3758bf4\n")
    assert read_names(path) == ["f78844f8ce", "f6f3758bf4"]


def test_read_names_of_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("name\n")
    with pytest.raises(ValueError, match=r"train.csv: a list of images must name at least one"):
        read_names(path)


def test_read_groups_maps_names_to_groups(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("name,doi\na,10.1\nb,10.1\nc,10.2\n")
    assert read_groups(path) == {"a": "10.1", "b": "10.1", "c": "10.2"}


def test_read_groups_names_the_line_that_is_wrong(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("name,doi\na,10.1\nb\n")
    with pytest.raises(ValueError, match=r"groups.csv, line 3: .*Received: 'b'. Add the group"):
        read_groups(path)
    path.write_text("a,10.1\na,10.2\n")
    with pytest.raises(ValueError, match=r"line 2: .*Received: 'a' in '10.1' and in '10.2'"):
        read_groups(path)


@pytest.mark.shared
def test_emps_lists_and_groups_are_read(shared):
    emps = shared / "data" / "emps"
    train, val = read_names(emps / "train.csv"), read_names(emps / "val.csv")
    groups = read_groups(emps / "groups.csv")
    assert (len(train), len(val), len(groups)) == (293, 73, 366)
    assert {groups[n] for n in train}.isdisjoint(groups[n] for n in val)
