"""The mistakes that people make in a network, in words, and the study that shows each of them.

A mistake is a value of one hyperparameter: of `backward_fault` and `training_fault`, whose
mathematics is in `nn.faults`, or of `initialization`. Its study trains the broken network beside
the right one, with the same seeds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from jmlp.errors import ConfigError
from jmlp.study.config import DEFAULTS, Hyperparams, Value
from jmlp.study.rules import BatchNormPlace, did_you_mean, plain

EXPERIMENT = "broken"  # the only one of such a study

# What all these studies have in common: small enough for a few seconds.
COMMON: Mapping[str, Value] = {
    "data": "digits-8x8",
    "seeds": 8,
    "epochs": 15,
    "batch_size": 32,
    "hidden": [32, 16],
    "learning_rate": 0.05,
    "patience": "none",
}


@dataclass(frozen=True)
class Checked:
    """The network on which the check of the gradient shows a mistake."""

    hidden: tuple[int, ...] = (8, 8)
    batch_norm: BatchNormPlace | None = None
    drop_rate: float = 0.0


@dataclass(frozen=True)
class Mistake:
    """A mistake, in the words that explain it."""

    name: str
    setting: str  # the hyperparameter that makes it
    what: str  # what the code does, as the end of a sentence that begins with "it"
    remedy: str
    right: str  # the equation
    wrong: str
    # Why the check of the gradient gives the pattern that it gives, or why it finds nothing.
    why: str
    checked: Checked | None = None  # None: the gradient is right, and no check of it finds anything
    training: Mapping[str, Value] = field(default_factory=dict)  # of its study, beside `COMMON`
    value: str = ""  # of the setting; empty: the name

    @property
    def setting_value(self) -> str:
        """The value of the hyperparameter that makes it."""
        return self.value or self.name


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "relu_mask",
        "backward_fault",
        "leaves out the derivative of the activation",
        "multiply dA by f'(Z): for ReLU, set it to 0 where Z <= 0",
        "dZ = dA * f'(Z)",
        "dZ = dA",
        "The output layer is right, as no activation follows it. Going backward, the first "
        "derivative that passes an activation is wrong, and with it all before it.",
        Checked(),
    ),
    Mistake(
        "batch_mean",
        "backward_fault",
        "adds up the derivatives of the examples, although the cost is their mean",
        "divide dZ of the output layer by B once",
        "dlogits = (P - T) / B",
        "dlogits = P - T",
        "Everything is computed from dlogits, so every gradient is wrong by the same factor B, the "
        "number of examples. Its direction is right (cosine 1), and the step is B times as long: a "
        "learning rate that is B times too large.",
        Checked(),
    ),
    Mistake(
        "weights_transposed",
        "backward_fault",
        "multiplies dZ by W instead of its transpose",
        "dA = W^T dZ",
        "dA = W^T dZ",
        "dA = W dZ",
        "It can be made only where W is square, as other shapes do not fit. The layer with W is "
        "right itself, and what comes before it gets a wrong dA.",
        Checked(),
        {"hidden": [32, 32]},
    ),
    Mistake(
        "bias_of_last",
        "backward_fault",
        "has the derivative of one example, the last one, as that of the biases",
        "add up dZ over all examples: db = sum of dZ along the examples",
        "db = sum of dZ over the examples",
        "db = dZ of the last example",
        "No other derivative is computed from db, so in every layer the bias alone is wrong.",
        Checked(),
    ),
    Mistake(
        "bias_mean",
        "backward_fault",
        "takes the mean of dZ for the biases, which divides by B twice",
        "dZ has the factor 1 / B already: take the sum",
        "db = sum of dZ over the examples",
        "db = mean of dZ over the examples",
        "No other derivative is computed from db, so in every layer the bias alone is wrong: by "
        "the factor 1 / B, with the right direction (cosine 1).",
        Checked(),
    ),
    Mistake(
        "dropout_mask",
        "backward_fault",
        "forgets on the way back which units were dropped",
        "multiply dD by the mask M of the forward pass, which has the factor 1 / (1 - drop rate)",
        "dA = dD * M",
        "dA = dD",
        "The output layer is right, as no dropout follows it. Going backward, the first derivative "
        "that passes a dropout is wrong, and with it all before it.",
        Checked(drop_rate=0.4),
        {"drop_rate": 0.5},
    ),
    Mistake(
        "batch_norm",
        "backward_fault",
        "leaves out batch norm on the way back",
        "pass dY back through batch norm: subtract the two means, which come from mean and "
        "variance, and multiply by gamma / std",
        "dZ = gamma / std * (dY - mean of dY - Z_hat * mean of dY * Z_hat)",
        "dZ = dY",
        "The output layer is right, and so are scale and shift of the last hidden layer, which "
        "read dY. The weights before that batch norm get a wrong dZ, and so does all before them.",
        Checked(batch_norm="before"),
        {"batch_norm": True},
    ),
    Mistake(
        "updated_weights",
        "backward_fault",
        "passes dZ back through weights that have been updated already",
        "compute all derivatives first, and update afterwards",
        "dA = W^T dZ",
        "dA = (W - eta dW)^T dZ",
        "The output layer is right, as its own gradient comes first. What comes before it is wrong "
        "by a term with the factor eta, the learning rate.",
        Checked(),
    ),
    Mistake(
        "step_sign",
        "training_fault",
        "adds the gradient to the parameters",
        "subtract it: the gradient is the direction in which the cost rises",
        "W = W - eta dW",
        "W = W + eta dW",
        "The gradient is right, and the mistake is in what is done with it. (If the sign were "
        "wrong within the gradient, every ratio would be 1 and every cosine -1.)",
    ),
    Mistake(
        "raw_softmax",
        "training_fault",
        "computes the softmax without subtracting the largest logit",
        "subtract the largest logit of each example before exp, which does not change the softmax",
        "P = exp(Z - max Z) / sum of exp(Z - max Z)",
        "P = exp(Z) / sum of exp(Z)",
        "For logits of ordinary size both are the same function, with the same gradient. In "
        "float32, exp overflows above 88.7, and the cost is then no number.",
        training={
            "initialization": "normal",
            "weight_std": 1.0,
            "clip_norm": 1.0,
            "learning_rate": 0.1,
        },
    ),
    Mistake(
        "labels_off_by_one",
        "training_fault",
        "counts classes from 1 in training: the one-hot labels are those of the class before",
        "count classes from 0 in the one-hot labels",
        "T = one-hot of y",
        "T = one-hot of y - 1",
        "The gradient is the right one of the cost that is computed: that of wrong labels.",
    ),
    Mistake(
        "no_shuffle",
        "training_fault",
        "visits the examples in the order of the data in every epoch",
        "draw a new order for every epoch",
        "order = a new permutation in each epoch",
        "order = 0, 1, 2, ...",
        "The gradient of every mini-batch is right. The mistake is in which examples it has: where "
        "the data are sorted by class, those of one class.",
        training={
            "data": "iris",
            "batch_size": 14,
            "hidden": [16, 8],
            "learning_rate": 0.2,
            "epochs": 60,
        },
    ),
    Mistake(
        "raw_inputs",
        "training_fault",
        "does not scale the inputs: pixels stay 0 to 255, tables are not standardised",
        "divide pixels by 255; standardise the columns of a table by its training part",
        "A = x / 255, or (x - mean) / std",
        "A = x",
        "The gradient is the right one of a network with such inputs. The one of the first weights "
        "is as large as the inputs are.",
    ),
    Mistake(
        "zero_weights",
        "initialization",
        "starts with all weights at zero",
        "draw them at random, as by He, Glorot or LeCun",
        "W = normal numbers of standard deviation sqrt(2 / n_in)",
        "W = 0",
        "The gradient is right: with W = 0 it is 0 for the weights of all layers, as dA = W^T dZ "
        "and, with ReLU, A are 0. Only the biases of the output layer are learned.",
        value="zero",
    ),
)
NAMES = tuple(mistake.name for mistake in MISTAKES)


def find(name: str) -> Mistake:
    """The mistake of a name.

    Raises:
        ConfigError: there is none; with the nearest name.
    """
    for mistake in MISTAKES:
        if mistake.name == name:
            return mistake
    raise ConfigError(
        f"{plain(name)}: there is no mistake of that name{did_you_mean(name, NAMES)} "
        "(jmlp break lists them)"
    )


def made_on_purpose(hp: Hyperparams) -> tuple[Mistake, ...]:
    """The mistakes of a network for studies about mistakes; zero weights may be meant seriously."""
    return tuple(
        mistake
        for mistake in MISTAKES
        if mistake.setting != "initialization"
        and getattr(hp, mistake.setting) == mistake.setting_value
    )


def study_name(mistake: Mistake) -> str:
    """The name of its study, in the store too unless something is changed."""
    return f"break-{mistake.name}"


def study_text(mistake: Mistake) -> str:
    """The study that trains the broken network beside the right one, as a study file."""
    settings = {**COMMON, **mistake.training}
    values = [DEFAULTS[mistake.setting], mistake.setting_value]
    if mistake.setting in settings:
        values[0] = settings.pop(mistake.setting)
    lines = {
        "name": study_name(mistake),
        "title": f"Break it: {mistake.name}",
        "notes": [f"The broken network {mistake.what}: {mistake.wrong}, not {mistake.right}."],
        **settings,
    }
    return "".join(
        [
            *(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()),
            f"\n[experiments.{EXPERIMENT}]\n",
            f"axes.{mistake.setting} = {json.dumps(values)}\n",
            f"baseline.{mistake.setting} = {json.dumps(values[0])}\n",
        ]
    )


def made_by(hp: Hyperparams) -> list[Mistake]:
    """The mistakes that a run with these hyperparameters makes."""
    return [one for one in MISTAKES if getattr(hp, one.setting) == one.setting_value]
