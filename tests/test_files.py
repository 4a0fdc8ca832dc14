"""Files are written whole or not at all."""

import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from temzoo import cli, labels
from temzoo.core import files
from temzoo.core.files import NO_SPACE, atomic_path, in_place, own_folder, spreadsheet_text
from temzoo.data.synthetic.synthesize import write_dataset


def test_atomic_path_puts_the_written_file_in_place(tmp_path):
    target = tmp_path / "deep" / "history.csv"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert not target.exists()
        temporary.write_text("epoch,loss\n")
    assert target.read_text() == "epoch,loss\n"
    assert [path.name for path in target.parent.iterdir()] == ["history.csv"]


def test_atomic_path_keeps_the_suffixes_that_writers_choose_a_format_by(tmp_path):
    with atomic_path(tmp_path / "best.weights.h5") as temporary:
        assert temporary.suffixes[-2:] == [".weights", ".h5"]


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()])
def test_atomic_path_interrupted_keeps_the_old_file_and_leaves_nothing_else(tmp_path, interruption):
    target = tmp_path / "masks.tif"
    target.write_bytes(b"old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise interruption

    with pytest.raises(type(interruption)):
        write()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    code = (
        "import os, sys; from temzoo.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path: path.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"]).returncode == 9
    (left,) = tmp_path.iterdir()
    mine = tmp_path / left.name.replace(left.name.split("@")[0], f".partial-{os.getpid()}")
    elsewhere = tmp_path / left.name.replace("@", "@another-", 1)
    for other in (mine, elsewhere):
        other.touch()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    with atomic_path(tmp_path / "b.txt") as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {tmp_path / "b.txt", mine, elsewhere}


def test_what_was_killed_a_moment_ago_is_removed_where_its_process_would_be_seen(tmp_path):
    code = (
        "import os, sys; from temzoo.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path: path.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"]).returncode == 9
    (left,) = tmp_path.iterdir()
    pid, node, _, rest = left.name.split("@")
    unseen = tmp_path / "@".join((pid, node, "00000000", rest))
    unseen.touch()
    with atomic_path(tmp_path / "b.txt") as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {tmp_path / "b.txt", unseen}


def test_one_job_at_a_time_writes_into_a_folder(tmp_path):
    out = tmp_path / "out"
    told = r"out, in which another temzoo job"
    with own_folder(out), pytest.raises(RuntimeError, match=told), own_folder(out):
        pass
    assert not out.exists()  # nothing was written
    with own_folder(out):
        (out / "a.txt").touch()
    assert out.exists()


def test_a_folder_that_was_taken_away_from_its_job_is_not_made_anew(tmp_path):
    out = tmp_path / "out"
    with own_folder(out):
        (out / "a").touch()
        out.rename(tmp_path / "elsewhere")
        told = (
            r"stay where it is\. Received: .*out, which was moved or removed .* run the same again"
        )
        for _ in range(2):
            with pytest.raises(FileNotFoundError, match=told), atomic_path(out / "deep" / "b"):
                pass
            assert not out.exists()
        out.mkdir()  # another one
        with pytest.raises(FileNotFoundError, match=told), atomic_path(out / "b"):
            pass
    with atomic_path(out / "b") as temporary:
        temporary.write_text("whole")


def test_a_folder_that_stays_empty_is_gone_with_those_above_it(tmp_path):
    with in_place(tmp_path / "deep" / "out"):
        assert (tmp_path / "deep" / "out").is_dir()
    assert not [*tmp_path.iterdir()]


def test_a_folder_below_one_that_was_taken_away_is_not_made_either(tmp_path):
    with own_folder(tmp_path / "out"):
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        told = pytest.raises(FileNotFoundError, match="must stay where it is")
        with told, own_folder(tmp_path / "out" / "trials"):
            pass
    assert [*tmp_path.iterdir()] == [tmp_path / "elsewhere"]


@pytest.mark.parametrize(("to", "name"), [("coco", "coco.json"), ("masks", "masks")])
def test_a_conversion_whose_folder_is_taken_away_writes_nothing(to, name, tmp_path, monkeypatch):
    _, source = write_dataset(tmp_path / "data", n=1, size=64, n_particles=2)
    out, read = tmp_path / "out", labels.read
    out.mkdir()

    def moved(*given, **how):
        out.rename(tmp_path / "elsewhere")
        return read(*given, **how)

    monkeypatch.setattr(labels, "read", moved)
    with pytest.raises(FileNotFoundError, match="must stay where it is"):
        labels.convert(source, out / name, to=to)
    assert not out.exists()


def test_hdf5_is_silent_on_a_disk_whose_error_was_told(monkeypatch):
    said = []
    monkeypatch.setattr(sys, "excepthook", lambda *what: said.append(what[1]))
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: said.append(ignored.exc_value))
    cli._tell_once()
    other = ValueError("another")
    for error in (OSError(28, NO_SPACE), other):
        sys.excepthook(type(error), error, None)
        sys.unraisablehook(SimpleNamespace(exc_value=error))
    assert said == [other, other]


def test_of_a_full_disk_hdf5_is_told_in_one_line(tmp_path):
    def write(said):
        with atomic_path(tmp_path / "w.h5"):
            raise RuntimeError(said)

    told = (
        r"w\.h5 must be written whole\. Received: .*a , errno = 28, 'No space left on device'"
        r"\. Check the free space"
    )
    with pytest.raises(OSError, match=told):
        write("a\n, errno = 28, 'No space left on device'")
    with pytest.raises(OSError, match=told), atomic_path(tmp_path / "w.h5"):
        raise OSError(28, "a\n, errno = 28, 'No space left on device'")
    with pytest.raises(RuntimeError, match=r"^another$"):
        write("another")


def test_atomic_path_replaces_an_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(str(target)) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_atomic_path_gives_the_permissions_of_a_plain_new_file(tmp_path):
    previous = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_becomes_text_for_spreadsheets(value):
    assert spreadsheet_text(value) == f"'{value}"


@pytest.mark.parametrize("value", ["", "a=1.tif", "1-2.tif", "'quoted"])
def test_other_texts_stay_as_they_are_in_spreadsheets(value):
    assert spreadsheet_text(value) == value


def test_where_the_system_has_no_locks_a_folder_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with own_folder(tmp_path / "out"):
        (tmp_path / "out" / "a").write_text("a")
    assert (tmp_path / "out" / "a").read_text() == "a"
