from .api import backward as backward
from .api import cost as cost
from .api import fit as fit
from .api import forward as forward
from .api import init as init
from .api import plots as plots
from .api import predict as predict
from .api import run_study as run_study
from .api import tables as tables
from .api import trace as trace
from .data import load_mnist as load_mnist
from .data.dataset import Dataset as Dataset
from .exchange.reading import read_network as read_network
from .exchange.saving import save_onnx as save_onnx
from .exchange.saving import save_pytorch as save_pytorch
from .nn import model as model
from .notebook import show_progress as show_progress
from .results import weights as weights
from .results.weights import Network as Network
from .results.weights import load as load
from .study.config import Experiment as Experiment
from .study.config import Hyperparams as Hyperparams
from .study.config import Study as Study
from .study.file import load_study as load_study
from .training.records import Progress as Progress
from .training.records import RunResult as RunResult

__version__: str
