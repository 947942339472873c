"""The guard in C calls the same rows outside as the rule in Python."""

import ctypes
import re
import subprocess

import numpy as np
import pytest
import torch
from guarded_rows import CASES, INPUTS
from torch import nn

from dfkd_tune.export.formats.c.compiler import compiler
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.domain.fit import domain_of
from dfkd_tune.inputs.domain.rule import in_domain
from dfkd_tune.inputs.encoding import encoder


@pytest.fixture(scope="module")
def tree() -> dict:
    return domain_of(INPUTS, 0).tree()


@pytest.mark.parametrize("whitened", [True, False])
def test_c_judges_alike(tree, whitened, tmp_path):
    if compiler() is None:
        pytest.skip("no compiler")
    domain = tree if whitened else tree | {"whitening": None}
    encoding = encoder(INPUTS).encoding
    network = nn.Sequential(encoding.module(), nn.Linear(encoding.width, 1)).eval()
    x = torch.cat(
        [INPUTS.raw(3 * INPUTS.draw(2_000, torch.Generator().manual_seed(3))), torch.tensor([r for r, _ in CASES])]
    )
    x = x.to(encoding.torch_dtype)
    units = InputSchema(INPUTS.names, encoding, x[:9], domain=domain)
    source = C(guard=True).write(network, units)
    (tmp_path / "x.c").write_bytes(source)
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wshadow", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*compiler(), *flags, tmp_path / "x.c", "-o", tmp_path / "x.so", "-lm"], check=True)
    judge = ctypes.CDLL(str(tmp_path / "x.so")).student_in_domain
    rows = np.ascontiguousarray(x.numpy())
    found = [bool(judge(ctypes.c_void_p(row.ctypes.data))) for row in rows]
    expected = in_domain(domain, rows).tolist()
    assert 100 < sum(found) < 1_900 and found == expected
    assert b"student_in_domain" not in C().write(network, units)


def test_no_constant_is_called_like_a_type_or_function_of_some_file(tree):
    """The names in the header are ``PREFIX_value`` and so on, whatever the prefix: ``level.c`` has ``level_value``."""
    encoding = encoder(INPUTS).encoding
    network = nn.Sequential(encoding.module(), nn.Linear(encoding.width, 1)).eval()
    rows = INPUTS.raw(INPUTS.draw(9, torch.Generator().manual_seed(0))).to(encoding.torch_dtype)
    source = C(guard=True).write(network, InputSchema(INPUTS.names, encoding, rows, domain=tree)).decode()
    own = re.findall(r"^static (?:const )?[\w ]+?\*?(\w+)[\[(]", source, re.MULTILINE)
    assert {"level_at", "add", "encoded"} <= set(own)
    assert not [each for each in own if each.endswith(("_value", "_predict", "_in_domain"))]
