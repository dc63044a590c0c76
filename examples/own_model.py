"""Edit the images of a model of your own: here one that knows nine drawings."""

import torch
from diffusers import DDIMScheduler
from PIL import Image

from sega_session import EditSession, models

Y, X = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
SHAPES = {"disc": X**2 + Y**2 < 0.4, "bar": X.abs() < 0.3, "frame": X.abs().maximum(Y.abs()) > 0.7}
NAMES = [{colour, shape} for colour in ("red", "green", "blue") for shape in SHAPES]
DRAWINGS = torch.stack(
    [rgb.view(3, 1, 1) * shape * 2 - 1 for rgb in torch.eye(3) for shape in SHAPES.values()]
)


class NineDrawings(models.DiffusionModel):
    """The ideal model of the drawings whose names fit the prompt; its latents are pixels."""

    spec = models.ModelSpec(torch.device("cpu"), torch.float32, default_size=(64, 64))
    scheduler = DDIMScheduler(clip_sample=False)

    def latents_shape(self, height, width):
        return 3, height, width

    def sampler(self, steps, height, width, eta):
        return models.SchedulerSampler(self.scheduler, steps, eta)

    def encode_prompt(self, prompt, role, scene):
        fits = [float(set(prompt.split()) <= names) for names in NAMES]
        return models.Conditioning({"fits": torch.tensor([fits])})

    def evaluate(self, requests):
        batch = models.collate(requests)
        signal = self.scheduler.alphas_cumprod[batch.timesteps.long()].view(-1, 1, 1, 1)
        off = batch.latents[:, None] - signal[:, None].sqrt() * DRAWINGS
        log_odds = off.square().sum((2, 3, 4)) / (2 * signal.flatten(1) - 2)
        shares = torch.softmax(log_odds + batch.tensors["fits"].log(), dim=1)
        mean = torch.einsum("rn,nchw->rchw", shares, DRAWINGS)
        return torch.split(
            (batch.latents - signal.sqrt() * mean) / (1 - signal).sqrt(), batch.sizes
        )

    def decode(self, latents, output_type):
        pixels = (latents * 127.5 + 127.5).clamp(0, 255).byte().permute(0, 2, 3, 1)
        return models.Decoded([Image.fromarray(one.numpy()) for one in pixels])

    def components(self):
        return {"scheduler": self.scheduler}


if __name__ == "__main__":
    session = EditSession(NineDrawings(), "disc", seed=1, guidance_scale=2)
    print(*session.render().save("disc.png"))
    session.add("blue", scale=3, threshold=0, warmup=10)
    print(*session.render().save("blue_disc.png"))
