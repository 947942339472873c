"""The interface of an export format: one file that loads without this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from dfkd_tune.errors import ExportError

if TYPE_CHECKING:  # a format is named and refused without PyTorch
    from torch import nn

    from dfkd_tune.export.schema import InputSchema


@dataclass(frozen=True)
class Footprint:
    """Bytes that a compiled student takes, without the functions of libraries that it calls.

    Args:
        flash: bytes of code and constants.
        ram: bytes of variables, and of the stack of its functions.
    """

    flash: int
    ram: int

    def __str__(self) -> str:
        return f"{self.flash:,} bytes of flash, {self.ram:,} of RAM"


class ExportFormat(ABC):
    """Writes a student as one file, and reads that file the way a user without this package does."""

    holds_graph: ClassVar[bool] = True
    """Whether the file holds the computation graph. If it holds only weights, an architecture file is written beside it."""
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bf16", "int8")
    """Precisions of weights that it holds."""
    drop_in: ClassVar[bool] = False
    """Whether the file takes and returns what the teacher does where ``schema.layout`` is not None. If not, it takes rows."""

    suffix: ClassVar[str | None] = None
    """Suffix of its files, without the dot, if that is not its name."""
    holds_text: ClassVar[bool] = False
    """Whether the file holds ``schema.about`` for a reader."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files that ``beside`` returns."""
    companion_mark: ClassVar[str] = ""
    """What the first line of such a file holds, by which one of an earlier export is known."""

    packages: ClassVar[Mapping[str, str]] = {}
    """Package that it needs beyond those of ``dfkd-tune`` -> what ``pip install`` installs it by."""

    def require(self) -> None:
        """Check, before the work for a file starts, that the packages are installed that the format needs.

        Raises:
            ExportError: one is missing; the message names it and how to install it.
        """
        for package, install in self.packages.items():
            if find_spec(package) is None:
                raise ExportError("--format", f"needs the package {package}", remedy=f"pip install {install}")

    @abstractmethod
    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The content of the file.

        Args:
            module: network from raw rows ``(N, D)`` to raw outputs ``(N, O)``, in evaluation mode.
            schema: names, encoding, layout and example rows of its inputs.

        Raises:
            ExportError: if a package is missing, or the format does not support a layer.
        """

    def without_libm(self) -> ExportFormat:
        """The format without calls of libm, for the one that makes such calls.

        Raises:
            ExportError: it is another.
        """
        raise ExportError(
            "--no-libm", "is for --format c alone, whose file calls functions of libm", remedy="leave it out"
        )

    def guarded(self) -> ExportFormat:
        """The format with a function that says whether a row is in the student's domain, for the one that can have it.

        Raises:
            ExportError: it is another.
        """
        raise ExportError("--guard", "is for --format c alone", remedy="leave it out")

    def beside(self, data: bytes) -> Mapping[str, bytes]:
        """Further files, by the suffix that takes the place of the file's: none by default.

        Args:
            data: the content that ``write`` returned.
        """
        return {}

    def footprint(self, data: bytes) -> Mapping[str, Footprint]:
        """Bytes that a student takes on other machines, by the machine's name: none by default, and where they cannot be measured.

        Args:
            data: the content that ``write`` returned.
        """
        return {}

    def unread(self) -> str | None:
        """Why ``read`` cannot load any file here, such as a compiler that is missing; the file is then written without a
        comparison, which is told. None if it can."""
        return None

    @abstractmethod
    def read(self, data: bytes, module: nn.Module) -> Callable[..., Any]:
        """Load the content as a function from raw rows ``(N, D)`` to raw outputs ``(N, O)``, or from a drop-in student's
        arguments to what it returns.

        Args:
            data: the content that ``write`` returned.
            module: a network of the same architecture, for formats that hold only weights.
        """

    @abstractmethod
    def feature_names(self, data: bytes) -> list[str]:
        """The feature names that the content holds, in order.

        Args:
            data: the content that ``write`` returned.
        """
