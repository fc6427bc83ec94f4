"""The schema of conf/metric/NAME.yaml."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class MetricOption(BaseModel):
    """Which function scores and with which parameters; the option's name is its file's stem.

    A variant of a metric is an option file of its own, so that each has one name in every table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"title"})

    function: str = Field(description="'package.module:function' or '/folder/file.py:function'")
    parameters: dict[str, bool | int | float | str | None] = Field(
        default_factory=dict, description="what differs from the function's own defaults"
    )
    title: str = Field(default="", description="how tables and figures call it; the option's name when empty")

    def key(self) -> dict[str, Any]:
        """What changes the score besides the sample: the key of the metric that the function declares.

        Raises:
            ConfigError: when the function is no metric, or does not admit the parameters.
        """
        from tmbench.metrics.registry import find_metric

        return find_metric(self.function).key(self.parameters)
