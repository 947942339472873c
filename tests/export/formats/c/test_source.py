"""The source is one file, whose first part is its header."""

from small_students import made, schema

from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.c.source import guard_of, header_of


def test_the_header_is_the_beginning_of_the_source():
    source = C().write(made("gru"), schema(stem="oil pump", about=("of a study",))).decode()
    header = header_of(source)
    assert source.startswith(header) and guard_of(source) == "OIL_PUMP_H"
    assert " * of a study\n" in header and "void oil_pump_predict(" in header
    assert header.rstrip().endswith("#endif /* OIL_PUMP_H */") and "static" not in header


def test_functions_of_libm_are_those_that_are_called():
    for kind, called in {"mlp": ["tanhf"], "gru": ["expf", "tanhf"], "rbf": ["expf"], "conv1d": ["expf"]}.items():
        source = C().write(made(kind), schema()).decode()
        assert [line for line in source.splitlines() if line.startswith("extern float")] == [
            f"extern float {name}(float);" for name in called
        ]
        assert "extern float" not in C(libm=False).write(made(kind), schema()).decode()
