"""What a unit asks of the machine it runs on; stands beside the sources because recipes and sources declare it."""

from pydantic import BaseModel, ConfigDict, Field


class Resources(BaseModel):
    """What one worker needs; never part of an identity, for a result does not depend on it.

    Attributes:
        gpus: graphics processors; 0 runs on the CPU.
        cpus: processor cores.
        memory_gb: main memory in GB (10⁹ bytes).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int = Field(default=0, ge=0)
    cpus: int = Field(default=1, ge=1)
    memory_gb: float = Field(default=2.0, gt=0)

    def __or__(self, other: "Resources") -> "Resources":
        """The larger of the two in each respect: what a unit needs that uses both."""
        return Resources(
            gpus=max(self.gpus, other.gpus),
            cpus=max(self.cpus, other.cpus),
            memory_gb=max(self.memory_gb, other.memory_gb),
        )
