"""Work that goes on in a thread beside the caller's, who asks how it ended."""

import threading
from collections.abc import Callable


class Beside:
    """Runs something once, at once, in a thread of its own.

    Who asks nothing does not wait, as after an interrupt: the thread does not outlive
    the process, and what it does must be fit to be cut off anywhere.

    Args:
        work: what is done.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Go on as long as nothing went wrong.

        Raises:
            Exception: what the work has raised.
        """
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait for the end, and be sure that all is well.

        Raises:
            Exception: what the work has raised.
        """
        self._thread.join()
        self.check()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised by whoever asks
            self._error = error
