"""lm-evaluation-harness drives minillama: for those who would rather run the harness itself.

    python -m minillama.evaluation.harness run --model minillama \\
        --model_args pretrained=smollm2-135m-instruct,threads=2 --tasks arc_easy --limit 100

is the harness's own command line with this model beside its others. In Python:

    from minillama.evaluation.harness import MinillamaLM
    lm_eval.simple_evaluate(model=MinillamaLM(minillama.load("smollm2-135m-instruct")), tasks=["arc_easy"])

lm-evaluation-harness (`pip install lm-eval`) is not a dependency of minillama and is looked for only here.

    model.py      the class `MinillamaLM`, of the harness's `LM`
    __main__.py   registers it, then runs the harness's command line: release 0.4.13 reads no entry points
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

NAME = "minillama"


def register() -> None:
    """Make `--model minillama` known to the harness, as its entry points do in releases that read them.

    Raises
    ------
    ImportError
        When lm-evaluation-harness is not installed, in one sentence.
    """
    need_harness()
    from lm_eval.api.registry import model_registry

    if NAME not in model_registry:
        model_registry.register(NAME, target=f"{__name__}.model:MinillamaLM")


def need_harness() -> None:
    """Raise ImportError, in one sentence, when lm-evaluation-harness is not installed."""
    if find_spec("lm_eval") is None:
        raise ImportError("this needs lm-evaluation-harness, which is not installed: pip install lm-eval")


def __getattr__(name: str) -> Any:
    if name != "MinillamaLM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_harness()
    from .model import MinillamaLM

    return MinillamaLM
