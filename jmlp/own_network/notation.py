"""How a user's file stores its arrays, and the equations of backpropagation in that form."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Notation:
    """Whether examples are columns or rows, and in which order weights have their two sizes."""

    columns: bool  # X is (n_inputs, B); otherwise (B, n_inputs)
    outputs_first: bool  # W is (n_out, n_in); otherwise (n_in, n_out)
    flat_biases: bool = False  # b is (n_out,); otherwise it has two axes

    @property
    def Z(self) -> str:
        """The weighted sum of a layer."""
        W = "W" if self.columns == self.outputs_first else "W^T"
        return f"{W} A + b" if self.columns else f"A {W} + b"

    @property
    def W(self) -> str:
        """The factor beside dZ in dA."""
        return "W^T" if self.columns == self.outputs_first else "W"

    @property
    def dA(self) -> str:
        """The derivative that a layer passes on to the layer before."""
        return f"{self.W} dZ" if self.columns else f"dZ {self.W}"

    @property
    def dW(self) -> str:
        """The derivative of weights; A is what the layer before passed on."""
        if self.columns:
            return "dZ A^T" if self.outputs_first else "A dZ^T"
        return "dZ^T A" if self.outputs_first else "A^T dZ"

    @property
    def along(self) -> str:
        """The arguments of a sum over examples."""
        return f"axis={int(self.columns)}" + ("" if self.flat_biases else ", keepdims=True")

    def written(self, text: str) -> str:
        """A text with `{dA}` and the like in this notation."""
        others = {"W^T": "W", "W": "W^T"}
        words = {"Z": self.Z, "W": self.W, "dA": self.dA, "dW": self.dW, "along": self.along}
        for name, equation in {**words, "not_W": others[self.W]}.items():
            text = text.replace(f"{{{name}}}", equation)
        return text
