"""The conditionings of a session's prompts and concepts, each encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch

from ..errors import InvalidValueError
from ..models import Conditioning, DiffusionModel, Embeddings, check_spec, copy_tensors, digest_of
from ..sega import (
    UNCOND,
    condition_of,
    embedding_condition,
    prompt_condition,
    text_condition,
)
from ..state import EditState, Scene


class Conditionings(Mapping[str, Conditioning]):
    """Conditionings by condition: of the scene's prompts, and of every concept so far.

    Args:
        model: encodes the texts.
        scene: its prompts are encoded on construction.
        embeddings: those that the scene names, by digest.
    """

    def __init__(
        self,
        model: DiffusionModel,
        scene: Scene,
        embeddings: Mapping[str, Embeddings] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._spec = model.spec
        self._scene = scene
        self._embeddings: dict[str, Embeddings] = {}
        self._found: dict[str, Conditioning] = {}
        for digest, given in embeddings.items():
            self.restore_embeddings(digest, given)
        if not self._spec.distilled:
            self._found[UNCOND] = (
                model.encode_prompt(scene.negative_prompt, "negative", scene)
                if scene.negative_embedding is None
                else self._found[embedding_condition(scene.negative_embedding)]
            )
        # The context of a distilled model's concepts is in words in any case.
        if scene.prompt_embedding is None or self._spec.distilled:
            encoded = model.encode_prompt(scene.prompt, "prompt", scene)
            self._found[prompt_condition(scene.prompt)] = encoded

    def __getitem__(self, condition: str) -> Conditioning:
        return self._found[condition]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_unprompted(self) -> bool:
        """True if the prompt's conditioning is the unconditional one, to the bit."""
        scene = self._scene
        uncond, text = self._found.get(UNCOND), self._found.get(text_condition(scene))
        if uncond is None or text is None or scene.prompt != scene.negative_prompt:
            return False
        return uncond.tensors.keys() == text.tensors.keys() and all(
            torch.equal(tensor, text.tensors[name]) for name, tensor in uncond.tensors.items()
        )

    def add_embeddings(self, embeddings: Embeddings) -> str:
        """Keep a copy of a user's embeddings. Return their digest, a concept's ``embedding``.

        Raises:
            InvalidValueError: the shapes do not fit the model or the number of images.
        """
        digest = digest_of(embeddings, self._spec)
        self.restore_embeddings(digest, embeddings)
        return digest

    def restore_embeddings(self, digest: str, embeddings: Embeddings) -> None:
        """Add embeddings from a file, under the digest that they have there."""
        conditioning = self._model.encode_embeddings(embeddings, self._scene)
        self._embeddings[digest] = copy_tensors(embeddings, self._spec)
        self._found[embedding_condition(digest)] = conditioning

    def restore_all(self, other: Conditionings) -> None:
        """Add all conditionings and embeddings of another session with this model."""
        self._found.update(other._found)
        self._embeddings.update(other._embeddings)

    def embeddings(self, digest: str) -> Embeddings:
        """Return embeddings that were added, with one row or one per image."""
        return self._embeddings[digest]

    def prepare(self, state: EditState) -> None:
        """Encode the prompts of a state's concepts that were not encoded before.

        Raises:
            InvalidValueError: a concept's embeddings were not added to this session.
            UnsupportedPipelineError: the pipeline was moved or cast since the session began.
        """
        for concept in state:
            if concept.embedding is None:
                self._prepare_text(concept.prompt)
            elif condition_of(concept) not in self._found:
                raise InvalidValueError(
                    "state",
                    concept.name,
                    "concepts in words, or with embeddings that were added to this session",
                    "Add them with add(name=, prompt_embeds=) first.",
                )
            if concept.opposite is not None:
                self._prepare_text(concept.opposite)

    def _prepare_text(self, text: str) -> None:
        """Encode the text of a concept, unless it was encoded before."""
        condition = prompt_condition(text)
        if condition in self._found:
            return
        check_spec(self._model.spec, self._spec)
        context = self._scene.prompt if self._spec.distilled else ""
        in_context = f"{context}, {text}" if context else text
        self._found[condition] = self._model.encode_prompt(in_context, "concept", self._scene)
