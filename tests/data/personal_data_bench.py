"""benchmarks/filters_personal_data.py as a module: the labelled texts that it makes and how it scores them."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[2] / "benchmarks" / "filters_personal_data.py"
_spec = importlib.util.spec_from_file_location("filters_personal_data", _PATH)
assert _spec is not None
assert _spec.loader is not None
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)
