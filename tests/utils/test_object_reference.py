"""The reason of a wrapped error: what its library says at the end, in one printable line."""

import pytest

from dfkd_tune.errors import TeacherError
from dfkd_tune.utils.object_reference import MOST_LINE_CHARACTERS, import_object, one_line, raised

ORT = (
    "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, "
    "const onnxruntime::PathString&, const onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, "
    "const onnxruntime::ModelOptions&) Unsupported model IR version: 99, max supported IR version: 14\n"
)
TORCH = (
    "Weights only load failed. " + "In PyTorch 2.6, we changed the default value of the argument. " * 5 + "\n\n"
    "\tWeightsUnpickler error: Unsupported operand 149\n\nCheck the documentation of torch.load to learn more https://pytorch.org/x.html."
)
SCRIPT = (
    "\nUnknown builtin op: aten::no_such_word.\nCould not find any similar ops.\n:\n"
    '  File "code/__torch__.py", line 9\n    _0 = torch.no_such_word(x)\n         ~~~~~~~~~~~~~~~~~~ <--- HERE\n'
)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (ORT, "max supported IR version: 14"),
        (TORCH, "Unsupported operand 149"),
        (SCRIPT, "no_such_word"),
        ("two\nlines", "two lines"),
        ("First. " * 60 + "The reason is last.", "The reason is last."),
        ("", "ValueError"),
        ("\n  \n", "ValueError"),
        ("a\x1b[2Jb\u202e", r"a\x1b[2Jb\u202e"),
    ],
)
def test_the_reason_is_told_in_one_short_printable_line(message, said):
    told = one_line(ValueError(message))
    assert said in told and len(told) <= MOST_LINE_CHARACTERS + 40
    assert told.isprintable() and "https" not in told and "<--- HERE" not in told


def test_an_exception_whose_own_words_fail_is_told_by_its_class():
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert one_line(Mute()) == "Mute"
    assert raised(Mute()) == "raised Mute"


def test_a_module_without_the_function_names_those_it_has():
    with pytest.raises(TeacherError, match=r"has no ones_line; its functions: .*one_line"):
        import_object("dfkd_tune.utils.object_reference:ones_line", TeacherError)
