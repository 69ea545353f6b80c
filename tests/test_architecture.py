"""The rules of the house: which way imports point, what importing costs, names that are exported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minillama
import minillama.checkpoints

PACKAGE = Path(minillama.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A line for every folder, and for every file of the root, which counts as a folder of its own: what it may import
# beside itself. Imports inside functions and under TYPE_CHECKING count.
MAY_IMPORT = {
    "files": "",
    "files/gguf": "files",
    "compute": "files",
    "config": "",
    "trees": "",
    "params": "config trees",
    "quantization": "compute",
    "layers/attention_kernels": "compute",
    "layers": "compute config layers/attention_kernels quantization",
    "ops": "files layers",
    "kv_cache": "config",
    "model": "compute config kv_cache layers ops params",
    "tokenizers/bpe": "",
    "tokenizers/files": "files tokenizers/bpe",
    "tokenizers": "files files/gguf tokenizers/bpe tokenizers/files",
    "checkpoints/common": "config files layers params quantization trees",
    "checkpoints/gguf": "checkpoints/common config files files/gguf layers params quantization trees",
    "checkpoints/huggingface": "checkpoints/common config files layers params quantization trees",
    "checkpoints/meta": "checkpoints/common config files params quantization",
    "checkpoints/hub": "files",
    "checkpoints": "checkpoints/common checkpoints/gguf checkpoints/hub checkpoints/huggingface checkpoints/meta "
    "config files params quantization tokenizers trees",
    "inference": "compute config kv_cache layers layers/attention_kernels model ops params quantization tokenizers",
    "inference/chat": "tokenizers",
    "llm": "checkpoints checkpoints/hub compute config inference inference/chat model ops params tokenizers trees",
    "data/shards": "files tokenizers/bpe",
    "data": "data/shards layers",
    "data/rules": "compute data",
    "data/rules/harmful": "compute data",
    "data/rules/personal_data": "data",
    "data/duplicates": "compute data/rules",
    "data/pipeline": "data data/duplicates data/rules data/rules/harmful data/rules/personal_data files",
    "training": "checkpoints checkpoints/common checkpoints/hub compute config data data/shards files inference "
    "layers model ops params quantization tokenizers trees",
    "__init__": "config evaluation files inference kv_cache llm ops",
    "bench": "__init__ checkpoints checkpoints/common checkpoints/hub compute config files inference llm params",
    "evaluation/common": "",
    "evaluation/scoring": "",
    "evaluation/statistics": "data/rules",
    "evaluation/tasks": "evaluation/common evaluation/scoring files",
    "evaluation/sources": "evaluation/common files",
    "evaluation/engine": "compute evaluation/common files inference kv_cache llm ops tokenizers trees",
    "evaluation/harness": "evaluation/common evaluation/engine files inference/chat llm",
    "evaluation/results": "evaluation/common evaluation/engine evaluation/scoring evaluation/statistics "
    "evaluation/tasks files",
    "evaluation/preference": "evaluation/common evaluation/engine evaluation/statistics files inference "
    "inference/chat llm",
    "evaluation/red_team/refusals": "data/rules/harmful",
    "evaluation/red_team": "data/rules/harmful evaluation/common evaluation/engine evaluation/red_team/refusals "
    "evaluation/statistics files inference llm",
    "evaluation": "evaluation/common evaluation/engine evaluation/results evaluation/sources evaluation/tasks "
    "inference/chat llm tokenizers",
    "learn/exercises": "",
    "learn/chapters/ch00_first_words": "checkpoints/huggingface config learn/exercises params",
    "learn/chapters/ch01_numpy_to_numba": "inference learn/exercises quantization",
    "learn/chapters/ch02_tokenizer": "learn/exercises tokenizers/bpe tokenizers/files",
    "learn/chapters/ch03_embeddings_and_loss": "layers learn/exercises",
    "learn/chapters/ch04_rmsnorm": "layers learn/exercises",
    "learn/chapters/ch05_rope": "layers learn/exercises",
    "learn/chapters/ch06_attention": "layers learn/exercises",
    "learn/chapters/ch07_grouped_queries": "layers learn/chapters/ch06_attention learn/exercises",
    "learn/chapters/ch08_swiglu": "config layers learn/exercises",
    "learn/chapters/ch09_whole_model": "inference layers learn/chapters/ch05_rope learn/exercises ops params",
    "learn/chapters/ch10_kv_cache": "inference layers learn/exercises",
    "learn/chapters/ch11_sampling": "inference learn/exercises",
    "learn/chapters/ch12_quantization_and_speed": "compute learn/exercises quantization",
    "learn/chapters/ch13_pretraining_data": "data/duplicates data/rules data/rules/personal_data learn/exercises",
    "learn/chapters/ch14_training": "config layers learn/exercises ops params training trees",
    "learn/chapters": "files learn/exercises",
    "learn/diagnosis": "learn/exercises",
    "learn": "bench compute learn/chapters learn/diagnosis learn/exercises",
    "learn/book": "__init__ alignment/conversations alignment/models alignment/reward alignment/rollouts "
    "checkpoints/hub compute learn learn/chapters learn/diagnosis learn/exercises learn/workspace",
    "learn/workspace": "__init__ checkpoints/hub compute data data/shards files layers learn learn/chapters "
    "learn/diagnosis learn/exercises llm ops params tokenizers training",
    "alignment/conversations": "compute config inference/chat layers ops params tokenizers training",
    "alignment/models": "config inference inference/chat params tokenizers training trees",
    "alignment": "alignment/conversations alignment/models config files params tokenizers training trees",
    "alignment/recipe/pipeline": "files training",
    "alignment/recipe/settings": "files training",
    "alignment/rollouts": "alignment/conversations alignment/models compute config files inference layers model ops "
    "params training",
    "alignment/ghost_attention": "alignment alignment/conversations alignment/models alignment/rollouts compute "
    "config evaluation/statistics files inference kv_cache layers model ops training",
    "alignment/preferences": "alignment/models alignment/rollouts evaluation/common evaluation/preference files trees",
    "alignment/rejection_sampling": "alignment alignment/conversations alignment/models alignment/rollouts compute "
    "evaluation/statistics files training",
    "alignment/reward": "alignment alignment/conversations alignment/preferences checkpoints compute config "
    "evaluation/common evaluation/statistics files inference/chat layers model ops params tokenizers training trees",
    "alignment/ppo": "alignment alignment/conversations alignment/models alignment/reward alignment/rollouts compute "
    "config files layers model ops params training trees",
    "alignment/safety": "alignment alignment/conversations alignment/models alignment/reward alignment/rollouts "
    "evaluation/common evaluation/red_team evaluation/statistics files inference/chat training",
    "alignment/story_world": "alignment alignment/conversations alignment/ghost_attention alignment/models "
    "alignment/preferences alignment/rollouts compute config data evaluation/statistics files inference layers model "
    "ops params tokenizers training",
    "alignment/recipe/report": "alignment/story_world evaluation/statistics training",
    "alignment/recipe/steps": "alignment alignment/conversations alignment/ghost_attention alignment/models "
    "alignment/ppo alignment/preferences alignment/recipe/pipeline alignment/recipe/report alignment/recipe/settings "
    "alignment/rejection_sampling alignment/reward alignment/rollouts alignment/safety alignment/story_world "
    "checkpoints checkpoints/hub compute config tokenizers training trees",
    "alignment/recipe/people": "alignment alignment/conversations alignment/ghost_attention alignment/models "
    "alignment/ppo alignment/preferences alignment/recipe/pipeline alignment/recipe/settings alignment/recipe/steps "
    "alignment/rejection_sampling alignment/reward alignment/rollouts alignment/safety alignment/story_world compute "
    "evaluation/preference evaluation/red_team/refusals evaluation/statistics",
    "alignment/recipe": "alignment/recipe/people alignment/recipe/pipeline alignment/recipe/settings "
    "alignment/recipe/steps compute files training",
    "cli/common": "checkpoints checkpoints/hub files inference llm ops tokenizers",
    "cli/align": "alignment/models alignment/preferences alignment/recipe alignment/recipe/pipeline "
    "alignment/recipe/settings alignment/reward alignment/story_world cli/common cli/evaluation "
    "evaluation/preference training",
    "cli/evaluation": "alignment/safety checkpoints cli/common data data/rules data/shards evaluation "
    "evaluation/common evaluation/engine evaluation/preference evaluation/red_team evaluation/results "
    "evaluation/sources evaluation/statistics evaluation/tasks files inference llm",
    "cli": "__init__ alignment/safety bench checkpoints checkpoints/gguf checkpoints/hub cli/align cli/common "
    "cli/evaluation compute config data data/pipeline data/rules data/shards files inference learn learn/chapters "
    "learn/diagnosis learn/exercises learn/workspace llm ops quantization tokenizers training",
    "__main__": "cli",
}


def folder_of(module: str) -> str:
    """The folder of a module by its dotted name without `minillama`; a file of the root is its own."""
    return module.rpartition(".")[0].replace(".", "/") or module


def imports(path: Path) -> set[str]:
    """The modules of minillama that a file imports, by dotted names."""
    package = ["minillama", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module.split(".") if node.module else [])]
            if parts[:1] == ["minillama"]:
                found |= {module_at([*parts[1:], alias.name]) for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {module_at(parts[1:]) for parts in names if parts[0] == "minillama"}
    return found


def module_at(parts: list[str]) -> str:
    """The file that `from minillama.a.b import c` reads: a/b/c.py, or the one that holds the name c."""
    for end in (parts, parts[:-1]):
        path = PACKAGE.joinpath(*end)
        if end and path.with_suffix(".py").is_file():
            return ".".join(end)
        if path.is_dir():
            return ".".join([*end, "__init__"])
    raise AssertionError(f"minillama.{'.'.join(parts)} is not a module")


GRAPH = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): imports(path) for path in FILES}


@pytest.mark.parametrize("folder", sorted({folder_of(module) for module in GRAPH}))
def test_imports_point_one_way(folder):
    assert folder in MAY_IMPORT, f"say in this test what {folder} may import"
    found = {folder_of(name) for module, names in GRAPH.items() if folder_of(module) == folder for name in names}
    allowed = set(MAY_IMPORT[folder].split())
    assert found - allowed - {folder} == set(), f"{folder} imports what its line does not name"
    assert allowed - found == set(), f"the line of {folder} names what it does not import"


def test_no_two_folders_point_at_each_other():
    below = {folder: set(line.split()) for folder, line in MAY_IMPORT.items()}
    assert [(a, b) for a in below for b in below[a] if a in below.get(b, ())] == []
    assert circles(below) == []


def test_no_circle_of_files():
    assert circles(GRAPH) == []


def circles(graph):
    """Nodes that can be reached from themselves, in the order of their names."""

    def reachable(node):
        found, todo = set(), list(graph.get(node, ()))
        while todo:
            if (following := todo.pop()) not in found:
                found.add(following)
                todo += graph.get(following, ())
        return found

    return [node for node in sorted(graph) if node in reachable(node)]


def test_names_and_places():
    """The root holds nine files at most, and a name does not repeat its folder."""
    assert len(list(PACKAGE.glob("*.py"))) <= 9
    assert [str(path) for path in FILES if path.name.startswith(f"{path.parent.name}_")] == []


def test_importing_is_quick_and_light():
    """`import minillama`, or looking for a model by name, loads neither Numba nor anything optional."""
    code = (
        "import sys, minillama\n"
        "from minillama.checkpoints.hub import locate\n"
        "minillama.CheckpointError, minillama.checkpoints.CheckpointError, locate('stories3M')\n"
        "heavy = {'numba', 'prompt_toolkit', 'torch', 'transformers', 'huggingface_hub', 'rich', 'typer', 'regex'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_running_needs_no_test_libraries():
    """Loading the whole package imports no oracle: they are not installed on a user's machine."""
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'tokenizers', 'safetensors', 'gguf', 'psutil', 'hypothesis'):\n"
        "    sys.modules[name] = None\n"
        "import pkgutil, importlib, minillama\n"
        "for module in pkgutil.walk_packages(minillama.__path__, 'minillama.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_exists():
    for name in minillama.__all__:
        assert getattr(minillama, name) is not None
    assert set(minillama.__all__) <= set(dir(minillama))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        minillama.nothing  # noqa: B018
    for name in minillama.checkpoints.__all__:
        assert getattr(minillama.checkpoints, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        minillama.checkpoints.nothing  # noqa: B018


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    """No module grows past what can be read in one sitting."""
    assert len(path.read_text().splitlines()) <= 400, "split it beside itself"
