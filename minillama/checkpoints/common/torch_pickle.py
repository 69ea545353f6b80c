"""PyTorch's .pth and .bin files, read without PyTorch and without running anything that they contain.

Since 1.6 `torch.save` writes a zip archive of uncompressed members:

    <root>/data.pkl      a pickle (protocol 2) of everything but the numbers
    <root>/data/<key>    the raw bytes of one storage
    <root>/byteorder     "little"; absent in files before 2.1

A pickle is a program for a stack machine, and Python's own machine runs whatever function the
file names. Even with the functions restricted, a few bytes can make it allocate gigabytes
(a memo index), hash for ever (tuples of the same tuples) or overflow the C stack. So this
module has a machine of its own, with the two dozen instructions that torch.save emits: it
knows a tensor by the name of its constructor, calls nothing, and makes at most one object of
constant size for each byte of a bounded program.

Source: Lib/pickletools.py of Python for the instructions; torch/serialization.py and
torch/_utils.py for what a tensor looks like.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ...files.errors import CheckpointError

# LLaMA 2 70B takes 0.1 MB. An instruction may be one byte long, make an object of 64, and take
# a microsecond.
MAX_PICKLE_BYTES = 1 << 18


class Global(NamedTuple):
    """A class or function that a pickle names; never imported, only compared."""

    module: str
    name: str


_TENSOR = Global("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Global("torch._utils", "_rebuild_parameter")
_ORDERED_DICT = Global("collections", "OrderedDict")
_STORAGES = frozenset(
    Global("torch", f"{kind}Storage")
    for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat")
)
_ALLOWED = _STORAGES | {_TENSOR, _PARAMETER, _ORDERED_DICT}


class Storage(NamedTuple):
    """A row of numbers in a member of the archive."""

    kind: str  # "FloatStorage", "HalfStorage", "BFloat16Storage" …
    key: str
    n_elements: Any


class StoredTensor(NamedTuple):
    """A view of a storage. The numbers come from the file unchecked; see torch_archive.py."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


class _Machine:
    """The stack machine: a program, where it is, its stack, and its memory of earlier objects."""

    def __init__(self, program: bytes) -> None:
        self.program, self.position = program, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.marks: list[int] = []

    def run(self) -> Any:
        """Run to STOP; what is then on top of the stack is the result."""
        while self.position < len(self.program):
            code = self.program[self.position]
            self.position += 1
            if code == _STOP:
                return self.stack.pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise ValueError(
                    f"instruction {code:#04x} at byte {self.position - 1} is not one that torch.save writes"
                )
            instruction(self)
        raise ValueError("has no end")

    def take(self, n_bytes: int) -> bytes:
        """The next bytes of the program: the arguments of an instruction."""
        taken = self.program[self.position : self.position + n_bytes]
        if len(taken) != n_bytes:
            raise ValueError(f"ends at byte {len(self.program)}, in the middle of an instruction")
        self.position += n_bytes
        return taken

    def unsigned(self, n_bytes: int) -> int:
        return int.from_bytes(self.take(n_bytes), "little")

    def signed(self, n_bytes: int) -> int:
        return int.from_bytes(self.take(n_bytes), "little", signed=True)

    def line(self) -> str:
        """The text up to the end of the line."""
        end = self.program.index(b"\n", self.position, self.position + 100)
        return self.take(end + 1 - self.position)[:-1].decode("ascii")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, length: int) -> None:
        """Replace the topmost `length` objects by a tuple of them."""
        items = tuple(self.stack[-length:])
        if len(items) != length:
            raise ValueError("takes more from the stack than there is")
        self.stack[-length:] = [items]

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError(f"appends to {type(target).__name__}, not to a list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise ValueError("sets items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2]):
            # Hashing is all that is done with a key; that of nested tuples may take for ever.
            if type(key) not in (str, int):
                raise ValueError(f"a key is {type(key).__name__}, expected text")
            target[key] = value

    def find_global(self) -> None:
        found = Global(self.line(), self.line())
        if found not in _ALLOWED:
            raise ValueError(f"names {found.module}.{found.name}, which no file of tensors needs; nothing was run")
        self.push(found)

    def find_storage(self) -> None:
        """A persistent id: ("storage", class, key, device, number of elements)."""
        tag, kind, key, _, n_elements = self.stack.pop()
        if tag != "storage" or type(kind) is not Global or kind not in _STORAGES or type(key) is not str:
            raise ValueError("a persistent id is not that of a storage")
        self.push(Storage(kind.name, key, n_elements))

    def reduce(self) -> None:
        """Call a function, by recording what a tensor would be made of."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise ValueError("calls something that is not a function")
        if function == _ORDERED_DICT and not arguments:
            self.push({})
        elif function == _TENSOR and len(arguments) > 6 and arguments[6]:
            raise ValueError("has a tensor whose numbers are to be negated or conjugated, which is not supported")
        elif function == _TENSOR and len(arguments) >= 4 and type(arguments[0]) is Storage:
            self.push(StoredTensor(*arguments[:4]))
        elif function == _PARAMETER and arguments and type(arguments[0]) is StoredTensor:
            self.push(arguments[0])
        else:
            raise ValueError(f"calls {function.module}.{function.name} with arguments of other types than torch.save")

    def build(self) -> None:
        """Attributes of an OrderedDict, such as a state dict's `_metadata`: of no use here."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise ValueError("sets attributes of something that is not a dictionary")

    def protocol(self) -> None:
        if (version := self.unsigned(1)) != 2:
            raise ValueError(f"expected pickle protocol 2, found {version}")


_STOP = ord(".")
_INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    ord("c"): _Machine.find_global,
    ord("Q"): _Machine.find_storage,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.signed(4)),
    ord("K"): lambda m: m.push(m.unsigned(1)),
    ord("M"): lambda m: m.push(m.unsigned(2)),
    0x8A: lambda m: m.push(m.signed(m.unsigned(1))),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("X"): lambda m: m.push(m.take(m.unsigned(4)).decode()),
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.pop_tuple(1),
    0x86: lambda m: m.pop_tuple(2),
    0x87: lambda m: m.pop_tuple(3),
    ord("t"): lambda m: m.push(tuple(m.pop_to_mark())),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.append([m.stack.pop()]),
    ord("e"): lambda m: m.append(m.pop_to_mark()),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    ord("q"): lambda m: m.remember(m.unsigned(1)),
    ord("r"): lambda m: m.remember(m.unsigned(4)),
    ord("h"): lambda m: m.push(m.memo[m.unsigned(1)]),
    ord("j"): lambda m: m.push(m.memo[m.unsigned(4)]),
}


def read_state_dict(program: bytes, path: Path) -> dict[str, StoredTensor]:
    """Run a data.pkl and return its tensors by name; values of other types are left out.

    Parameters
    ----------
    program : bytes
    path : Path
        The archive, for messages.

    Raises
    ------
    CheckpointError
        When the pickle is malformed, or is anything but a dictionary of tensors.
    """
    if len(program) > MAX_PICKLE_BYTES:
        raise CheckpointError(path, "data.pkl", f"expected at most {MAX_PICKLE_BYTES} bytes, found {len(program)}")
    try:
        found = _Machine(program).run()
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # a program makes no other
        reason = "takes something that is not there" if isinstance(error, LookupError) else str(error)
        raise CheckpointError(path, "data.pkl", reason) from error
    if not isinstance(found, dict):
        raise CheckpointError(path, "data.pkl", f"expected a dictionary of tensors, found {type(found).__name__}")
    return {key: value for key, value in found.items() if type(key) is str and type(value) is StoredTensor}
