"""Every exercise: the starter fails, the solution passes, every known mistake is caught and named."""

import importlib.util
import inspect
import itertools
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.compare import compare

ROOT = Path(__file__).parents[2] / "exercises"
EXERCISES = list(catalogue().values())
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


def load(path: Path):
    """A module from a file whose name is not an identifier."""
    spec = importlib.util.spec_from_file_location(f"exercises_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES = {path.name[:2]: path for path in sorted(ROOT.glob("[0-9][0-9]_*.py"))}
STARTERS = {chapter: load(path) for chapter, path in FILES.items()}
SOLUTIONS = {chapter: load(ROOT / "solutions" / path.name) for chapter, path in FILES.items()}


@pytest.fixture(params=EXERCISES, ids=lambda e: e.id)
def exercise(request):
    return request.param


def test_starter_fails_as_not_started(exercise):
    report = check_function(exercise, getattr(STARTERS[exercise.chapter], exercise.id))
    assert report.status == "not started", report.text()
    assert getattr(STARTERS[exercise.chapter], exercise.id).__doc__


def test_solution_passes(exercise):
    report = check_function(exercise, getattr(SOLUTIONS[exercise.chapter], exercise.id))
    assert report.passed, report.text()
    assert report.n_shapes == len(exercise.shapes) >= 4
    assert not [remark for remark in report.remarks if "tuple" in remark]


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.oracle is not None], ids=lambda e: e.id)
def test_solution_and_reference_equal_pytorch(exercise):
    for dims in exercise.shapes:
        expected = exercise.run(exercise.oracle, dims)
        for function in {exercise.reference, exercise.function}:
            comparison = compare(exercise, expected, exercise.run(function, dims))
            assert comparison.equal, (dims, comparison.mismatch)


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.same_as is not None], ids=lambda e: e.id)
def test_solution_equals_the_package(exercise):
    """The code that a chapter explains gives what the code that runs the model gives."""
    for dims in exercise.shapes:
        comparison = compare(exercise, exercise.run(exercise.same_as, dims), exercise.run(exercise, dims))
        assert comparison.equal, (dims, comparison.mismatch)


@pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{e.id}-{i}" for e in EXERCISES for i in range(len(e.mistakes))]
)
def test_known_mistake_is_caught_and_named(exercise, mistake):
    report = check_function(exercise, mistake.function)
    assert report.status in ("wrong", "error"), f"{mistake.name} is not caught"
    assert report.mistake == mistake.name, report.text()
    assert len(report.lines()) <= 23, "more than a screen"
    assert max(map(len, report.lines())) <= 80
    assert mistake.name.strip()
    assert mistake.advice.strip()


# The known mistakes that raise on some shapes, as a learner's function with the mistake does.
RAISES = {
    "parallel_matvec": "Your function multiplies with the transposed matrix.",
    "shift_targets": "Your function makes targets of the dtype of the tokens.",
    "attend_decode": "Your function leaves out the last key, the token's own.",
    "feed_forward": "Your function multiplies with the weights as they are, not transposed.",
    "transformer_block": "Your function leaves out wo.",
    "attention_decode_step": "Your query does not see its own token, and a sequence without tokens has no key at all.",
    "linear_backward": "Your dx multiplies with weight.T, as the way forward does.",
    "warmup_cosine": "Your function divides by 0 where the warm-up is the whole run.",
}


def test_known_mistakes_run_on_all_shapes(exercise):
    """One that raises where the mistake itself does not is named nowhere."""
    raising = set()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mistake, dims in itertools.product(exercise.mistakes, exercise.shapes):
            try:
                exercise.run(mistake.function, dims)
            except Exception:
                raising.add(mistake.name)
    assert raising == ({RAISES[exercise.id]} if exercise.id in RAISES else set())


def words(text):
    return set(re.findall(r"[a-z_]{4,}", text.lower()))


def test_why_is_two_or_three_sentences_of_its_own(exercise):
    sentences = re.split(r'(?<=[.!?"]) (?=[A-Z`])', exercise.why)
    assert len(sentences) in (2, 3)
    assert all(sentence.rstrip('"').endswith((".", "!", "?")) and len(sentence) > 30 for sentence in sentences)
    assert len(exercise.why) <= 520
    said = " ".join(f"{exercise.task} {inspect.getdoc(exercise.function)} {' '.join(exercise.hints)}".split())
    assert not [sentence for sentence in sentences if sentence.rstrip(".") in said]
    assert len(words(exercise.why) - words(said)) > len(words(exercise.why)) / 3, "says the docstring again"


def test_no_mistake_is_the_reference(exercise):
    right = {exercise.function, exercise.reference, exercise.same_as, exercise.oracle}
    assert not right & {mistake.function for mistake in exercise.mistakes}


def test_texts_are_there(exercise):
    assert len(exercise.mistakes) >= 4
    assert len({mistake.name for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len(exercise.hints) == 3
    assert all(hint.strip() for hint in exercise.hints)
    assert 1 <= exercise.difficulty <= 3
    assert 1 <= exercise.minutes <= 90
    assert exercise.task.endswith((".", "?"))


def test_arguments_are_the_same_every_time(exercise):
    """And no function can spoil those of another."""
    for dims in exercise.shapes:
        first, second = exercise.arguments(dims), exercise.arguments(dims)
        for a, b in zip(first, second, strict=True):
            if isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b)
                assert a is not b


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.speed is not None], ids=lambda e: e.id)
def test_speed_card_has_functions_that_agree(exercise):
    small = exercise.shapes[-1]
    expected = exercise.run(exercise.reference, small)
    for function in (exercise.speed.fast, exercise.speed.naive):
        if function is not None:
            assert compare(exercise, expected, exercise.run(function, small)).equal
    assert exercise.speed.flops(**exercise.speed.dims) > 0
    assert exercise.speed.bytes(**exercise.speed.dims) > 0


def test_there_are_enough_exercises():
    ids = {exercise.id for exercise in EXERCISES}
    assert all(starter.np is np for starter in STARTERS.values()), "a starter has to import numpy as np"
    assert len(ids) == len(EXERCISES)
    for chapter, starter in STARTERS.items():
        functions = {
            name
            for name, value in vars(starter).items()
            if callable(value) and getattr(value, "__module__", "") == starter.__name__
        }
        wanted = {exercise.id for exercise in EXERCISES if exercise.chapter == chapter}
        assert wanted <= functions, f"{wanted - functions} are missing in the starter of chapter {chapter}"
