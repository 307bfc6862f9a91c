"""Fashion-MNIST: pictures of clothes in the form of MNIST, with their published digests.

Xiao, Rasul and Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms (2017), by Zalando SE, under the MIT licence.
"""

from pathlib import Path

from jmlp.data.files import shown
from jmlp.data.idx import read_idx_folder
from jmlp.data.mnist import MNIST
from jmlp.data.published import Arrays, Published, Say, Source

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian and Ubuntu place it

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def _read_debian(report: Say) -> tuple[Arrays, str]:
    return read_idx_folder(DEBIAN), f"Fashion-MNIST from {DEBIAN}"


def _how_by_hand() -> str:
    return (
        "By hand: place the four files of Fashion-MNIST, train-images-idx3-ubyte.gz and so on, in "
        f"{shown(FASHION_MNIST.folder)}; on Debian and Ubuntu, install the package "
        "dataset-fashion-mnist"
    )


FASHION_MNIST = Published(
    name="fashion-mnist",
    title="Fashion-MNIST",
    summary="70,000 pictures of clothes, 28 x 28",
    shapes=MNIST.shapes,
    # Of the arrays in the four files whose MD5 the authors publish (8d4fb7e6…, 25c81989…,
    # bef4ecab…, bb300cfd…).
    digests={
        "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    n_classes=len(CLASSES),
    classes=CLASSES,
    keras="fashion_mnist",
    keras_cache="fashion-mnist",
    by_hand=_how_by_hand,
    on_this_machine=(Source("Debian's package", _read_debian, lambda: DEBIAN),),
)
