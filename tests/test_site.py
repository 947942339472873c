"""What the documentation is made of: directives of its pages, schemas, references, and the files beside the README."""

import json
import re
import runpy
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

import dfkd_tune
from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.search.study_file import parse_spec, read_spec
from dfkd_tune.training import metrics
from dfkd_tune.utils import yaml_io

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

hooks = runpy.run_path(str(DOCS / "scripts" / "hooks.py"))
schema = runpy.run_path(str(DOCS / "scripts" / "schema.py"))

FIXED = re.findall(r"```yaml\n(.*?)```", (DOCS / "reference" / "study-file.md").read_text(encoding="utf-8"), re.DOTALL)
"""Examples of fixed leaves, of the reference."""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(read(ROOT / "README.md").splitlines()) <= 150


class TestHooks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
    def test_pages_expand(self, page):
        assert "{{" not in hooks["expand"](read(page))

    @pytest.mark.parametrize("page", sorted((DOCS / "extending").glob("*.md")), ids=lambda page: page.stem)
    def test_pages_on_extending_show_their_example(self, page):
        example = ROOT / "examples" / "plugin" / "tiny_kinds" / f"{page.stem.replace('-', '_')}.py"
        assert f"```python\n{read(example)}```" in hooks["expand"](read(page))

    def test_a_figure_that_is_not_there_is_an_error(self):
        for text in ("{{ table nothing }}", "{{ value fidelity nothing }}", "{{ cell fidelity mv | nothing }}"):
            with pytest.raises(ValueError, match="nothing"):
                hooks["expand"](text)

    def test_assets_of_other_hosts_are_found(self):
        found = hooks["external_assets"]
        for tag in (
            '<script src="https://example.org/a.js"></script>',
            '<link rel="stylesheet" href="//example.org/a.css">',
            '<img alt="x" src="http://example.org/a.png">',
            '<pre class="mermaid">',
        ):
            assert found(f"<p>{tag}</p>"), tag
        assert found('<a href="https://example.org">x</a><img src="../a.png"><script src="a.js"></script>') == []

    def test_names_of_mlflow_come_from_the_code(self):
        text = hooks["expand"](read(DOCS / "reference" / "mlflow-names.md"))
        names = [value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)]
        assert len(names) > 15
        for name in names:
            assert f"`{name}`" in text, name


class TestSchemas:
    @pytest.mark.parametrize("name", schema["SCHEMAS"])
    def test_is_current(self, name):
        assert read(DOCS / "schema" / f"{name}.json") == schema["text"](name)

    @pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda file: file.stem)
    def test_takes_what_the_program_takes(self, file):
        kind, reader = ("features", read_features) if "features" in file.stem else ("study", read_spec)
        reader(file)
        jsonschema.validate(json.loads(json.dumps(yaml_io.read(file, SpecError))), schema["SCHEMAS"][kind]())

    @pytest.mark.parametrize("text", [*FIXED, "{student: {compression: 4, activation: relu}}"])
    def test_takes_fixed_leaves(self, text):
        tree = {"teacher": "t.pt2"} | yaml.safe_load(text)
        spec = parse_spec(tree, "study.yaml")
        assert spec.fixed or spec.sampler.options
        jsonschema.validate(tree, schema["SCHEMAS"]["study"]())

    @pytest.mark.parametrize("page", ["features.md", "windows.md", "shapes.md"])
    def test_takes_the_features_files_of_the_guides(self, page):
        blocks = re.findall(r"^```yaml\n(.*?)^```$", read(DOCS / "guides" / page), re.MULTILINE | re.DOTALL)
        trees = [yaml_io.parse(text, page, SpecError) for text in blocks if "study:" not in text]
        for tree in trees:
            jsonschema.validate(json.loads(json.dumps(tree)), schema["SCHEMAS"]["features"]())
        assert trees

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("study", "{study: {name: x}}"),
            ("study", "{teacher: t.pt2, steps: 3}"),
            ("study", "{teacher: t.pt2, budget: {steps: 0}}"),
            ("study", "{teacher: t.pt2, bound: {kind: nothing}}"),
            ("study", "{teacher: t.pt2, bound.nothing: 1}"),
            ("study", "{teacher: t.pt2, search: {bound.kind: [nothing]}}"),
            ("study", "{teacher: t.pt2, search: {optimizer: {rate: [0.1]}}}"),
            ("study", "{teacher: t.pt2, search: {optimizer.lr: {low: 0.1}}}"),
            ("features", "{features: [{mean: 1, std: 2}]}"),
            ("features", "{features: [{name: a, std: -1, mean: 0}]}"),
            ("features", "{window: {steps: 3}}"),
            ("features", "{window: {steps: 3, channels: [{name: a, time_constant: 0}]}}"),
            ("features", "{arguments: {x: {window: {steps: 3, channels: [a], order: last}}}}"),
            ("features", "{grid: {height: 2, width: 2, correlation_length: 0}}"),
        ],
    )
    def test_refuses_what_the_program_refuses(self, kind, text):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), schema["SCHEMAS"][kind]())


def test_every_public_name_has_its_reference():
    told = re.findall(r"^::: dfkd_tune\.(\w+)$", read(DOCS / "reference" / "python.md"), re.MULTILINE)
    assert sorted(told) == sorted(dfkd_tune.__all__)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/-]+\.md", read(ROOT / "mkdocs.yml").partition("nav:")[2])
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_image_is_shown():
    shown = {name for page in [ROOT / "README.md", *PAGES] for name in re.findall(r"images/([\w.-]+)\)", read(page))}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}


class TestProject:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]

    def test_constraints_fit_what_is_declared(self):
        extras = dict(self.project["optional-dependencies"])
        apart = {"constraints-litert.txt": [extras.pop("litert")]}  # packages that do not go with those of the tests
        for file, groups in ({"constraints.txt": extras.values()} | apart).items():
            fixed = dict(line.lower().split("==") for line in read(ROOT / file).splitlines())
            for item in (Requirement(text) for group in (self.project["dependencies"], *groups) for text in group):
                if item.marker is None or item.marker.evaluate():  # what another system installs is not fixed here
                    assert fixed[item.name.lower()] in item.specifier, (file, item)

    def test_every_extra_is_explained(self):
        text = read(DOCS / "getting-started" / "installation.md")
        for name in self.project["optional-dependencies"]:
            assert f"| `{name}` |" in text, name

    def test_messages_name_extras_that_there_are(self):
        extras = self.project["optional-dependencies"]
        for file in [*(ROOT / "dfkd_tune").rglob("*.py"), ROOT / "README.md", *PAGES]:
            for named in re.findall(r"dfkd-tune\[([\w,]+)\]", read(file)):
                assert set(named.split(",")) <= set(extras), (file, named)

    def test_the_citation_names_this_version(self):
        cited = yaml.safe_load(read(ROOT / "CITATION.cff"))
        assert (cited["title"], cited["version"]) == (self.project["name"], self.project["version"])
        assert [item["year"] for item in cited["references"]] == [2023, 2021]
