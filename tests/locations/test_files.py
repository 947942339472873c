"""A file is written whole or not at all, and a place that takes none is told before any work for it starts."""

import os
import resource

from asked import fails

from dfkd_tune.errors import ExportError, StorageError
from dfkd_tune.locations.files import require_folder, require_place, write, write_output


def test_a_file_is_replaced_whole(tmp_path):
    for data in (b"before", b"after"):
        write(tmp_path / "new" / "file", data, StorageError)
        assert (tmp_path / "new" / "file").read_bytes() == data
    assert os.listdir(tmp_path / "new") == ["file"]


def test_what_was_there_stays_where_a_write_fails(tmp_path):
    """The disk allows files of a kilobyte."""
    file, limits = tmp_path / "file", resource.getrlimit(resource.RLIMIT_FSIZE)
    write(file, b"before", StorageError)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with fails(
            file, "cannot be written: File too large", "raise the limit on the size of files", kind=StorageError
        ):
            write(file, bytes(4096), StorageError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (tmp_path / "folder").mkdir()
    for place in (file / "below", tmp_path / "folder"):
        with fails(place, "cannot be written", "choose another place", kind=ExportError):
            write(place, b"after", ExportError)
    assert file.read_bytes() == b"before" and sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_place_that_takes_no_file_is_told(tmp_path):
    (tmp_path / "file").touch()
    for place, words in (
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "gone" / "x.pt2", f"there is no folder {tmp_path}/gone; make it"),
        (tmp_path / "file" / "x.pt2", f"its folder {tmp_path}/file is a file; make it"),
    ):
        for asked in (require_place, lambda place: write_output(place, b"")):
            with fails(place, words, kind=ExportError):
                asked(place)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_of_files_spares_what_was_given(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    recipe = tmp_path / "made" / "recipe.yaml"
    recipe.touch()
    monkeypatch.chdir(tmp_path)
    for given in (str(recipe), "made/recipe.yaml", "made/../made/recipe.yaml"):
        with fails("made", "a new recipe.yaml in place of the given one", kind=ExportError):
            require_folder(tmp_path / "made", [None, given], ["recipe.yaml"])
    require_folder(tmp_path / "made", ["made/gone.yaml", "recipe.yaml"], ["recipe.yaml", "gone.yaml"])
    require_folder(tmp_path / "new")
    for place, words in ((recipe, "is a file"), (tmp_path / "new" / "newer", "there is no folder")):
        with fails(place, words, kind=ExportError):
            require_folder(place)
    assert os.listdir(tmp_path) == ["made"]
