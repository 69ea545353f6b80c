"""Small changes of solutions are noticed by the checks, or `survivors/` says why not; see `mutants.py`."""

import signal

import pytest
from mutants import SURVIVORS, changes, run, survivors
from mutations import mutants

from minillama.learn.chapters.catalogue import catalogue

QUICK = (
    "count_parameters", "read_config", "stable_softmax", "byte_characters_of", "shift_targets", "rmsnorm_forward",
    "rope_interleaved", "rope_offsets", "attend_one_head", "attend_online", "grouped_attention", "silu_stable",
)  # fmt: skip


def ids(text):
    return [mutant.id for mutant in mutants(text)]


def test_operators_bounds_constants_axes_and_dtypes_change():
    found = ids("def f(x, n):\n    y = x[1:n].copy()\n    y += np.sum(x, axis=-1, dtype=np.float64)\n    return y <= 0")
    assert {
        "2: y = x[1:n].copy() → deleted",
        "2: x[1:n].copy() → x[1:n]",
        "2: x[1:n] → x[1:n + 1]",
        "2: x[1:n] → x[:n]",
        "3: y += np.sum(x, axis=-1, dtype=np.float64) → y -= np.sum(x, axis=-1, dtype=np.float64)",
        "3: axis=-1 → axis=-2",
        "3: np.sum(x, axis=-1, dtype=np.float64) → np.sum(x, axis=-1)",
        "3: np.float64 → np.float32",
        "2: y = x[1:n].copy() → after y += np.sum(x, axis=-1, dtype=np.float64)",
        "4: y <= 0 → y < 0",
        "4: y <= 0 → y <= 1",
    } <= set(found)


def test_conditions_and_clamps_change():
    found = ids("def f(a, b):\n    if not a and b:\n        return min(a, 3)\n    return [x for x in b if x]")
    assert {
        "2: if not a and b: → if False:",
        "2: not a and b → not a or b",
        "2: not a and b → a and b",
        "2: not a and b → b",
        "3: min(a, 3) → a",
        "3: min(a, 3) → max(a, 3)",
    } <= set(found)
    assert any(found_id.endswith("→ [x for x in b]") for found_id in found)


def test_each_change_is_another_text_and_has_its_own_id():
    found = list(mutants("def f(a):\n    b = 1\n    c = 2\n    return a + a + b + c"))
    assert len({mutant.id for mutant in found}) == len({mutant.text for mutant in found}) == len(found)
    assert "2: b = 1 → after c = 2" not in {mutant.id for mutant in found}, "the same in either order"


@pytest.mark.parametrize("path", sorted(SURVIVORS.glob("*.toml")), ids=lambda path: path.stem)
def test_reasons_are_of_changes_that_exist(path):
    for id, reasons in survivors().items():
        if catalogue().chapter_of(id) == path.stem:
            assert reasons.keys() <= {change for change, _ in changes(id)}, id
            assert all(len(reason) > 20 for reason in reasons.values()), id


@pytest.mark.parametrize("id", QUICK)
def test_every_change_is_noticed_or_has_a_reason(id):
    outcome = run(id)
    assert len(outcome.rejected) > 10
    assert outcome.complaints(survivors().get(id, {})) == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no clock of the processor that rings")
def test_a_loop_without_an_end_is_stopped(monkeypatch):
    monkeypatch.setattr("mutants.SECONDS", 0.1)
    outcome = run("encode_with_merges")
    assert any("fits" in change and "if False" in change for change in outcome.rejected)


def test_a_change_that_the_check_remarks_on_is_counted_apart():
    assert "2: scores = q @ k.T / np.float32(np.sqrt(q.shape[-1])) → deleted" in run("attend_one_head").rejected
    assert "2: np.float32 → np.float64" in run("attend_one_head").remarked


def test_complaints_are_of_new_survivors_and_of_reasons_out_of_date():
    outcome = run("rope_angles")
    assert outcome.survived
    gone = {outcome.rejected[0]: "equivalent", "9: a → b": "equivalent"}
    said = outcome.complaints(gone)
    assert f"survives: {outcome.survived[0]}" in said
    assert f"does not survive any more: {outcome.rejected[0]}" in said
    assert "is no change of the solution any more: 9: a → b" in said
