from pathlib import Path

import pytest

from ops.stack.reach import copy_open_to_all, is_open_to_all, make_open_to_all


def test_a_folder_below_a_closed_one_is_closed(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not is_open_to_all(inner)
    assert is_open_to_all(Path("/usr/bin"))


def test_a_folder_is_made_open_with_those_that_lead_to_it_but_for_what_is_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_open_to_all(tmp_path / "outer" / "inner")
    modes = [
        place.stat().st_mode & 0o777 for place in (tmp_path, tmp_path / "outer", tmp_path / "outer/inner")
    ]
    assert modes == [0o750, 0o711, 0o711]


@pytest.mark.parametrize(("owners", "everyones"), [(0o700, 0o755), (0o600, 0o644), (0o400, 0o444)])
def test_others_may_do_with_the_copy_what_the_owner_may_but_write(
    tmp_path: Path, owners: int, everyones: int
) -> None:
    part = tmp_path / "source" / "package" / "bin"
    part.mkdir(mode=0o700, parents=True)
    (part / "program").touch()
    (part / "program").chmod(owners)
    (part / "link").symlink_to("/etc/shadow")
    (tmp_path / "source" / "another").touch()
    copy_open_to_all(tmp_path / "source", ["package/bin"], tmp_path / "copy")
    copy = tmp_path / "copy" / "package" / "bin"
    assert is_open_to_all(copy) == is_open_to_all(tmp_path)
    assert (copy / "program").stat().st_mode & 0o777 == everyones
    assert (copy / "link").is_symlink()
    assert not (tmp_path / "copy" / "another").exists()
    assert sorted(place.name for place in tmp_path.iterdir()) == ["copy", "source"]


def test_a_copy_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy_open_to_all(tmp_path / "no source at all", ["package"], tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []
