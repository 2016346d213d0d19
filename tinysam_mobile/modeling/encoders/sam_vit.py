"""SAM's image encoder, a plain ViT with windows (arXiv 2304.02643, appendix A; arXiv 2203.16527).

Keys and shapes are those of the published `sam_vit_b`, `sam_vit_l` and `sam_vit_h` files, and of SlimSAM
(arXiv 2312.05284), which is SAM's ViT-B with fewer channels: all widths are read from a file's shapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind, ReadEncoder, State
from tinysam_mobile.modeling.encoders.transformers_keys import from_transformers
from tinysam_mobile.modeling.layers import LayerNorm2d, attended, thirds, window_merge, window_partition

__all__ = ["SAM_VIT", "SamViT", "SamViTConfig"]

NORM_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class SamViTConfig:
    """SAM's ViT encoder; `global_layers` attend to the whole grid.

    Its position embeddings hold for one image size, 1024 in the published files.  `inner_dims` and `mlp_dims`
    are the widths inside attention and MLP of each block where they are not `embed_dim` and
    `embed_dim` · `mlp_ratio`.
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    mlp_ratio: float = 4.0
    stride: int = 16
    inner_dims: tuple[int, ...] = ()
    mlp_dims: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("inner_dims", "mlp_dims"):
            if len(getattr(self, name)) not in (0, self.depth):
                raise UsageError(
                    f"SamViTConfig: {name} has an entry for each of {self.depth} blocks, or none"
                )
        for block in range(self.depth):
            if self.inner_dim(block) % self.num_heads:
                raise UsageError(
                    f"SamViTConfig: {self.num_heads} heads do not divide width {self.inner_dim(block)}"
                )

    def inner_dim(self, block: int) -> int:
        """Width of queries, keys and values of all heads of a block."""
        return self.inner_dims[block] if self.inner_dims else self.embed_dim

    def mlp_dim(self, block: int) -> int:
        """Width inside the MLP of a block."""
        return self.mlp_dims[block] if self.mlp_dims else int(self.embed_dim * self.mlp_ratio)


class PatchEmbed(nn.Module):
    """(B, 3, S, S) → (B, S/stride, S/stride, dim)."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, stride, stride=stride)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return out


def relative_table(embedding: Tensor, size: int) -> Tensor:
    """Rows of `embedding` (2·size − 1, d) for every pair of positions: (size, d, size), query first."""
    place = torch.arange(size, device=embedding.device)
    return embedding[place.unsqueeze(1) - place.unsqueeze(0) + size - 1].transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention over a square, with decomposed relative positions (arXiv 2112.01526)."""

    def __init__(self, dim: int, inner: int, num_heads: int, size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.size = size
        self.scale = (inner // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * inner)
        self.proj = nn.Linear(inner, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, inner // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, inner // num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, size², dim) → the same."""
        q, k, v = thirds(self.qkv(x))
        rows, columns = relative_table(self.rel_pos_h, self.size), relative_table(self.rel_pos_w, self.size)
        attend = partial(self.attend, rows=rows, columns=columns)
        return attended(q, k, v, self.num_heads, self.proj, attend)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, rows: Tensor, columns: Tensor) -> Tensor:
        """Queries, keys and values (n, size², d), tables (size, d, size) → (n, size², d)."""
        size, d = self.size, q.shape[2]
        grid = q.view(-1, size, size, d)
        # One product per query row, and one per query column; the table is not copied for each head.
        by_row = torch.bmm(grid.transpose(0, 1).reshape(size, -1, d), rows)
        by_row = by_row.view(size, -1, size, size).transpose(0, 1).reshape(-1, size * size, size, 1)
        by_column = torch.bmm(grid.permute(2, 0, 1, 3).reshape(size, -1, d), columns)
        by_column = by_column.view(size, -1, size, size).permute(1, 2, 0, 3)
        by_column = by_column.reshape(-1, size * size, 1, size)
        scores = torch.bmm(q * self.scale, k.transpose(1, 2)).view(-1, size * size, size, size)
        scores = (scores + by_row + by_column).view(-1, size * size, size * size)
        return torch.bmm(torch.softmax(scores, dim=-1), v)


class FeedForward(nn.Module):
    """(..., dim) → (..., dim) with GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class Block(nn.Module):
    """Attention in windows, or over the whole grid where the block is a global layer, then the MLP."""

    def __init__(self, config: SamViTConfig, index: int, *, grid_size: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window_size = 0 if index in config.global_layers else config.window_size
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        side = self.window_size or grid_size
        self.attn = Attention(dim, config.inner_dim(index), config.num_heads, side)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = FeedForward(dim, config.mlp_dim(index))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) → the same."""
        normed = self.norm1(x)
        x = x + (self._windowed(normed) if self.window_size else self.attn(normed.flatten(1, 2)).view_as(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _windowed(self, x: Tensor) -> Tensor:
        # Zero padding comes after the norm here, unlike in TinyViT, and takes part in attention.
        batch, height, width, _ = x.shape
        side = self.window_size
        bottom, right = -height % side, -width % side
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        x = self.attn(window_partition(x, side))
        x = window_merge(x, side, batch, height + bottom, width + right)
        return x[:, :height, :width] if bottom or right else x


class SamViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/16, S/16) embedding; the weights fix S."""

    def __init__(self, config: SamViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        grid = image_size // config.stride
        self.patch_embed = PatchEmbed(config.embed_dim, config.stride)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.embed_dim))
        self.blocks = nn.ModuleList(Block(config, index, grid_size=grid) for index in range(config.depth))
        self.neck = nn.Sequential(
            nn.Conv2d(config.embed_dim, out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out


SPLIT = re.compile(r"(.*\.attn\.)q\.(weight|bias)")


def rename(state: State) -> dict[str, Tensor]:
    """Undo the key names of `transformers`, and put separate queries, keys and values together."""
    named = from_transformers(state)
    for key in [key for key in named if SPLIT.fullmatch(key)]:
        found = SPLIT.fullmatch(key)
        assert found is not None
        keys = [f"{found[1]}{name}.{found[2]}" for name in "qkv"]
        if all(other in named for other in keys):
            named[f"{found[1]}qkv.{found[2]}"] = torch.cat([named.pop(other) for other in keys])
    return named


def read(state: State) -> ReadEncoder | None:
    """Read every width from a state dict with our keys; None unless it has them all."""
    try:
        grid, dim = state[f"{PREFIX}pos_embed"].shape[2:]
        stride = state[f"{PREFIX}patch_embed.proj.weight"].shape[-1]
        depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith(f"{PREFIX}blocks."))
        blocks = [f"{PREFIX}blocks.{index}" for index in range(depth)]
        inner = tuple(state[f"{block}.attn.proj.weight"].shape[1] for block in blocks)
        mlp = tuple(state[f"{block}.mlp.lin1.weight"].shape[0] for block in blocks)
        sides = [(state[f"{block}.attn.rel_pos_h"].shape[0] + 1) // 2 for block in blocks]
        heads = inner[0] // state[f"{blocks[0]}.attn.rel_pos_h"].shape[1]
        encoder = SamViTConfig(
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            global_layers=tuple(index for index, side in enumerate(sides) if side == grid),
            window_size=next((side for side in sides if side != grid), SamViTConfig.window_size),
            stride=stride,
            inner_dims=() if set(inner) == {dim} else inner,
            mlp_dims=() if set(mlp) == {4 * dim} else mlp,
        )
        return ReadEncoder(name="sam-vit-pruned", encoder=encoder, image_size=grid * stride)
    except (KeyError, ValueError, IndexError, ZeroDivisionError, UsageError):
        return None


SAM_VIT = EncoderKind(
    name="sam_vit",
    mark=f"{PREFIX}pos_embed",
    config=SamViTConfig,
    build=SamViT,
    fixed_size=True,
    rename=rename,
    read=read,
)
