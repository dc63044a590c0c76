"""Model families behind one seam: everything that knows diffusers' pipelines and schedulers.

A family is one small file that implements `DiffusionModel`; a scheduler is driven through a
`Sampler`. `as_model` turns a pipeline into a `DiffusionModel`, and ``as_model.register`` adds a
family of your own. Other packages import from here only. Nothing here knows sessions.
"""

import lazy_loader

# Importing torch and diffusers takes seconds, and reading files needs neither.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
