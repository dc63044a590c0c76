"""The content of a session's file: its document and its tensors."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version

import torch
from attrs import evolve, frozen
from torch import Tensor

from ..engine import Inversion, Photograph, Renderer
from ..errors import InvalidValueError, ModelMismatchError, SessionFormatError
from ..models import DiffusionModel, Embeddings, ModelSpec, draw_noise, identify
from ..sega import LATENTS, Guider, Key, Trajectory
from ..state import EditState, History, Include, Pixels, Scene, first_call
from .document import (
    INITIAL_LATENTS,
    PHOTOGRAPH,
    PHOTOGRAPH_LATENTS,
    PHOTOGRAPH_RESIDUALS,
    POOLED,
    SEM_GUIDANCE,
    Document,
    Predictions,
    Recorded,
    embedding_name,
    latents_name,
    mask_name,
    named_embeddings,
    named_masks,
    prediction_name,
)
from .pixels import deflate_pixels, inflate_mask, inflate_photograph


@frozen(eq=False)
class Snapshot:
    """The content of a session's file, to be written or just read.

    Attributes:
        document: everything but the tensors.
        tensors: by their names in the file, each in parts that join along the first dimension.
            Parts are written one by one, so a file is never built in memory.
    """

    document: Document
    tensors: Mapping[str, tuple[Tensor, ...]]

    def embeddings(self, digest: str) -> Embeddings:
        """Return the embeddings that have a digest."""
        pooled = embedding_name(digest + POOLED)
        return Embeddings(
            self.tensor(embedding_name(digest)),
            self.tensor(pooled) if pooled in self.tensors else None,
        )

    def mask(self, digest: str) -> Pixels:
        """Return the pixels of a mask. Raises SessionFormatError."""
        _, *sizes = self.document.masks[digest]
        packed = self.tensor(mask_name(digest)).cpu().numpy().tobytes()
        return inflate_mask(packed, digest, sizes)

    @property
    def photograph(self) -> Photograph | None:
        """The photographs and their inversion; None: there are none.

        Raises:
            SessionFormatError: their pixels are damaged.
        """
        scene = self.document.scene
        if scene.photograph is None:
            return None
        packed = self.tensor(PHOTOGRAPH).cpu().numpy().tobytes()
        pixels = inflate_photograph(packed, scene.photograph, self.document.photograph[1:])
        names = self.trajectory(EditState()).names
        latents, residuals = self.tensor(PHOTOGRAPH_LATENTS), self.tensor(PHOTOGRAPH_RESIDUALS)
        return Photograph(pixels, Inversion(names, latents, residuals))

    def trajectory(self, state: EditState) -> Trajectory:
        """Return the trajectory of one of the history's states."""
        scene, calls = self.document.scene, self.document.calls
        return Trajectory.of(state, calls, first_call(scene, calls))

    def tensor(self, name: str) -> Tensor:
        """Return a whole tensor by its name in the file."""
        parts = self.tensors[name]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def take_snapshot(
    scene: Scene,
    history: History,
    renderer: Renderer,
    reference: EditState | None,
    include: Include,
) -> Snapshot:
    """Return the content of a session's file.

    Args:
        reference: the state that estimates start from.
        include: which recorded renders the snapshot holds.
    """
    guidance = renderer.guider.sem_guidance
    tensors = {INITIAL_LATENTS: (renderer.initial_noise(),)}
    if guidance is not None:
        tensors[SEM_GUIDANCE] = (guidance,)
    embeddings: dict[str, Tensor] = {}
    for digest in named_embeddings(scene, history):
        found = renderer.conditionings.embeddings(digest)
        embeddings[digest] = found.prompt_embeds
        if found.pooled_prompt_embeds is not None:
            embeddings[digest + POOLED] = found.pooled_prompt_embeds
    tensors |= {embedding_name(digest): (embeds,) for digest, embeds in embeddings.items()}
    masks = {}
    for digest in named_masks(history):
        pixels = renderer.masks.pixels(digest)
        tensors[mask_name(digest)] = (_deflated(pixels),)
        masks[digest] = (len(tensors[mask_name(digest)][0]), *pixels.shape)
    sizes: tuple[int, ...] = ()
    photograph = renderer.photograph
    if photograph is not None and photograph.inversion is not None:
        tensors[PHOTOGRAPH] = (_deflated(photograph.pixels),)
        tensors[PHOTOGRAPH_LATENTS] = (photograph.inversion.latents,)
        tensors[PHOTOGRAPH_RESIDUALS] = (photograph.inversion.residuals,)
        sizes = (len(tensors[PHOTOGRAPH][0]), *photograph.pixels.shape)
    document = Document(
        session=secrets.token_hex(8),
        scene=scene,
        latents_shape=renderer.shape,
        calls=renderer.calls,
        batch_plan=renderer.batch_plan,
        latents_given=renderer.noise is not None,
        guidance_calls=0 if guidance is None else len(guidance),
        embeddings={digest: tuple(embeds.shape) for digest, embeds in embeddings.items()},
        masks=masks,
        photograph=sizes,
        model=identify(renderer.model),
        versions=package_versions(),
        history=history,
        start=next((one.id for one in reversed(history.entries) if one.state == reference), None),
    )
    return with_recorded(Snapshot(document, tensors), renderer, include)


def given_noise(snapshot: Snapshot, spec: ModelSpec, *, same_model: bool) -> Tensor | None:
    """Return the initial noise that a session must be given; None: its seeds give the same.

    Another release of torch may draw other noise from a seed; the file's noise is used then.
    """
    document, noise = snapshot.document, snapshot.tensor(INITIAL_LATENTS)
    if document.latents_given:
        return noise
    if not same_model:
        return None
    images, channels, height, width = document.latents_shape
    drawn = draw_noise(spec, document.scene.seeds, (images, channels, height, width))
    return None if torch.equal(drawn, noise) else noise


def with_recorded(snapshot: Snapshot, renderer: Renderer, include: Include) -> Snapshot:
    """Return a snapshot with the recorded renders that ``include`` asks for.

    Tensors that two renders share are stored once, with the earlier entry.
    """
    document, tensors = snapshot.document, dict(snapshot.tensors)
    numbers: dict[str, int] = {}
    recorded = []
    seen: set[Key] = set()
    for entry in _entries(document, include):
        # Names of trajectories take long to make, and long histories have few renders.
        if document.history[entry].state not in renderer.rendered:
            continue
        trajectory = snapshot.trajectory(document.history[entry].state)
        if trajectory.final in seen or trajectory.final not in renderer.store:
            continue
        found = _recorded_rows(trajectory, renderer, seen)
        latents = found.pop(LATENTS, {})
        if latents:
            tensors[latents_name(entry)] = tuple(latents.values())
        predictions = []
        for condition, rows in found.items():
            number = numbers.setdefault(condition, len(numbers))
            tensors[prediction_name(entry, number)] = tuple(rows.values())
            predictions.append(Predictions(number, tuple(rows)))
        recorded.append(Recorded(entry, tuple(latents), tuple(predictions)))
    document = evolve(document, conditions=tuple(numbers), recorded=tuple(recorded))
    return Snapshot(document, tensors)


def restore_recorded(snapshot: Snapshot, renderer: Renderer) -> None:
    """Put recorded renders into the store, the current one last, so that it is evicted last."""
    document, store = snapshot.document, renderer.store
    base = snapshot.trajectory(EditState()).names[-1]
    current = document.history.current
    kept: list[Key] = []
    for render in sorted(document.recorded, key=lambda one: one.entry == current):
        state = document.history[render.entry].state
        renderer.rendered.add(state)
        trajectory = snapshot.trajectory(state)
        with store.record(trajectory.names[-1], kept) as recorder:
            for condition, name, calls in _runs(document, render):
                for row, call in enumerate(calls):
                    tensor = snapshot.tensor(name)[row]
                    recorder.put(Key(trajectory.names[call], condition), tensor)
            if trajectory.names[-1] == base:
                kept = list(recorder.keys())


def is_same_model(document: Document, model: DiffusionModel, *, allow_mismatch: bool) -> bool:
    """Return whether a model is the one that a session was made with.

    Raises:
        ModelMismatchError: it is not, and a mismatch is not allowed.
        SessionFormatError: it is, and the document does not fit it.
    """
    there, here = document.model, identify(model)
    if here == there:
        _check_fits(document, model)
        return True
    if allow_mismatch:
        return False
    names = sorted({*there.components, *here.components})
    other = [n for n in names if there.components.get(n) != here.components.get(n)]
    other += ["precision"] if there.dtype != here.dtype else []
    if not other:  # a file's digests say the same, and its words do not
        other = ["sampler" if there.sampler != here.sampler else "digest"]
    raise ModelMismatchError(
        f"the session was made with model {there.digest[:12]} ({there.sampler}, {there.dtype}), "
        f"the pipeline is {here.digest[:12]} ({here.sampler}, {here.dtype}); allowed: the same. "
        f"What differs: {', '.join(other)}.",
        "Load that pipeline, or pass allow_model_mismatch=True to keep the history and evaluate "
        "everything again.",
    )


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that images depend on."""
    packages = ("sega-session", "torch", "diffusers", "transformers")
    return {package: version(package) for package in packages}


def _check_fits(document: Document, model: DiffusionModel) -> None:
    """Raise SessionFormatError unless a document's shapes are those of its scene."""
    scene = document.scene
    try:
        shape = (len(scene.seeds), *model.latents_shape(scene.height, scene.width))
        steps = scene.num_inference_steps
        calls = model.sampler(steps, scene.height, scene.width, eta=0.0).calls
    except InvalidValueError as error:
        raise SessionFormatError(f"the file's scene is damaged: {error}") from None
    if (shape, calls) != (document.latents_shape, document.calls):
        raise SessionFormatError(
            f"the file has {document.calls} calls of latents {document.latents_shape}; its "
            f"scene has {calls} of {shape}. The file is damaged."
        )


def _deflated(pixels: Pixels) -> Tensor:
    return torch.frombuffer(bytearray(deflate_pixels(pixels)), dtype=torch.uint8)


def _entries(document: Document, include: Include) -> tuple[int, ...]:
    """Return the history's entries whose renders go into a file."""
    if include == "state":
        return ()
    if include == "base":
        return tuple(dict.fromkeys((0, document.history.current)))
    return tuple(range(len(document.history)))


def _recorded_rows(
    trajectory: Trajectory, renderer: Renderer, seen: set[Key]
) -> dict[str, dict[int, Tensor]]:
    """Return a render's recorded tensors that were not seen before, by condition and call."""
    found: dict[str, dict[int, Tensor]] = {}
    for condition, calls in _wanted(trajectory, renderer.guider).items():
        for call in calls:
            key = Key(trajectory.names[call], condition)
            tensor = None if key in seen else renderer.store.peek(key)
            if tensor is not None:
                seen.add(key)
                found.setdefault(condition, {})[call] = tensor[None]
    return found


def _wanted(trajectory: Trajectory, guider: Guider) -> dict[str, list[int]]:
    """Return the calls at which a render has latents, and predictions of each condition."""
    wanted = {LATENTS: list(range(trajectory.calls + 1))}
    for call, step in enumerate(trajectory.recipe.steps):
        for condition in guider.needed(step):
            wanted.setdefault(condition, []).append(call)
    return wanted


def _runs(document: Document, render: Recorded) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield a recorded render's tensors: condition, name in the file, and its rows' calls."""
    yield LATENTS, latents_name(render.entry), render.latents
    for one in render.predictions:
        name = prediction_name(render.entry, one.condition)
        yield document.conditions[one.condition], name, one.calls
