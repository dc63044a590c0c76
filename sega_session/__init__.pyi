from .errors import SegaSessionError as SegaSessionError
from .migration import from_diffusers as from_diffusers
from .models.families import as_model as as_model
from .models.loading import load_avatars as load_avatars
from .models.loading import load_pipeline as load_pipeline
from .models.presets import recommended as recommended
from .render import Render as Render
from .session import EditSession as EditSession
from .state.modes import anchored as anchored
from .state.values import Concept as Concept
from .state.values import EditState as EditState
from .state.values import Scene as Scene

__version__: str
