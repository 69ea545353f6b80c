"""One hand-made document of every dataset, as the Hub has it and as its authors write it."""

from __future__ import annotations

import json
from typing import Any

ARC = {
    "id": "hand_1",
    "question": "What does a seed need first?",
    "choices": {"text": ["water", "a lamp", "salt", "a pot"], "label": ["A", "B", "C", "D"]},
    "answerKey": "A",
}
ARC_ORIGINAL = {
    "id": "hand_1",
    "question": {
        "stem": "What does a seed need first?",
        "choices": [
            {"text": "water", "label": "A"},
            {"text": "a lamp", "label": "B"},
            {"text": "salt", "label": "C"},
            {"text": "a pot", "label": "D"},
        ],
    },
    "answerKey": "A",
}
OPENBOOKQA = {"id": "hand_1", "question_stem": ARC["question"], "choices": ARC["choices"], "answerKey": "A"}
PIQA = {"goal": "dry a plate", "sol1": "wipe it with a cloth", "sol2": "wipe it with a wet fish", "label": 0}
WINOGRANDE = {
    "sentence": "Ann lent Eve a pen, since _ had none.",
    "option1": "Ann",
    "option2": "Eve",
    "answer": "2",
}
HELLASWAG = {
    "ind": 7,
    "activity_label": "Baking",
    "ctx_a": "A man kneads dough.",
    "ctx_b": "he",
    "ctx": "A man kneads dough. he",
    "endings": ["puts it in a pan.", "eats the table.", "sings to the pan.", "leaves the planet."],
    "source_id": "activitynet~v_hand",
    "split": "val",
    "split_type": "indomain",
    "label": "0",
}
HELLASWAG_ORIGINAL = {
    "ind": 7,
    "activity_label": "Baking",
    "ctx_a": "A man kneads dough.",
    "ctx_b": "he",
    "ctx": "A man kneads dough. he",
    "split": "val",
    "split_type": "indomain",
    "label": 0,
    "endings": HELLASWAG["endings"],
    "source_id": "activitynet~v_hand",
}
BOOLQ = {
    "question": "is rye a grass",
    "passage": "Rye -- Rye is a grass that is grown for its grain.",
    "idx": 0,
    "label": 1,
}
BOOLQ_GOOGLE = {
    "question": "is rye a grass",
    "title": "Rye",
    "answer": True,
    "passage": "Rye is a grass that is grown for its grain.",
}
BOOLQ_SUPERGLUE = {"question": BOOLQ["question"], "passage": BOOLQ["passage"], "idx": 0, "label": True}
GSM8K = {"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
TRUTHFULQA = {
    "question": "Do stones grow?",
    "mc1_targets": {"choices": ["No", "Yes"], "labels": [1, 0]},
    "mc2_targets": {"choices": ["No", "They do not", "Yes"], "labels": [1, 1, 0]},
}
TRUTHFULQA_ORIGINAL = {
    "question": "Do stones grow?",
    "mc0_targets": {"No": 1, "Yes": 0},
    "mc1_targets": {"No": 1, "Yes": 0},
    "mc2_targets": {"No": 1, "They do not": 1, "Yes": 0},
}
NQ_OPEN = {"question": "who tends the light", "answer": ["the keeper", "a keeper"]}
TRIVIAQA_ORIGINAL = {
    "Answer": {
        "Aliases": ["Oslo", "Oslo, Norway"],
        "MatchedWikiEntityName": "Oslo",
        "NormalizedAliases": ["oslo", "oslo norway"],
        "NormalizedMatchedWikiEntityName": "oslo",
        "NormalizedValue": "oslo",
        "Type": "WikipediaEntity",
        "Value": "Oslo",
    },
    "EntityPages": [{"DocSource": "TagMe", "Filename": "Oslo.txt", "Title": "Oslo"}],
    "Question": "Which city has the fjord's name?",
    "QuestionId": "hand_1",
    "QuestionSource": "http://example.org/",
    "SearchResults": [],
}
TRIVIAQA = {
    "question": "Which city has the fjord's name?",
    "question_id": "hand_1",
    "question_source": "http://example.org/",
    "entity_pages": {"doc_source": [], "filename": [], "title": [], "wiki_context": []},
    "search_results": {
        "description": [],
        "filename": [],
        "rank": [],
        "title": [],
        "url": [],
        "search_context": [],
    },
    "answer": {
        "aliases": ["Oslo", "Oslo, Norway"],
        "normalized_aliases": ["oslo", "oslo norway"],
        "matched_wiki_entity_name": "Oslo",
        "normalized_matched_wiki_entity_name": "oslo",
        "normalized_value": "oslo",
        "type": "WikipediaEntity",
        "value": "Oslo",
    },
}
MMLU = {
    "question": "How many legs has a stool, at least?",
    "subject": "anatomy",
    "choices": ["one", "two", "three", "four"],
    "answer": 2,
}
MMLU_CSV = '"How many legs has a stool, at least?",one,two,three,four,C\n'

HUB: dict[str, dict[str, Any]] = {
    "mmlu_anatomy": MMLU,
    "arc_easy": ARC,
    "arc_challenge": ARC,
    "openbookqa": OPENBOOKQA,
    "piqa": PIQA,
    "winogrande": WINOGRANDE,
    "hellaswag": HELLASWAG,
    "boolq": BOOLQ,
    "gsm8k": GSM8K,
    "truthfulqa": TRUTHFULQA,
    "triviaqa": TRIVIAQA,
    "nq_open": NQ_OPEN,
    "wikitext": {"page": " = Rye = \n\n Rye is a grass . \n"},
}


def lines(*rows: dict[str, Any]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


# (dataset, split, files, the document): a benchmark as its authors distribute it.
ORIGINALS: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    ("arc_easy", "test", {"arc_easy/ARC-Easy-Test.jsonl": lines(ARC_ORIGINAL)}, ARC),
    ("arc_easy", "test", {"ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl": lines(ARC_ORIGINAL)}, ARC),
    ("arc_challenge", "train", {"arc_challenge/ARC-Challenge-Train.jsonl": lines(ARC_ORIGINAL)}, ARC),
    ("openbookqa", "test", {"openbookqa/test.jsonl": lines(ARC_ORIGINAL)}, OPENBOOKQA),
    ("openbookqa", "validation", {"OpenBookQA-V1-Sep2018/Data/Main/dev.jsonl": lines(ARC_ORIGINAL)}, OPENBOOKQA),
    (
        "piqa",
        "validation",
        {"piqa/valid.jsonl": lines({"id": "x", **{k: PIQA[k] for k in ("goal", "sol1", "sol2")}}),
         "piqa/valid-labels.lst": "0\n"},
        PIQA,
    ),
    ("winogrande", "validation", {"winogrande_1.1/dev.jsonl": lines({"qID": "x", **WINOGRANDE})}, WINOGRANDE),
    (
        "winogrande",
        "validation",
        {"winogrande/dev.jsonl": lines({k: WINOGRANDE[k] for k in ("sentence", "option1", "option2")}),
         "winogrande/dev-labels.lst": "2\n"},
        WINOGRANDE,
    ),
    ("hellaswag", "validation", {"hellaswag/hellaswag_val.jsonl": lines(HELLASWAG_ORIGINAL)}, HELLASWAG),
    ("boolq", "validation", {"boolq/dev.jsonl": lines(BOOLQ_GOOGLE)}, BOOLQ),
    ("boolq", "validation", {"BoolQ/val.jsonl": lines(BOOLQ_SUPERGLUE)}, BOOLQ),
    ("gsm8k", "test", {"gsm8k/test.jsonl": lines(GSM8K)}, GSM8K),
    ("truthfulqa", "validation", {"truthfulqa/mc_task.json": json.dumps([TRUTHFULQA_ORIGINAL], indent=1)}, TRUTHFULQA),
    (
        "triviaqa",
        "validation",
        {"triviaqa-rc/qa/wikipedia-dev.json": json.dumps(
            {"Data": [TRIVIAQA_ORIGINAL], "Domain": "Wikipedia", "VerifiedEval": False, "Version": 1.0}, indent=4)},
        TRIVIAQA,
    ),
    ("nq_open", "validation", {"nq_open/NQ-open.dev.jsonl": lines(NQ_OPEN)}, NQ_OPEN),
    ("mmlu_anatomy", "test", {"data/test/anatomy_test.csv": MMLU_CSV}, MMLU),
    ("mmlu_anatomy", "validation", {"mmlu/data/val/anatomy_val.csv": MMLU_CSV}, MMLU),
    ("mmlu_anatomy", "dev", {"mmlu/dev/anatomy_dev.csv": MMLU_CSV}, MMLU),
]  # fmt: skip
