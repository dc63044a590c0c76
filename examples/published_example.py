"""The example that diffusers publishes for SEGA, on the embedded checkpoint.

Add four concepts at once, with the published scales, thresholds, warm-up and momentum. Only the
import and the name of the call differ from code for `SemanticStableDiffusionPipeline`. The result
is a session, so the second image reuses the predictions of the first.
"""

import sys
from pathlib import Path

import torch

from sega_session import from_diffusers, load_avatars

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
out.mkdir(parents=True, exist_ok=True)

session = from_diffusers(
    load_avatars(),
    prompt="a photo of the face of a woman",
    num_images_per_prompt=1,
    guidance_scale=7,
    generator=torch.Generator().manual_seed(21),
    editing_prompt=[
        "smiling, smile",
        "glasses, wearing glasses",
        "curls, wavy hair, curly hair",
        "beard, full beard, mustache",
    ],
    reverse_editing_direction=[False, False, False, False],
    edit_warmup_steps=[10, 10, 10, 10],
    edit_guidance_scale=[4, 5, 5, 5.4],
    edit_threshold=[0.99, 0.975, 0.925, 0.96],
    edit_momentum_scale=0.3,
    edit_mom_beta=0.6,
    edit_weights=[1, 1, 1, 1, 1],
)
edited = session.render()
edited.image.save(out / "four_concepts.png")
print(f"four concepts: {edited.evaluations} evaluations")

session.disable("beard, full beard, mustache")
without_beard = session.render()
without_beard.image.save(out / "without_beard.png")
print(f"without the beard: {without_beard.evaluations} evaluations")
