"""What was made lately, kept while it fits: a worker's next unit is often of the same data set."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, the oldest let go as soon as all of them take more than a number of bytes.

    It is for values that can be made again, the same bit for bit: what is kept changes no result.
    """

    def __init__(self, budget: int, size: Callable[[Value], int]) -> None:
        """Keep ``budget`` bytes; a value takes ``size(value)`` of them."""
        self.budget = budget
        self._size = size
        self._held: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0

    def once(self, key: str, make: Callable[[], Value]) -> Value:
        """What is kept under ``key``, else ``make()``, which is kept where it fits."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        value = make()
        size = self._size(value)
        if size <= self.budget:
            while self._bytes + size > self.budget:
                self._bytes -= self._size(self._held.popitem(last=False)[1])
            self._held[key] = value
            self._bytes += size
        return value

    def clear(self) -> None:
        """Keep nothing."""
        self._held.clear()
        self._bytes = 0
