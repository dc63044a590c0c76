"""Carry an edit into a pipeline of diffusers that knows nothing of SEGA, with a callback.

`EditSession.sem_guidance` returns what the concepts add to the prediction at each model call. A
``callback_on_step_end`` can add the same in any pipeline with the same sampler and number of steps:
one with a ControlNet, for inpainting, or of a class that sessions do not support.

The other way round nothing is needed: `EditSession.render` calls a ``callback_on_step_end`` as
diffusers does, so one that was written for diffusers works, unless it changes the latents.
"""

import torch

from sega_session import EditSession, load_avatars


def add_guidance(guidance):
    """Return a callback that adds guidance to the predictions, for DDIM without noise (eta=0).

    Args:
        guidance: one tensor of the latents' shape per step, as `EditSession.sem_guidance` returns.
    """

    def callback(pipeline, step, timestep, tensors):
        scheduler = pipeline.scheduler
        before = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        now = scheduler.alphas_cumprod[timestep]
        after = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod
        # DDIM's step is linear in the prediction: this is the factor that it has in the result.
        factor = (1 - after).sqrt() - (after * (1 - now) / now).sqrt()
        return {"latents": tensors["latents"] + factor * guidance[step]}

    return callback


def print_step(owner, step, timestep, tensors):
    """Print the noise that is left; an example of a callback for diffusers and sessions alike."""
    print(f"{step:3}  {tensors['latents'].std():.2f}")
    return tensors


if __name__ == "__main__":
    pipeline = load_avatars()
    prompt, scale, seed = "a portrait of a person", 5, 8
    session = EditSession(pipeline, prompt, seed=seed, guidance_scale=scale)
    session.add("glasses", scale=4, threshold=0.95)
    session.render(callback_on_step_end=print_step).image.save("from_the_session.png")

    # The same image, from diffusers' own loop.
    pipeline(
        prompt,
        guidance_scale=scale,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=add_guidance(session.sem_guidance()),
    ).images[0].save("from_diffusers.png")
