"""The conditionings of a session's prompts and concepts, each encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ..errors import InvalidValueError
from ..models import Conditioning, DiffusionModel, check_spec, tensor_digest
from ..sega import UNCOND, condition_of, embedding_condition, prompt_condition
from ..state import EditState, Scene


class Conditionings(Mapping[str, Conditioning]):
    """Conditionings by condition: of the scene's prompts, and of every concept so far.

    Args:
        model: encodes the texts.
        scene: its prompts are encoded on construction.
    """

    def __init__(self, model: DiffusionModel, scene: Scene) -> None:
        self._model = model
        self._spec = model.spec
        self._images = len(scene.seeds)
        self._embeddings: dict[str, Tensor] = {}
        self._found = {
            UNCOND: model.encode_prompt(scene.negative_prompt, "negative"),
            prompt_condition(scene.prompt): model.encode_prompt(scene.prompt, "prompt"),
        }

    def __getitem__(self, condition: str) -> Conditioning:
        return self._found[condition]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add_embeddings(self, embeds: Tensor) -> str:
        """Keep a copy of a user's embeddings. Return their digest, a concept's ``embedding``.

        Raises:
            InvalidValueError: the shape does not fit the model or the number of images.
        """
        conditioning = self._model.encode_embeddings(embeds, self._images)
        digest = tensor_digest(embeds)
        self._keep(digest, embeds, conditioning)
        return digest

    def restore_embeddings(self, digest: str, embeds: Tensor) -> None:
        """Add embeddings from a file, under the digest that they have there."""
        self._keep(digest, embeds, self._model.encode_embeddings(embeds, self._images))

    def restore_all(self, other: Conditionings) -> None:
        """Add all conditionings and embeddings of another session with this model."""
        self._found.update(other._found)
        self._embeddings.update(other._embeddings)

    def embeddings(self, digest: str) -> Tensor:
        """Return embeddings that were added, ``(1 or images, tokens, width)``."""
        return self._embeddings[digest]

    def prepare(self, state: EditState) -> None:
        """Encode the prompts of a state's concepts that were not encoded before.

        Raises:
            InvalidValueError: a concept's embeddings were not added to this session.
            UnsupportedPipelineError: the pipeline was moved or cast since the session began.
        """
        for concept in state:
            condition = condition_of(concept)
            if condition in self._found:
                continue
            if concept.embedding is not None:
                raise InvalidValueError(
                    "state",
                    concept.name,
                    "concepts in words, or with embeddings that were added to this session",
                    "Add them with add(name=, prompt_embeds=) first.",
                )
            check_spec(self._model.spec, self._spec)
            self._found[condition] = self._model.encode_prompt(concept.prompt, "concept")

    def _keep(self, digest: str, embeds: Tensor, conditioning: Conditioning) -> None:
        rows = embeds[None] if embeds.ndim == 2 else embeds
        self._embeddings[digest] = rows.detach().to(self._spec.device, self._spec.dtype, copy=True)
        self._found[embedding_condition(digest)] = conditioning
