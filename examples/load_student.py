"""An exported student where nothing but torch is installed.

dfkd-tune export quickstart --out student.pt2
python examples/load_student.py student.pt2
"""

import json
import sys

import torch

extra = {"features.json": ""}
student = torch.export.load(sys.argv[1], extra_files=extra).module()
names = json.loads(extra["features.json"])
print(names)
print(student(torch.zeros(3, len(names))))
