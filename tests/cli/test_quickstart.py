"""The quickstart is found beside the package, and inside it where a wheel was installed."""

from dfkd_tune.cli import quickstart as module
from dfkd_tune.cli.quickstart import quickstart
from dfkd_tune.search.study_file import read_spec


def test_the_shipped_study_is_found():
    assert read_spec(quickstart()).name == "quickstart"


def test_a_wheel_has_its_own(tmp_path, monkeypatch):
    """A checkout may lie beside it."""
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "site" / "dfkd_tune")
    for folder in ("site/studies", "site/dfkd_tune/studies"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "quickstart.yaml").touch()
    assert quickstart() == tmp_path / "site" / "dfkd_tune" / "studies" / "quickstart.yaml"
