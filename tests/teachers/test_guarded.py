"""What a teacher's own code may do while it is asked, and what becomes of it."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from teacher_files import FEATURES, ROWS, THREE, fails

from dfkd_tune.errors import Interrupted, QueriesSpent, TeacherError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.reporting.waiting import FIRST_PAUSE_S, announce_waits, line
from dfkd_tune.teachers import guarded
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.guarded import CALLS, Calls
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.width import infer_width


def call(function) -> Teacher:
    return Teacher("here", function, torch.float32, "")


class Failing:
    """Answers, and fails at some of its calls or for some of its rows."""

    def __init__(self, error, calls=lambda n: False, rows=lambda x: False):
        self.error, self.calls, self.rows, self.asked = error, calls, rows, 0

    def __call__(self, x):
        self.asked += 1
        if self.calls(self.asked) or self.rows(x):
            raise self.error
        return x.sin().sum(1)


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        SystemExit("bye"),
        ValueError("x"),
        GeneratorExit(),
        BaseException("y"),
        RecursionError(),
        OSError(2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("way", ["call", "record"])
def test_whatever_it_raises_is_the_teachers_failure(error, way):
    with fails("here", type(error).__name__, "(5, 3)", "x0="):
        ask = call(Failing(error, calls=lambda n: True))
        ask(ROWS[:5]) if way == "call" else ask.vjp(ROWS[:5])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("study")], ids=repr)
def test_a_person_who_stops_it_is_heard(error):
    with pytest.raises(type(error)):
        call(Failing(error, calls=lambda n: True))(ROWS)


def test_an_exit_of_the_process_is_one_of_the_call():
    with fails("here", "SystemExit: 3"):
        call(lambda x: os._exit(3))(ROWS)
    assert os._exit.__name__ == "_exit"


def test_a_failure_in_the_gradient_is_the_teachers():
    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(1)

        @staticmethod
        def backward(ctx, gradient):
            raise SystemExit(0)

    y, pull = call(Sum.apply).vjp(ROWS)
    with fails("here", "gradients", "SystemExit"):
        pull(torch.ones_like(y))


@pytest.mark.parametrize(
    "error", [TimeoutError("away"), ConnectionResetError(), type("ReadTimeout", (Exception,), {})()]
)
def test_a_service_that_is_away_is_asked_again(error, caplog):
    teacher = call(Failing(error, calls=lambda n: n < 3))
    torch.testing.assert_close(teacher(ROWS), ROWS.sin().sum(1)[:, None])
    assert teacher.function.asked == 3
    assert type(error).__name__ in caplog.text


def test_a_failure_that_passed_once_may_pass_again():
    teacher = call(Failing(ValueError("now and then"), calls=lambda n: n in (1, 3, 4)))
    for _ in range(2):
        teacher(ROWS)
    assert teacher.function.asked == 5


def test_a_lasting_failure_is_asked_once_more_and_no_service_is_waited_for():
    teacher = call(Failing(ValueError("always"), calls=lambda n: True))
    start = time.monotonic()
    with fails("here", "ValueError: always"):
        teacher(ROWS[:1])
    assert time.monotonic() - start < 1


def test_the_row_whose_values_fail_is_shown():
    x = torch.randn(300, FEATURES, generator=torch.Generator().manual_seed(1))
    x[217, 1] = 7.25
    teacher = call(Failing(ValueError("unknown"), rows=lambda x: bool((x[:, 1] > 7).any())))
    teacher.guard.names = ["a", "size", "c"]
    with fails("here", "300 rows", "size=7.25", "ranges or levels") as _:
        teacher(x)
    with pytest.raises(TeacherError) as caught:
        teacher(x)
    assert "batch" not in str(caught.value)


def test_value_errors_are_not_blamed_on_the_batch_size():
    with pytest.raises(TeacherError, match="ranges or levels") as caught:
        probe(call(Failing(ValueError("unknown category"), rows=lambda x: bool((x[:, 0] > 2.0).any()))), THREE)
    assert "batch" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 512])
def test_a_fixed_batch_size_is_told_whatever_the_size(size):
    with fails("here", "fixed batch size", f"{size} row", "dynamic"):
        probe(call(Failing(RuntimeError("shape"), rows=lambda x: len(x) != size)), THREE)


def test_rows_that_are_no_numbers_are_no_failure_of_the_teacher():
    """A student that diverges has such rows; estimators refuse them."""
    teacher = call(Failing(ValueError("Input contains NaN"), rows=lambda x: bool(x.isnan().any())))
    x = ROWS[:4].clone()
    x[2, 0] = torch.nan
    y = teacher(x)
    assert y.isnan().flatten().tolist() == [False, False, True, False]
    y, pull = teacher.vjp(x)
    assert pull(torch.ones_like(y))[[0, 1, 3]].isfinite().all()
    assert teacher(torch.full_like(x, torch.nan)).isnan().all()


GAPS = Inputs([Feature("fuse", levels=[0.0, 1.0, None]), Feature("x", mean=0.0, std=1.0)])


def test_declared_missing_values_are_asked():
    """NaN is equal to no NaN: the rows are not taken for changed ones."""
    found = probe(call(lambda x: x.nan_to_num(-3.0).sin().sum(1)), GAPS)
    assert (found.features, found.noise) == (2, 0.0)


def test_declared_missing_values_are_asked_again_where_a_call_failed():
    asked = Failing(ConnectionError("away"), calls=lambda n: n == 20)
    teacher = call(lambda x: asked(x.nan_to_num(-3.0)))
    probe(teacher, GAPS)
    x = GAPS.raw(GAPS.draw(50, torch.Generator().manual_seed(0)), torch.float32)
    assert x.isnan().any()
    asked.asked = 19
    assert torch.equal(teacher(x), x.nan_to_num(-3.0).sin().sum(1, keepdim=True))


def test_a_teacher_that_takes_no_missing_values_is_refused_with_its_words():
    with fails("here", "Input contains NaN", "fuse=null"):
        probe(call(Failing(ValueError("Input contains NaN"), rows=lambda x: bool(x.isnan().any()))), GAPS)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (lambda x: x.sum(1).tolist(), ["one tensor", "list"]),
        (lambda x: x[:-1].sum(1), ["4 rows", "(3, 1)"]),
        (lambda x: x, ["(4, 3)", "(4, 1)"]),
        (lambda x: x.sum(1) * 1j, ["real numbers", "complex64"]),
    ],
)
def test_an_answer_that_turns_into_none(later, words):
    answers = iter([lambda x: x.sum(1), later])
    teacher = call(lambda x: next(answers)(x))
    teacher(ROWS[:4])
    with fails("here", *words):
        teacher(ROWS[:4])


def test_an_answer_without_numbers_is_none():
    with fails("here", "must answer (4, 3) with (4, outputs), answered (4, 0)"):
        call(lambda x: x[:, :0])(ROWS[:4])


def test_answers_made_without_autograd_can_be_trained_on():
    @torch.inference_mode()
    def function(x):
        return x.sum(1)

    y = call(function)(ROWS)
    (y * torch.ones(1, requires_grad=True)).sum().backward()


def test_torch_stays_as_it_was():
    def function(x):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(torch.get_num_threads() + 1)
        return x.sum(1)

    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    call(function)(ROWS)
    assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before


def test_a_module_may_set_what_it_likes_when_it_is_imported(code, tmp_path, capsys):
    source = code(
        "import os, numpy, warnings\n"
        "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); numpy.seterr(all='raise')\n"
        "warnings.simplefilter('error'); os.chdir('/'); print('imported')\n"
        "def teacher():\n    print('made')\n    return lambda x: x.sum(1)\n"
    )
    before = os.getcwd(), np.geterr(), torch.get_default_dtype(), torch.is_grad_enabled()
    load_teacher(source)
    assert (os.getcwd(), np.geterr(), torch.get_default_dtype(), torch.is_grad_enabled()) == before
    assert capsys.readouterr() == ("", "imported\nmade\n")


@pytest.mark.parametrize(
    "text", ["import sys; sys.exit(0)\n", "import os; os._exit(0)\n", "raise BaseException('no')\n"]
)
@pytest.mark.parametrize("where", ["import", "call"])
def test_a_module_that_ends_the_process_is_refused(code, text, where):
    body = text.strip()
    source = code(text if where == "import" else f"def teacher():\n    {body}\n")
    with fails(source, "raised"):
        load_teacher(source)


def test_a_width_is_not_searched_for_ever_and_an_exit_is_no_answer():
    assert infer_width(call(Failing(SystemExit(0), rows=lambda x: x.shape[1] != 4))) == 4


def test_what_a_teacher_prints_is_no_output_of_the_command(tmp_path, code, dfkd):
    """By print, by the file descriptor and by a child, at import and when asked."""
    source = code(
        "import os\nprint('import')\n"
        "def teacher():\n"
        "    def answer(x):\n"
        "        print('print'); os.write(1, b'descriptor\\n'); os.system('echo child')\n"
        "        return x.sin().sum(1)\n"
        "    return answer\n"
    )
    (tmp_path / "features.yaml").write_text("features: [{name: a, mean: 0, std: 1}]\n")
    (tmp_path / "study.yaml").write_text(f"teacher: {source}\nfeatures: features.yaml\n")
    done = dfkd("check", "study.yaml", "--no-estimate")
    assert done.status == 0
    assert "1 feature" in done.out
    for word in ("import", "print", "descriptor", "child"):
        assert f"{word}\n" in done.err and f"{word}\n" not in done.out


def test_a_command_whose_teacher_exits_has_failed(tmp_path):
    (tmp_path / "away.py").write_text("import sys\ndef make():\n    return lambda x: sys.exit(0)\n")
    (tmp_path / "study.yaml").write_text("teacher: away:make\nfeatures: features.yaml\n")
    (tmp_path / "features.yaml").write_text("features: [{name: a, mean: 0, std: 1}]\n")
    command = [sys.executable, "-m", "dfkd_tune", "check", "study.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "away:make" in done.stderr.splitlines()[-1] and "SystemExit: 0" in done.stderr.splitlines()[-1]


def test_a_slow_teacher_lets_a_person_stop_between_its_calls():
    teacher = call(lambda x: x.sum(1))
    teacher(ROWS)

    def stop():
        raise Interrupted("study")

    teacher.guard.check_cancelled, teacher.guard.slow = stop, True
    with pytest.raises(Interrupted):
        teacher(ROWS)


def test_waiting_says_what_for_and_how_long():
    calls = Calls()
    calls.expect(1_000, rate=10.0)
    calls.rows, calls.since = 100, 50.0
    assert (
        line(calls, 53.0)
        == "waiting for the teacher: 100 rows asked 3 s ago; 0 of 1,000 rows answered, about 100 s left"
    )
    calls.count, calls.answered, calls.seconds = 2, 200, 40.0
    assert line(calls, 53.0).endswith("200 of 1,000 rows answered, about 3 min left")
    calls.expect(None, calls=8)
    calls.count, calls.seconds = 2, 60.0
    assert line(calls, 53.0) == "waiting for the teacher: 100 rows asked 3 s ago, call 3 of 8, 30 s each so far"


def test_a_slow_call_is_told_while_it_lasts():
    seen = []

    def function(x):
        while not seen:  # until a line is there
            time.sleep(0.1)
        return x.sum(1)

    with announce_waits(seen.append):
        call(function)(ROWS)
    assert seen[0].startswith(f"waiting for the teacher: {len(ROWS)} rows asked {FIRST_PAUSE_S:.0f}"[:-1])
    assert CALLS.since is None


def test_names_of_features_are_those_of_messages():
    teacher = call(Failing(ValueError("no"), rows=lambda x: bool((x[:, 1] > 2).any())))
    with fails("here", "x1=2."):
        probe(teacher, Inputs.unknown(3))


def test_a_teacher_that_closes_standard_output_closes_nothing(capsys):
    def answer(x):
        print("heard")
        sys.stdout.close()
        return x.sin().sum(1)

    with torch.no_grad():
        call(answer)(ROWS.float())
    print("result")
    print("words", file=sys.stderr)
    assert capsys.readouterr() == ("result\n", "heard\nwords\n")


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("bad", [True, False], ids=["one row", "every row"])
def test_where_rows_are_counted_a_failure_costs_two_more_at_most(count, bad):
    x = torch.zeros(count, 3)
    x[-1] = 9.0
    function = Failing(ValueError("unknown"), rows=lambda x: bool((x > 5).any()) or not bad)
    with metered(Meter()):
        teacher = call(function)
    with pytest.raises(TeacherError, match="unknown") as caught:
        teacher(x)
    assert count <= teacher.guard.meter.asked <= count + 2
    if count > 2:
        assert ("answers the first of them alone" if bad else "also where this row is asked alone") in str(caught.value)


def test_a_teacher_whose_answers_are_kept_has_answered_before(tmp_path):
    """In an earlier session: its number of features is not what went wrong."""
    x = torch.zeros(2, 3)
    for answered, words in ((False, "check the number of features"), (True, "it answered others before")):
        rows = AnsweredRows(tmp_path)
        if answered:
            rows.add("opening", 0, x + 1, x[:, :1])
        with metered(Meter(rows=rows)):
            teacher = call(Failing(ValueError("unknown"), rows=lambda x: True))
        with pytest.raises(TeacherError, match=words):
            teacher(x)


def test_a_spent_total_is_not_blamed_on_the_row():
    class Spent:
        def claim(self, part, rows):
            if rows == 1:
                raise QueriesSpent("here", "none left")
            return 0

    with metered(Meter(Spent())):
        teacher = call(Failing(ValueError("always"), calls=lambda n: True))
    with pytest.raises(TeacherError, match="ValueError: always") as caught:
        teacher(ROWS)
    assert "alone" not in str(caught.value) and teacher.function.asked == 1


def test_a_slow_teacher_is_asked_one_row_for_the_cause_of_a_failure(monkeypatch):
    monkeypatch.setattr(guarded, "SLOW_ROW_S", 0.0)
    teacher = call(Failing(ValueError("unknown"), rows=lambda x: bool((x > 5).any())))
    x = torch.zeros(40, 3)
    x[-1] = 9.0
    with fails("here", "answers the first of them alone"):
        teacher(x)
    assert teacher.function.asked == 3  # the call, its repetition, and the row
