"""The edits of a session: each turns its current state into the next."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .errors import InvalidValueError, NoEffectWarning, warn_caller
from .models import Conditioning, Denoiser, inputs
from .sega.recipe import conditioning_key
from .state import Concept, EditState, Scene, edits
from .state.timeline import Timeline


class Editing(Timeline):
    """What `EditSession` knows of its concepts, and the edits on them.

    A refused edit leaves everything as it was.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scene: Scene,
        num_calls: int,
        conditionings: dict[str, Conditioning],
    ) -> None:
        super().__init__()
        self._denoiser = denoiser
        self._device_and_dtype = (denoiser.device, denoiser.dtype)
        self._scene = scene
        self._num_calls = num_calls
        self._conditionings = conditionings

    @property
    def pipeline(self) -> Any:
        """The pipeline that the session was given."""
        return self._denoiser.pipeline

    @property
    def scene(self) -> Scene:
        """What is fixed for the session."""
        return self._scene

    @property
    def num_calls(self) -> int:
        """Model calls of a render; warm-up and cool-down count these.

        Some schedulers (PNDM, Heun) call the model more often than `num_inference_steps`.
        """
        return self._num_calls

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts, in the order they were added."""
        return self.state.concepts

    def __repr__(self) -> str:
        names = ", ".join(concept.name for concept in self.concepts) or "none"
        kind = type(self).__name__
        return f"<{kind} {self.scene.prompt!r}, seeds {self.scene.seeds}, concepts: {names}>"

    def add(
        self,
        prompt: str = "",
        name: str | None = None,
        scale: float = 5.0,
        threshold: float = 0.9,
        warmup: int = 10,
        cooldown: int | None = None,
        weight: float = 1.0,
        inverted: bool = False,
        *,
        prompt_embeds: Tensor | None = None,
    ) -> None:
        """Add a concept; the ranges are those of `Concept`.

        Args:
            prompt: the concept in words. With ``prompt_embeds`` it is only a label.
            name: how to refer to the concept; None: its prompt.
            scale: strength of the direction, >= 0.
            threshold: share of latent entries left alone, 0 <= threshold < 1.
            warmup: first model call at which it is applied.
            cooldown: first model call at which it is no longer applied; None: never.
            weight: share among several concepts, >= 0.
            inverted: steer away from the concept.
            prompt_embeds: the text encoder's output instead of words, ``(tokens, width)``,
                ``(1, tokens, width)``, or ``(seeds, tokens, width)`` for one a seed in order.

        Raises:
            DuplicateConceptError: the name is taken.
            InvalidValueError: a value is outside its range.

        Warns:
            PromptTruncatedWarning: the end of the prompt does not fit the text encoder.
            NoEffectWarning: the warm-up outlasts the render.
        """
        conditioning, digest = None, None
        if prompt_embeds is not None:
            conditioning = self._denoiser.condition(prompt_embeds, len(self.scene.seeds))
            digest = inputs.digest(prompt_embeds)
            if not prompt and name is None:
                raise InvalidValueError(
                    "name", name, "text, not empty", "Embeddings need one: pass name=."
                )
        elif not isinstance(prompt, str) or not prompt.strip():
            raise InvalidValueError("prompt", prompt, "text, not empty", "Or pass prompt_embeds=.")
        concept = Concept(
            name=prompt if name is None else name,
            prompt=prompt,
            embedding=digest,
            scale=scale,
            threshold=threshold,
            warmup=warmup,
            cooldown=cooldown,
            weight=weight,
            inverted=inverted,
        )
        state = edits.add(self.state, concept)
        if conditioning is not None:
            self._conditionings[conditioning_key(concept)] = conditioning
        self._edit(state)

    def remove(self, name: str) -> None:
        """Take a concept out. Raises UnknownConceptError."""
        self._edit(edits.remove(self.state, name))

    def reweight(
        self, name: str, *, scale: float | None = None, weight: float | None = None
    ) -> None:
        """Change a concept's scale, its weight, or both; None keeps what is set.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: a value is outside its range.
        """
        given = {"scale": scale, "weight": weight}
        self.update(name, **{field: value for field, value in given.items() if value is not None})

    def invert(self, name: str) -> None:
        """Turn a concept's direction around. Raises UnknownConceptError."""
        self.update(name, inverted=not self.state.concept(name).inverted)

    def enable(self, name: str) -> None:
        """Let a muted concept act again. Raises UnknownConceptError."""
        self.update(name, enabled=True)

    def disable(self, name: str) -> None:
        """Mute a concept, as if removed, and keep its settings. Raises UnknownConceptError."""
        self.update(name, enabled=False)

    def update(self, name: str, /, **fields: Any) -> None:
        """Change any of a concept's fields (see `Concept`), its name and prompt included.

        Raises:
            UnknownConceptError: no concept has this name.
            DuplicateConceptError: the new name is taken.
            InvalidValueError: an unknown field, or a value outside its range.
        """
        self._edit(edits.update(self.state, name, **fields))

    def momentum(self, *, scale: float | None = None, beta: float | None = None) -> None:
        """Set momentum's scale (0 to 1, 0 is off), its decay beta (0 <= beta < 1), or both.

        A new session has diffusers' values, 0.1 and 0.4. With momentum on, concepts are evaluated
        during their warm-up too, because momentum builds up there.

        Raises:
            InvalidValueError: a value is outside its range.
        """
        self._edit(edits.momentum(self.state, scale=scale, beta=beta))

    def _edit(self, state: EditState) -> None:
        """Adopt ``state`` once everything it needs is at hand; until then nothing has changed."""
        self._prepare(state)
        for concept in state:
            if concept.warmup >= self.num_calls and concept not in self.concepts:
                warn_caller(
                    f"{concept.name!r} has no effect: warmup is {concept.warmup}, and a render "
                    f"has only {self.num_calls} model calls. Lower warmup.",
                    NoEffectWarning,
                )
        self._commit(state)

    def _other(self, state: EditState) -> EditState:
        """A state that was handed in, ready to be drawn. Raises InvalidValueError."""
        if not isinstance(state, EditState):
            raise InvalidValueError("state", state, "an EditState, such as one of the history's")
        for concept in state:
            if concept.embedding and conditioning_key(concept) not in self._conditionings:
                raise InvalidValueError(
                    "state",
                    concept.name,
                    "concepts in words, or with embeddings that were added to this session",
                    "Add them with add(name=, prompt_embeds=) first.",
                )
        self._prepare(state)
        return state

    def _prepare(self, state: EditState) -> None:
        """Encode what a state's concepts say."""
        for concept in state:
            if conditioning_key(concept) not in self._conditionings:
                self._check_unmoved()
                self._conditionings[conditioning_key(concept)] = self._denoiser.encode(
                    concept.prompt
                )

    def _check_unmoved(self) -> None:
        """Raise UnsupportedPipelineError unless the pipeline is where the session began."""
        inputs.check_unmoved(self._denoiser, *self._device_and_dtype)
