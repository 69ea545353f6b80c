"""Our tasks beside lm-evaluation-harness itself: the same documents, the same made-up answers, everything equal.

By default few documents of each task; benchmarks/evaluation_equality.py takes all of them, and more settings.
"""

import importlib.util

import pytest
from evaluation.harness_oracle import FILES, Beginnings, Setting, compare

from minillama.evaluation.tasks.catalogue import GROUPS
from minillama.evaluation.tasks.mmlu import AREAS

if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("lm-evaluation-harness is not installed", allow_module_level=True)

HAND_MADE = ["hellaswag", "boolq"]
PUBLIC = [name for name in FILES if name not in HAND_MADE]
SETTINGS = [
    Setting(limit=10),
    Setting(0, limit=5),
    Setting(2, limit=10),
    Setting(2, limit=5, chat=True),
    Setting(1, limit=5, chat=True, system="Be brief."),
    Setting(1, limit=5, system="Be brief."),
]


def check(names, layouts, setting, group=None):
    comparisons = compare(names, layouts, setting, group)
    assert [line for comparison in comparisons for line in comparison.differences] == []
    assert all(comparison.items and comparison.requests for comparison in comparisons)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_tasks(setting, shared_data):
    check([*PUBLIC, "mmlu_anatomy", "mmlu_us_foreign_policy_continuation"], Beginnings(shared_data, 80), setting)


@pytest.mark.parametrize("setting", [Setting(0), Setting(3), Setting(3, chat=True)], ids=str)
def test_tasks_on_documents_written_by_hand(setting, tmp_path):
    check(HAND_MADE, Beginnings(tmp_path, 80), setting)


@pytest.mark.parametrize("suffix", ["", "_continuation"])
def test_mmlu_s_groups(suffix, shared_data):
    group = GROUPS[f"mmlu{suffix}_stem"]
    names = [f"mmlu_{subject}{suffix}" for subject in AREAS["stem"]]
    assert group.tasks == names
    check(names, Beginnings(shared_data, 7), Setting(5, limit=7), group)
