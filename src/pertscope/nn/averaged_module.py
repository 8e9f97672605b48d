"""Networks that predict by a moving mean of their weights."""

from __future__ import annotations

from abc import abstractmethod

from pertscope.nn.response_module import ResponseModule


class AveragedModule(ResponseModule):
    """Is trained by the weights of the last step, validated and used by their mean."""

    @abstractmethod
    def average(self) -> None:
        """Take the weights into their mean, after a step."""
