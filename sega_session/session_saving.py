"""What a session writes to files: itself when asked, and every edit as it happens."""

from __future__ import annotations

import secrets
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, get_args

import attrs
import torch
from PIL.Image import Image

from .errors import (
    AutosaveWarning,
    InvalidValueError,
    ModelMismatchError,
    SessionFormatError,
    warn_caller,
)
from .models import Conditioning, Denoiser, denoiser_for, inputs
from .models.fingerprint import model_of
from .render import Renderer
from .saving.document import Document
from .saving.journal import Autosave, journal_of, recover
from .saving.png import Provenance, read_provenance
from .saving.session_file import Saved, Stored, read_file, record, with_recorded, write
from .scripts.operations import Include
from .scripts.script import ScriptScene
from .sega.recipe import conditioning_key, embedding_key
from .session_editing import Editing
from .state.edits import EditState, Scene


class Saving(Editing):
    """What `EditSession` knows of files."""

    def __init__(
        self,
        denoiser: Denoiser,
        scene: Scene,
        num_calls: int,
        conditionings: dict[str, Conditioning],
        renderer: Renderer,
    ) -> None:
        super().__init__(denoiser, scene, num_calls, conditionings)
        self._renderer = renderer
        # The state of the last exact render, which the approximate modes start from.
        self._before: EditState | None = None
        self._autosave: Autosave | None = None

    def save(self, path: str | Path, *, include: Include = "all") -> Saved:
        """Write the session into one safetensors file: scene, history, and what is recorded.

        The file before, if there is one, stays until the new one is complete.

        Args:
            include: "all" recorded renders of the history; "base", only the unedited picture's
                and the current one's; "state", none: they are evaluated again when needed.

        Returns:
            The file's size and what it holds; prints as one line.

        Raises:
            SessionFileError: the file cannot be written.
            UnsupportedPipelineError: the pipeline's weights are not in memory.
        """
        inputs.check_choice("include", include, get_args(Include))
        return write(Path(path), self._stored(include))

    def autosave(self, path: str | Path) -> None:
        """Keep a file up to date from now on, so that no edit is lost whatever happens.

        Every edit is appended to a journal beside the file at once; the file itself, with
        ``include="base"``, is written anew after every exact render that evaluated something.
        `recover` reads both.

        Raises:
            SessionFileError: the file cannot be written.

        Warns:
            AutosaveWarning: later, where an edit or a render could not be saved.
        """
        autosave = Autosave(Path(path), lambda: self._stored("base"))
        autosave.save()
        self._autosave = autosave

    @classmethod
    def load(
        cls,
        path: str | Path,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
    ) -> Self:
        """Go on with a saved session: same history, same place, nothing to evaluate again.

        Args:
            path: a file that `save` wrote.
            pipeline: the one that the session was made with, wherever it was loaded from.
            allow_model_mismatch: take another pipeline too; what is recorded is dropped then.
            cache_bytes, spill_bytes: as for a new session.

        Raises:
            SessionFormatError: the file holds no session, or a damaged one.
            SessionFileError: the file cannot be read.
            ModelMismatchError: the pipeline is another; the message says which part of it.

        Warns:
            AutosaveWarning: a journal beside the file has later edits; see `recover`.
        """
        if journal_of(Path(path)).exists():
            warn_caller(
                f"{path} has a journal with later edits: EditSession.recover() reads both.",
                AutosaveWarning,
            )
        session, _ = cls._of_file(
            Path(path), pipeline, allow_model_mismatch, cache_bytes, spill_bytes
        )
        return session

    @classmethod
    def recover(
        cls,
        path: str | Path,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
    ) -> Self:
        """Go on with an autosaved session: its file, and the edits that came after.

        Args: as for `load`. Raises: as `load` does.

        Warns:
            AutosaveWarning: the journal is damaged; what comes before the damage is there.
        """
        session, document = cls._of_file(
            Path(path), pipeline, allow_model_mismatch, cache_bytes, spill_bytes
        )
        session._go(recover(Path(path), document.session, session.history))
        return session

    @classmethod
    def _of_file(
        cls,
        path: Path,
        pipeline: Any,
        allow_model_mismatch: bool,
        cache_bytes: int | None,
        spill_bytes: int,
    ) -> tuple[Self, Document]:
        """The session in a file, and the file's document."""
        denoiser = denoiser_for(pipeline)
        stored = read_file(path, denoiser.device)
        document = stored.document
        same_model = check_model(document, denoiser, allow_mismatch=allow_model_mismatch)
        session = cls.of_scene(
            document.scene,
            pipeline,
            latents=stored.tensors["initial_latents"] if document.latents_given else None,
            sem_guidance=stored.tensors.get("sem_guidance"),
            cache_bytes=cache_bytes,
            spill_bytes=spill_bytes,
            batch_plan=document.batch_plan,
        )
        session._restore(stored, same_model=same_model)
        return session, document

    @classmethod
    def from_image(
        cls,
        image: str | Path | Image,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        **arguments: Any,
    ) -> Self:
        """Go on from a picture that `Render.save` wrote: its scene, and its concepts as one entry.

        Args:
            image: a PNG file, or an image opened from one. Of a batch, any; all are drawn again.
            pipeline: the one that the picture was made with.
            allow_model_mismatch: take another pipeline too; the picture will be another.
            arguments: `cache_bytes`, `spill_bytes` and `batch_plan`, as for a new session.

        Raises:
            SessionFormatError: the image does not say what made it, or not all of it.
            SessionFileError: the file cannot be read.
            ModelMismatchError: the pipeline is another.
        """
        made, _ = read_provenance(image)
        check_carried(made)
        model = model_of(denoiser_for(pipeline))
        if made.model != model.digest and not allow_model_mismatch:
            raise ModelMismatchError(
                f"the picture was made with model {made.model[:12]} ({made.sampler}), the pipeline "
                f"is {model.digest[:12]} ({model.sampler}); allowed: the same. Load that one, or "
                "pass allow_model_mismatch=True for another picture of the same concepts."
            )
        session = cls.of_scene(made.scene, pipeline, **arguments)
        with session.transaction("from a picture"):
            session._edit(made.state)
        return session

    @classmethod
    def of_scene(cls, scene: Scene | ScriptScene, pipeline: Any, **arguments: Any) -> Self:
        """A new session of a scene; ``arguments`` are further ones of the constructor."""
        fields = {field.name: getattr(scene, field.name) for field in attrs.fields(type(scene))}
        make: Any = cls  # The constructor is `EditSession`'s.
        session: Self = make(
            pipeline, fields.pop("prompt"), seed=fields.pop("seeds"), **fields, **arguments
        )
        return session

    def another(self, scene: Scene) -> Self:
        """A new session of another scene: same pipeline, cache budgets and batch plan.

        Latents and guidance that this one was given are not taken over.
        """
        store, plan = self._renderer.store, self._renderer.batch_plan
        budgets = {"cache_bytes": store.max_bytes, "spill_bytes": store.spill_bytes}
        return self.of_scene(scene, self.pipeline, batch_plan=plan, **budgets)

    def _changed(self) -> None:
        if self._autosave is not None:
            self._autosave.note(self._history)

    def _quiet(self) -> None:
        """Called when there is something new to keep and time to write it."""
        half_done = self._group is not None and self._group.label is not None
        if self._autosave is not None and not half_done:
            self._autosave.refresh()

    def _stored(self, include: Include) -> Stored:
        """The session as it goes into a file."""
        history, renderer = self._history, self._renderer
        concepts = {concept for entry in history for concept in entry.state}
        embeddings = {
            concept.embedding: self._conditionings[conditioning_key(concept)].prompt_embeds
            for concept in concepts
            if concept.embedding is not None
        }
        tensors = {"initial_latents": renderer.initial_latents()}
        tensors |= {f"embedding.{digest}": embeds for digest, embeds in embeddings.items()}
        guidance = renderer.branches.sem_guidance
        if guidance is not None:
            tensors["sem_guidance"] = guidance
        document = Document(
            session=secrets.token_hex(8),
            scene=self.scene,
            latents_shape=tuple(tensors["initial_latents"].shape),
            calls=self.num_calls,
            batch_plan=renderer.batch_plan,
            latents_given=renderer.noise is not None,
            guidance_calls=0 if guidance is None else len(guidance),
            embeddings={digest: tuple(embeds.shape) for digest, embeds in embeddings.items()},
            model=model_of(self._denoiser),
            versions=versions(),
            history=history,
            start=next((e.id for e in reversed(history.entries) if e.state == self._before), None),
        )
        return with_recorded(Stored(document, tensors), renderer.store, renderer.branches, include)

    def _restore(self, stored: Stored, *, same_model: bool) -> None:
        """Take over a stored session's history, and what is recorded if the model is the same."""
        document = stored.document
        for digest in document.embeddings:
            self._conditionings[embedding_key(digest)] = self._denoiser.condition(
                stored.tensors[f"embedding.{digest}"], len(self.scene.seeds)
            )
        self._prepare(document.history.state)
        self._history = document.history
        if not same_model:
            return
        # Another release of torch may draw other noise from a seed: what was recorded counts.
        if not torch.equal(self._renderer.initial_latents(), stored.tensors["initial_latents"]):
            self._renderer.noise = stored.tensors["initial_latents"]
        record(stored, self._renderer.store)
        if document.start is not None:
            self._before = document.history[document.start].state


@cache
def versions() -> dict[str, str]:
    """Of the packages that pictures depend on."""
    packages = ("sega-session", "torch", "diffusers", "transformers")
    return {package: version(package) for package in packages}


def check_model(document: Document, denoiser: Denoiser, *, allow_mismatch: bool) -> bool:
    """Whether a pipeline is the one that a session was made with.

    Raises:
        ModelMismatchError: it is not, and this is not allowed.
        SessionFormatError: it is, and the document does not fit it.
    """
    there, here = document.model, model_of(denoiser)
    if here == there:
        scene = document.scene
        try:
            shape = (len(scene.seeds), *denoiser.latents_shape(scene.height, scene.width))
            calls = len(denoiser.fresh_scheduler(scene.num_inference_steps).timesteps)
        except InvalidValueError as error:
            raise SessionFormatError(f"the file's scene is damaged: {error}") from None
        if (shape, calls) != (document.latents_shape, document.calls):
            raise SessionFormatError(
                f"the file has {document.calls} calls of latents {document.latents_shape}; its "
                f"scene has {calls} of {shape}. The file is damaged."
            )
        return True
    if allow_mismatch:
        return False
    names = sorted({*there.components, *here.components})
    other = [n for n in names if there.components.get(n) != here.components.get(n)]
    other += ["precision"] if there.dtype != here.dtype else []
    raise ModelMismatchError(
        f"the session was made with model {there.digest[:12]} ({there.sampler}, {there.dtype}), "
        f"the pipeline is {here.digest[:12]} ({here.sampler}, {here.dtype}); allowed: the same. "
        f"What differs: {', '.join(other)}. Load that pipeline, or pass allow_model_mismatch=True "
        "to keep the history and evaluate everything again."
    )


def check_carried(made: Provenance) -> None:
    """Raise SessionFormatError where a picture cannot hold all that made it."""
    missing = [*made.given, *(c.name for c in made.state if c.embedding is not None)]
    if missing:
        raise SessionFormatError(
            f"the picture was made with tensors that it does not carry: {', '.join(missing)}. Save "
            "and load the session's file instead."
        )
