"""Which filters run in which order with which thresholds, and how they are made from names and tables."""

from __future__ import annotations

import csv
import gzip
import hashlib
import inspect
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...files.names import foreign_ending
from ...files.suggestions import did_you_mean
from ...files.text import decode_text
from ..decision import Filter
from ..documents import Document, TextLayout, read_documents, text_files
from ..duplicates.minhash import MinHash
from ..rules import RULES
from ..rules.languages import defaults_for, known_languages

OF_COLLECTIONS = ("exact", "minhash")
"""Rules that look at all documents together."""
ENDINGS = (".jsonl.gz", ".jsonl", ".txt.gz", ".txt")


@dataclass(frozen=True)
class PipelineSettings:
    """Everything that decides the result of a run."""

    inputs: tuple[Path, ...]
    out: Path
    """A folder of shards; or one file, when it ends in one of `ENDINGS`, in capitals, too."""
    rules: tuple[str, ...] | None = None
    """Of `RULES`, in the order they run; None takes all for which there is what they need."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For rules, the fields of their filters that differ from the published ones."""
    layout: TextLayout = field(default_factory=TextLayout)
    ending: str = ".jsonl.gz"
    """Of the shards of a folder."""
    languages: tuple[str, ...] = ()
    """Codes of the languages of the texts; none is English, with the thresholds as published."""
    word_list: Path | None = None
    eval_files: tuple[Path, ...] = ()
    strict: bool = False
    """Stop at the first place in the input that is not a document."""
    workers: int = 1
    batch_bytes: int = 4 << 20
    shard_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if self.rules is None:
            object.__setattr__(self, "rules", tuple(r for r in RULES if r != "contamination" or self.eval_files))
        elif self.eval_files and "contamination" not in self.rules:
            later = [i for i, rule in enumerate(self.rules) if rule in (*OF_COLLECTIONS, "personal-data")]
            at = min(later, default=len(self.rules))
            object.__setattr__(self, "rules", (*self.rules[:at], "contamination", *self.rules[at:]))
        _check_rules(self.rules or (), self.options)
        object.__setattr__(self, "languages", tuple(language.code for language in known_languages(self.languages)))
        if "contamination" in self.in_order and not self.eval_files:
            raise ValueError("the rule contamination needs texts of evaluation sets: give --eval FILE")
        if self.ending not in ENDINGS:
            raise ValueError(f"shards end in {', '.join(ENDINGS)}; got {self.ending!r}")
        if not self.single_file and (ending := foreign_ending(self.out)):
            raise ValueError(
                f"cannot write {self.out}: a file ends in {', '.join(ENDINGS)}, not {ending}; "
                "for a folder of that name, make it first"
            )
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")

    @property
    def in_order(self) -> tuple[str, ...]:
        """The rules in the order they run."""
        return self.rules or ()

    @property
    def of_collections(self) -> tuple[str, ...]:
        """The rules of duplicates that run."""
        return tuple(rule for rule in self.in_order if rule in OF_COLLECTIONS)

    @property
    def single_file(self) -> bool:
        """The output is one file."""
        return self.out.name.lower().endswith(ENDINGS)

    @property
    def out_ending(self) -> str:
        """The ending of what is written."""
        return next((e for e in ENDINGS if self.out.name.lower().endswith(e)), self.ending)

    def before_and_after(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The rules of single documents before and after those of duplicates."""
        places = [i for i, rule in enumerate(self.in_order) if rule in OF_COLLECTIONS]
        if not places:
            return self.in_order, ()
        return self.in_order[: places[0]], self.in_order[places[-1] + 1 :]

    def digest(self) -> str:
        """Changes with everything that changes the result, the content of lists and evaluation files included."""
        given = asdict(self)
        for name in ("workers", "inputs", "out"):
            del given[name]
        files = [file for file in (self.word_list, *self.eval_files) if file is not None]
        given["contents"] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()


def _check_rules(rules: tuple[str, ...], options: Mapping[str, Mapping[str, Any]]) -> None:
    for rule in (*rules, *options):
        if rule not in RULES:
            raise ValueError(f"there is no rule {rule!r}: {did_you_mean(rule, RULES, most=1)}rules: {', '.join(RULES)}")
    twice = [rule for rule in dict.fromkeys(rules) if rules.count(rule) > 1]
    if twice:
        raise ValueError(f"the rule {twice[0]} is named twice")
    places = [i for i, rule in enumerate(rules) if rule in OF_COLLECTIONS]
    if len(places) == 2 and places[1] != places[0] + 1:
        raise ValueError("exact and minhash must stand side by side: both look at all documents together")
    if len(places) == 2 and rules[places[0]] == "minhash":
        raise ValueError("exact comes before minhash: write exact,minhash")


def build_filter(rule: str, settings: PipelineSettings) -> Filter:
    """The filter of a rule of single documents."""
    table = dict(settings.options.get(rule, {}))
    if rule == "harmful" and settings.word_list is not None:
        table["word_list"] = settings.word_list
    table = {**defaults_for(rule, known_languages(settings.languages), table), **table}
    if rule == "harmful":
        from ..rules.harmful.filter import HarmfulContentFilter

        return configured(HarmfulContentFilter, table, rule)
    if rule == "personal-data":
        from ..rules.personal_data.filter import PersonalDataFilter

        return configured(PersonalDataFilter, table, rule)
    if rule == "contamination":
        from ..rules.contamination import NgramOverlap

        texts = [text for file in settings.eval_files for text in _evaluation_texts(file)]
        return configured(lambda **k: NgramOverlap(texts, **k), table, rule, like=NgramOverlap)
    return configured(_quality_class(rule, table), table, rule)


def build_minhash(settings: PipelineSettings) -> MinHash:
    """The signatures that the rule minhash compares."""
    return configured(MinHash, dict(settings.options.get("minhash", {})), "minhash")


def check_filters(settings: PipelineSettings) -> dict[str, Filter]:
    """Make every filter once: wrong settings are reported before anything is read."""
    if settings.options.get("exact"):
        raise ValueError("[exact] has no settings")
    build_minhash(settings)
    return {rule: build_filter(rule, settings) for rule in settings.in_order if rule not in OF_COLLECTIONS}


def _quality_class(rule: str, table: dict[str, Any]) -> Callable[..., Any]:
    from ..rules.c4 import C4Quality
    from ..rules.fineweb import FineWebQuality
    from ..rules.gopher import GopherQuality
    from ..rules.repetition import GopherRepetition

    if rule == "c4":
        presets = {"fineweb": C4Quality.fineweb(), "datatrove": C4Quality(), "original": C4Quality.original()}
        preset = table.pop("preset", "fineweb")
        if preset not in presets:
            raise ValueError(f"[c4] preset is one of {', '.join(presets)}; got {preset!r}")
        for name, value in asdict(presets[preset]).items():
            table.setdefault(name, value)
        return C4Quality
    return {"gopher": GopherQuality, "fineweb": FineWebQuality, "repetition": GopherRepetition}[rule]


def configured(make: Callable[..., Any], table: dict[str, Any], rule: str, like: Any = None) -> Any:
    """Call `make` with a table of settings; an error about a wrong name or type says what is possible."""
    like = like or make
    if is_dataclass(like):
        possible = {f.name: str(f.type) for f in fields(like) if f.init}
    else:
        possible = {name: "" for name in inspect.signature(like).parameters if name != "texts"}
    arguments = {}
    for name, value in table.items():
        if name not in possible:
            raise ValueError(
                f"[{rule}] has no {name!r}: {did_you_mean(name, possible, most=1)}possible: {', '.join(possible)}"
            )
        arguments[name] = _typed(value, possible[name], f"[{rule}] {name}")
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(f"[{rule}]: {error}") from error


def _typed(value: Any, type_: str, name: str) -> Any:
    """A value of a table as its field takes it; false switches a threshold off."""
    if isinstance(value, list):
        value = tuple(value)
    if type_.endswith("| None") and value is False:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    allowed = {
        "bool": isinstance(value, bool),
        "int": is_number and isinstance(value, int),
        "int | None": value is None or (is_number and isinstance(value, int)),
        "float | None": value is None or is_number,
        "tuple[str, ...]": isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }
    if not allowed.get(type_, True):
        off = ", or false to switch the rule off" if "None" in type_ else ""
        wanted = {"tuple[str, ...]": "a list of texts", "bool": "true or false"}.get(type_, type_.split(" ")[0])
        raise ValueError(f"{name} must be {wanted}{off}; got {value!r}")
    return value


class Config(NamedTuple):
    """What a filters.toml says."""

    rules: tuple[str, ...] | None
    languages: tuple[str, ...]
    options: dict[str, dict[str, Any]]


def read_config(path: Path) -> Config:
    """A filters.toml: `rules = [...]`, `language = "de"` or a list, and a table named after each rule."""
    try:
        content = tomllib.loads(decode_text(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    rules = content.pop("rules", None)
    if rules is not None and (not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules)):
        raise ValueError(f"{path}: rules must be a list of names, got {rules!r}")
    language = content.pop("language", [])
    languages = [language] if isinstance(language, str) else language
    if not isinstance(languages, list) or not all(isinstance(code, str) for code in languages):
        raise ValueError(f'{path}: language must be a code such as "de", or a list of them, got {language!r}')
    for name, table in content.items():
        if name not in RULES:
            raise ValueError(
                f"{path}: there is no rule {name!r}: {did_you_mean(name, RULES, most=1)}rules: {', '.join(RULES)}"
            )
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} must be a table [{name}], got {table!r}")
    return Config(None if rules is None else tuple(rules), tuple(languages), content)


def evaluation_texts(path: Path) -> Iterator[str]:
    """Every text of an evaluation file: documents of .txt, cells of .csv, strings of .json and .jsonl(.gz)."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as handle:
            yield from (cell for row in csv.reader(handle) for cell in row)
        return
    if path.suffix == ".json":
        yield from _strings(json.loads(decode_text(path.read_bytes())))
        return
    if ".jsonl" in path.suffixes:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as handle:
            for line in handle:
                if line.strip():
                    yield from _strings(json.loads(line))
        return
    for read in read_documents(text_files([path])[0]):
        if isinstance(read.item, Document):
            yield read.item.text


def _evaluation_texts(path: Path) -> list[str]:
    try:
        return list(evaluation_texts(path))
    except (ValueError, csv.Error, EOFError) as error:
        raise ValueError(f"the evaluation file {path} cannot be read: {error}") from error


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
