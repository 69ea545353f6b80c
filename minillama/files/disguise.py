"""What a file is that has the name of a model or tokenizer and is none, told by how it begins.

Downloads go wrong in a few ways, over and over: git without LFS leaves a pointer, a browser saves the page about
the file, a script saves the server's refusal, and a file of another format gets a hopeful name.

Sources: git-lfs docs/spec.md; the formats' own descriptions; huggingface.co's answers to a missing or gated file.
"""

from __future__ import annotations

import re
from os import PathLike

from .errors import CheckpointError

FIRST_BYTES = 1024  # as many tell every kind
GGUF, SAFETENSORS, LLAMA2C = "a GGUF file", "a safetensors file", "a llama2.c file"
ZIP = "a zip archive, which torch.save and many others write"
PICKLE = (
    "a pickle, which PyTorch before 1.6 wrote and which is not read: if its source is trusted, torch.load it and "
    "save it again"
)

_RESOLVE = "download the file from its /resolve/ address"
_POINTER = "a git-lfs pointer, not the file itself"
_OLD_GGML = "a model in GGML's format from before GGUF: convert the original model again, with a llama.cpp of today"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", f"{_POINTER}: run git lfs pull in its folder, or {_RESOLVE}"),
    (b"version https://hawser", f"{_POINTER}: run git lfs pull in its folder, or {_RESOLVE}"),  # its first name
    (b"# xet version", f"a git-xet pointer, not the file itself: {_RESOLVE}"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself: run git annex get"),
    (b"../../blobs/", "the text of a link into the Hub's cache, copied without the file that it leads to"),
    (b"\0\x05\x16\x07", "what macOS keeps about a file, not the file itself, which has the same name without ._"),
    (b"GGUF", GGUF),
    (b"24ka", LLAMA2C),
    *((magic, _OLD_GGML) for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg")),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"\x1f\x8b\x08", "compressed by gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
    (b"\xfd7zXZ\0", "compressed by xz: unpack it first"),
    (b"BZh", "compressed by bzip2: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
)  # fmt: skip
# The third byte is an instruction; 80 02 00 00 is how llama2.c writes that a model is 640 wide.
_PICKLE = re.compile(rb"\x80[\x02-\x05][^\0]")
_PAGE = re.compile(rb"(<!--.{0,500}?-->\s*)?<(!doctype\s+html|html|head|body|script)\b", re.IGNORECASE | re.DOTALL)
_REDIRECT = re.compile(rb"(found|moved permanently|(temporary|permanent) redirect)\. redirecting to ", re.IGNORECASE)
_REFUSAL = re.compile(
    rb"<\?xml\b|<error>|error code: \d|\{\s*\"(error|errors|message|detail)\"\s*:"
    rb"|(entry|file|repository|revision|not|page) ?(not)? found\b|404\b|403 forbidden|access to \w+ .{0,200}restricted"
    rb"|invalid (username|credentials|token)|unauthorized|forbidden|too many requests|bad gateway|internal server error"
    rb"|service unavailable|gateway time",
    re.IGNORECASE,
)


def what_it_is(first_bytes: bytes) -> str | None:
    """What a file that begins so is, said so that it can follow "found", with what to do about it; None if unknown.

    JSON, text and the formats that have no mark of their own (SentencePiece, llama2.c's first) are None.

    Parameters
    ----------
    first_bytes : bytes
        The first `FIRST_BYTES` of the file, or all of it where it is shorter; more are not looked at.
    """
    start = bytes(first_bytes[:FIRST_BYTES])
    if not start:
        return "an empty file: download or copy it again"
    for signature, meaning in _SIGNATURES:
        if start.startswith(signature):
            return meaning
    if _PICKLE.match(start):
        return PICKLE
    if len(start) > 8 and not any(start):
        return "zeros where it should begin, as an interrupted download leaves them: download it again"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return SAFETENSORS
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _PAGE.match(text):
        return f"a web page: {_RESOLVE}, not from /blob/, which shows a page about it"
    if _REDIRECT.match(text):
        return "a server's word that the file is elsewhere: let the download follow it (curl needs -L)"
    if _REFUSAL.match(text):
        shown = text[:60].split(b"\n")[0].decode("ascii", "replace").strip()
        return f"a server's answer ({shown!r}), not the file: see that its address and your access to it are right"
    return None


def refuse_disguise(path: str | PathLike[str], first_bytes: bytes, *expected: str) -> None:
    """Raise CheckpointError when the file begins as something that is known and none of `expected`."""
    found = what_it_is(first_bytes)
    if found is not None and found not in expected:
        raise CheckpointError(path, "file", f"expected {' or '.join(expected)}, found {found}")
