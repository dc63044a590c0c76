from .edits import SceneSettings as SceneSettings
from .edits import SweepEdit as SweepEdit
from .run import SweepResult as SweepResult
from .run import finished_images as finished_images
from .run import run_sweep as run_sweep
from .sweep import Sweep as Sweep
from .units import Unit as Unit
from .units import UnitResult as UnitResult
