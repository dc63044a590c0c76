from .compare import CompareView as CompareView
from .concepts import ConceptList as ConceptList
from .history_view import HistoryView as HistoryView
from .panel import EditPanel as EditPanel
from .progress import Progress as Progress
from .worker import RenderWorker as RenderWorker
