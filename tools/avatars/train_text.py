"""Build the tokenizer and pre-train the text encoder to read captions.

A text encoder that is trained only together with a UNet of this size learns almost nothing: the
UNet learns to denoise without it. So the encoder first learns to predict the attributes of a
portrait from its caption.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
from attributes import ATTRIBUTES, HIDDEN, NAMES, from_labels
from captions import describe
from data import SHARD
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from training import Run, load_averaged, parser, prepare
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

BATCH = 128
MAX_TOKENS = 40
MERGES = 400
"""Enough for every word of the captions to be one token."""

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def captions_for(labels: NDArray[np.int8], rng: np.random.Generator) -> list[str]:
    """Sample a caption for each row of labels: (count, attributes) -> count strings."""
    return [describe(from_labels(row), rng) for row in labels]


def build_tokenizer(captions: list[str]) -> CLIPTokenizer:
    """Learn byte-pair merges from `captions`; all bytes stay representable."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + MERGES,
        initial_alphabet=alphabet,
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    words = (re.sub(r"[^a-z]+", " ", text) for text in captions)
    learner.train_from_iterator(words, trainer)
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    tokens = alphabet + [symbol + _WORD_END for symbol in alphabet]
    tokens += ["".join(merge) for merge in merges] + [_START, _END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Return token ids padded as Stable Diffusion pads them: int64 (count, MAX_TOKENS)."""
    encoded = tokenizer(
        captions,
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        return_tensors="pt",
    )
    ids: torch.Tensor = encoded.input_ids
    return ids


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        projection_dim=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class AttributeHead(nn.Module):
    """A classifier of all attributes from one hidden state; "not visible" is a value of each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes = [len(attribute.values) + 1 for attribute in ATTRIBUTES]
        self.linear = nn.Linear(width, sum(self.sizes))

    def loss(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of (batch, width) and labels int64 (batch, attributes)."""
        logits = self.linear(hidden).split(self.sizes, dim=1)
        losses = [
            # Label -1, "not visible", becomes the last class.
            functional.cross_entropy(logit, labels[:, index] % size)
            for index, (logit, size) in enumerate(zip(logits, self.sizes, strict=True))
        ]
        return torch.stack(losses).mean()

    def probability(self, hidden: torch.Tensor, name: str, values: tuple[str, ...]) -> torch.Tensor:
        """Return the probability that an attribute has one of these values: float (batch,)."""
        index = NAMES.index(name)
        known = ATTRIBUTES[index].values
        logits: torch.Tensor = self.linear(hidden).split(self.sizes, dim=1)[index]
        return logits.softmax(dim=1)[:, [known.index(value) for value in values]].sum(dim=1)

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the most likely labels, -1 for "not visible": int64 (batch, attributes)."""
        logits = self.linear(hidden).split(self.sizes, dim=1)
        best = torch.stack([logit.argmax(dim=1) for logit in logits], dim=1)
        last = torch.tensor(self.sizes, device=best.device) - 1
        return torch.where(best == last, HIDDEN, best)


def reading_loss(
    encoder: CLIPTextModel,
    head: AttributeHead,
    tokenizer: CLIPTokenizer,
    labels: NDArray[np.int8],
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return the loss of `head` when it reads attributes from new captions of the portraits."""
    ids = tokenize(tokenizer, captions_for(labels, rng)).to(encoder.device)
    target = torch.from_numpy(labels.astype(np.int64)).to(encoder.device)
    hidden = encoder(ids).last_hidden_state
    # The UNet attends to all positions, padding included, so every position must hold the meaning.
    rows = torch.arange(len(ids), device=ids.device)
    end = (ids == tokenizer.eos_token_id).int().argmax(dim=1)
    padding = end + (torch.rand(len(ids), device=ids.device) * (MAX_TOKENS - end)).long()
    return (head.loss(hidden[rows, end], target) + head.loss(hidden[rows, padding], target)) / 2


def main() -> None:
    args = parser(__doc__.splitlines()[0], minutes=3).parse_args()
    device = prepare(args)
    all_labels: NDArray[np.int8] = np.load(args.workdir / "labels.npy")
    train, held_out = all_labels[:-SHARD], all_labels[-SHARD:]

    rng = np.random.default_rng(args.seed)
    tokenizer = build_tokenizer(captions_for(train[:20_000], rng))
    tokenizer.save_pretrained(args.workdir / "tokenizer")

    encoder = build_text_encoder(tokenizer).to(device)
    head = AttributeHead(encoder.config.hidden_size).to(device)
    groups = [{"params": [*encoder.parameters(), *head.parameters()], "lr": 2e-3}]
    run = Run("text", {"encoder": encoder, "head": head}, groups, args)

    for _ in run.steps():
        picks = run.rng.integers(len(train), size=BATCH)
        run.update({"cross-entropy": reading_loss(encoder, head, tokenizer, train[picks], run.rng)})

    with torch.no_grad():
        rng = np.random.default_rng(args.seed)
        loss = float(reading_loss(encoder, head, tokenizer, held_out, rng))
    print(f"{len(tokenizer)} tokens; held-out cross-entropy per attribute: {loss:.4f}")


def load_tokenizer(workdir: Path) -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(workdir / "tokenizer")
    return tokenizer


def load_text_encoder(path: Path, name: str, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Load the text encoder from a run's checkpoint, where it is called `name`."""
    encoder = build_text_encoder(tokenizer)
    encoder.load_state_dict(load_averaged(path, name))
    return encoder.eval()


if __name__ == "__main__":
    main()
