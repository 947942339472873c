"""Benchmarks write the published figures: each its own entries, whole, with what they come from."""

import importlib

import figures
import pytest
import yaml
from benchmark_runs import DATASETS, every_run, studies


@pytest.fixture(scope="module")
def runs() -> dict:
    return every_run()


class TestPublishing:
    def test_every_entry_has_a_benchmark_or_says_why_not(self, runs):
        by_hand = {name for name, entry in figures.load().items() if "by_hand" in entry}
        assert set(figures.load()) == set(runs) | by_hand and not by_hand & set(runs)

    def test_a_run_replaces_its_own_entries_with_what_they_come_from(self, runs, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(figures.FILE.read_text())
        before = figures.load()
        argv = ["somewhere/all.py", "--shared", str(tmp_path), "--of", "two words", "--publish", "--json", "x"]
        figures.publish(runs, argv, file)
        after = figures.load(file)
        assert [*after] == [*before]
        for name, entry in after.items():
            if name not in runs:
                assert entry == before[name]
                continue
            assert entry["command"] == "python benchmarks/all.py --shared DIR --of 'two words'"
            assert (entry["seeds"], entry["budget"], entry["tier"]) == (
                [*runs[name].seeds],
                runs[name].budget,
                runs[name].tier,
            )
            assert figures.table(entry) if "rows" in entry else entry["values"]

    def test_cells_are_means_and_deviations(self, runs, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(figures.FILE.read_text())
        figures.publish(studies(50, "none"), ["fidelity.py"], file)
        entry = figures.load(file)["fidelity"]
        expected = ["0.0600", "0.0500", "0.1000", "0.0250 ± 0.0050", "0.50", "0.40", "0.39"]
        assert figures.cells(entry, "pole") == expected
        assert figures.cells(entry, "geometric mean")[4] == "0.50"
        assert entry["values"]["regret_range_percent"] == "25 to 25"
        assert runs["ablation"].rows["without L-BFGS"][0] == pytest.approx([0.55, 0.05])
        assert runs["ablation_25"].rows["one run of `faithful`"][-1] == pytest.approx(1.0)
        assert runs["shallow"].rows["preset `shallow`"][-2:] == [pytest.approx([1.0, 0.05 / 0.55]), pytest.approx(1.0)]
        told = runs["fidelity_t4"].rows["study"]
        assert told == [pytest.approx([0.5, 0.1])] * (len(DATASETS) + 1)
        assert set(runs["teachers"].rows["pole"]) == {"0.50 ± 0.10 (0.50)"}
        assert runs["privacy"].values == {"cost_percent": 10, "cost_wide_percent": 25}
        assert list(runs["paper_outliers"].rows) == ["mv, random, student 25"]

    def test_a_partial_run_is_refused(self, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(figures.FILE.read_text())
        some = figures.Measured([0], "", {"random sampling": ["1", "2", "3"]})
        for wrong in ({"digits": some}, {"unheard": some}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                figures.publish(wrong, ["digits.py"], file)
        assert file.read_text() == figures.FILE.read_text()

    def test_an_entry_that_does_not_fit_is_refused(self, tmp_path):
        file = tmp_path / "figures.yaml"
        about = {"command": "", "seeds": [0], "budget": "", "tier": "T0", "unit": ""}
        for wrong in ({"seeds": [0]}, about | {"column": []}, about | {"columns": ["a"], "rows": {"x": [1, 2]}}):
            file.write_text(yaml.safe_dump({"entry": wrong}))
            with pytest.raises(ValueError, match="entry"):
                figures.load(file)

    @pytest.mark.parametrize("file", sorted(figures.FILE.parent.glob("*.py")), ids=lambda file: file.stem)
    def test_every_benchmark_can_be_imported(self, file):
        importlib.import_module(file.stem)
