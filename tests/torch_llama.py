"""A Llama in PyTorch, written the way PyTorch is best used: what gradients and training speed are compared with."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from minillama.config import ModelConfig
from minillama.layers.rope import rope_table
from minillama.params import LayerParams, Params, build_params
from minillama.trees import named_leaves


class TorchBlock(nn.Module):
    """One block; parameters under the package's names."""

    def __init__(self, config: ModelConfig, layer: LayerParams) -> None:
        super().__init__()
        self.config = config
        for name, array in layer._asdict().items():
            self.register_parameter(name, nn.Parameter(torch.tensor(array)))

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        config, (batch, n_tokens, dim) = self.config, x.shape
        n = F.rms_norm(x, (dim,), self.attention_norm, config.norm_eps)
        q = rotate(F.linear(n, self.wq).view(batch, n_tokens, config.n_heads, -1), cos, sin).transpose(1, 2)
        k = rotate(F.linear(n, self.wk).view(batch, n_tokens, config.n_kv_heads, -1), cos, sin).transpose(1, 2)
        v = F.linear(n, self.wv).view(batch, n_tokens, config.n_kv_heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=config.group_size > 1)
        x = x + F.linear(y.transpose(1, 2).reshape(batch, n_tokens, -1), self.wo)
        m = F.rms_norm(x, (dim,), self.ffn_norm, config.norm_eps)
        return x + F.linear(F.silu(F.linear(m, self.w_gate)) * F.linear(m, self.w_up), self.w_down)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE of neighbouring pairs of x (B, T, H, head_dim)."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(3)


class TorchLlama(nn.Module):
    """Tokens (B, T) to logits, from the arrays of a parameter tree."""

    def __init__(self, config: ModelConfig, params: Params) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Parameter(torch.tensor(params.token_embedding))
        self.layers = nn.ModuleList(TorchBlock(config, layer) for layer in params.layers)
        self.final_norm = nn.Parameter(torch.tensor(params.final_norm))
        self.output = None if params.output is None else nn.Parameter(torch.tensor(params.output))
        table = rope_table(config.head_dim, config.max_seq_len, config.rope_theta, params.final_norm.dtype)
        self.cos, self.sin = (torch.tensor(half)[None, :, None] for half in table)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self.token_embedding)
        cos, sin = self.cos[:, : tokens.shape[1]], self.sin[:, : tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        x = F.rms_norm(x, (x.shape[-1],), self.final_norm, self.config.norm_eps)
        return F.linear(x, self.token_embedding if self.output is None else self.output)

    def loss(self, tokens: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        """Mean cross-entropy of the targets that are not -100."""
        logits = self(torch.from_numpy(tokens))
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), torch.from_numpy(targets).reshape(-1))

    def tree(self, of: str = "grad") -> Params:
        """The gradients, or with `of="data"` the parameters, as a tree of arrays."""
        by_name = dict(self.named_parameters())
        return build_params(self.config, lambda name, shape: getattr(by_name[name], of).numpy())

    def optimizer(self, learning_rate: float, weight_decay: float = 0.1) -> torch.optim.AdamW:
        """AdamW with LLaMA 2's settings; vectors are not decayed."""
        groups = [
            {"params": [p for p in self.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in self.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), eps=1e-5)


def largest_error(found: Params, expected: Params) -> float:
    """The largest difference of two trees, each array's relative to its own largest number."""
    return max(
        float(np.abs(a - b).max() / np.abs(b).max())
        for (_, a), (_, b) in zip(named_leaves(found), named_leaves(expected), strict=True)
    )
