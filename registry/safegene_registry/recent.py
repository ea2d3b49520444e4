"""Values that never change under their key, and cost to make: some of them are kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the values that were asked for last, for all threads.

    Args:
        most: values that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, keys: Iterable[Key], make: Callable[[list[Key]], Mapping[Key, Value]]
    ) -> dict[Key, Value]:
        """The values of these keys.

        Args:
            keys: in the order of the answer.
            make: makes those that are not here, all at once; it may leave some out,
                which the answer then lacks.
        """
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            known = {key: self._kept[key] for key in wanted if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        missing = [key for key in wanted if key not in known]
        if missing:
            # Not under the lock: it may take long, and twice is no harm.
            made = make(missing)
            known.update(made)
            with self._lock:
                self._kept.update(made)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return {key: known[key] for key in wanted if key in known}
