from .errors import SegaSessionError as SegaSessionError
from .migration import from_diffusers as from_diffusers
from .models import as_model as as_model
from .models import load_avatars as load_avatars
from .models import load_pipeline as load_pipeline
from .models import recommended as recommended
from .render import Render as Render
from .scripts import Limits as Limits
from .session import EditSession as EditSession
from .state import Concept as Concept
from .state import EditState as EditState
from .state import Scene as Scene
from .state import anchored as anchored

__version__: str
