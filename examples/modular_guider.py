"""SEGA in diffusers' Modular pipelines: a guider that adds what concepts add, without a session.

A Modular pipeline asks its guider which inputs to evaluate at each step, and for the prediction
that follows. This one adds the recipe of an `EditState` to classifier-free guidance. It records
nothing: use it where a workflow of blocks (ControlNet, inpainting) needs a fixed edit. It is for
blocks that pass "prompt_embeds" and "text_embeds" to their guider, as those of Stable Diffusion XL
do, and for samplers with one model call a step.

diffusers calls its guiders experimental.
"""

from diffusers import ClassifierFreeGuidance
from diffusers.modular_pipelines.stable_diffusion_xl.encoders import (
    StableDiffusionXLTextEncoderStep,
)

from sega_session import EditState, Scene
from sega_session.sega import UNCOND, Guider, Trajectory, prompt_condition, semantic_guidance


class SemanticGuidance(ClassifierFreeGuidance):
    """Classifier-free guidance and SEGA's.

    Args:
        state: the concepts, given by their prompts, and the momentum.
        encode: returns the inputs of a text: a dict with its "prompt_embeds" and "text_embeds".
        guidance_scale: of the prompt.
    """

    def __init__(self, state, encode, guidance_scale=7.5):
        texts = {one.prompt for one in state} | {one.opposite for one in state if one.opposite}
        self._inputs = {prompt_condition(text): encode(text) for text in sorted(texts)}
        self._state = state
        # The prompt itself is in the blocks; here it is only told apart from the concepts.
        self._guider = Guider(Scene(prompt="", height=8, width=8))
        super().__init__(guidance_scale=guidance_scale)

    @property
    def num_conditions(self):
        return 2 + len(self._inputs)

    def set_state(self, step, num_inference_steps, timestep):
        super().set_state(step, num_inference_steps, timestep)
        if step == 0:
            recipe = Trajectory.of(self._state, num_inference_steps).recipe
            found = (self._found for _ in recipe.steps)
            self._guidances = semantic_guidance(recipe, self._guider, found)

    def prepare_inputs(self, data):
        rows = len(data["prompt_embeds"][0])
        concepts = [
            self._prepare_batch(
                data | {name: tensor.repeat_interleave(rows, 0) for name, tensor in inputs.items()},
                0,
                condition,
            )
            for condition, inputs in self._inputs.items()
        ]
        return super().prepare_inputs(data) + concepts

    def forward(self, pred_cond, pred_uncond, **concepts):
        self._found = {self._guider.text: pred_cond, UNCOND: pred_uncond, **concepts}
        output = super().forward(pred_cond, pred_uncond)
        output.pred = output.pred + next(self._guidances)
        return output


def encoder(pipeline):
    """Return a function that encodes a text for `SemanticGuidance` with SDXL's text encoders."""

    def encode(text):
        embeds, _, pooled, _ = StableDiffusionXLTextEncoderStep.encode_prompt(
            pipeline, text, device=pipeline.unet.device, prepare_unconditional_embeds=False
        )
        return {"prompt_embeds": embeds, "text_embeds": pooled}

    return encode


if __name__ == "__main__":
    import torch
    from diffusers import ModularPipeline

    from sega_session import Concept

    pipeline = ModularPipeline.from_pretrained("stabilityai/stable-diffusion-xl-base-1.0")
    pipeline.load_components(torch_dtype=torch.float16)
    pipeline.to("cuda")
    glasses = Concept(name="glasses", prompt="glasses", scale=5, threshold=0.95, warmup=10)
    guider = SemanticGuidance(EditState(concepts=(glasses,)), encoder(pipeline))
    pipeline.update_components(guider=guider)
    image = pipeline(prompt="a photo of the face of a woman", output="images")[0]
    image.save("with_glasses.png")
