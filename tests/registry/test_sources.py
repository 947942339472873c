"""Files that an option names are there, or refused by name."""

import pytest
from asked import fails

from dfkd_tune.errors import FeaturesError, TeacherError
from dfkd_tune.registry.sources import Sources


@pytest.mark.parametrize("teacher", [None, "module:function", "models:/pump@champion", "http://host/invocations"])
def test_what_is_no_file_is_not_looked_for(teacher):
    Sources(teacher).require()


@pytest.mark.parametrize(
    ("option", "kind"), [("teacher", TeacherError), ("architecture", TeacherError), ("features", FeaturesError)]
)
def test_a_file_that_is_not_there_is_refused(tmp_path, option, kind):
    (here := tmp_path / "here.yaml").touch()
    Sources(**{option: str(here)}).require()
    with fails(tmp_path / "gone.yaml", "no such file", kind=kind):
        Sources(**{option: str(tmp_path / "gone.yaml")}).require()
