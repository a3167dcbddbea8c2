"""Daemon threads that decode while the interpreter ends."""

import atexit
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Ending:
    """A context of calls into torch, which daemon threads do not enter once the interpreter ends.

    Before Python 3.14 a thread that wants the GIL then is unwound, which no C++ on the way survives: a thread
    amid a call into torch would abort the process. The interpreter waits for those that are in the context.
    """

    def __init__(self) -> None:
        self._inside: list[int] = []  # threads, once for each nested context
        self._ends = False
        atexit.register(self._wait)

    def __enter__(self) -> None:
        self._inside.append(threading.get_ident())
        while self._ends and threading.current_thread() is not threading.main_thread():
            self.__exit__()
            time.sleep(3600)  # without the GIL, as threads do since Python 3.14
            self._inside.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        self._inside.remove(threading.get_ident())

    def outside(self, function: Callable[..., Result], *args: object) -> Result:
        """A native call amid the context, which works without the GIL."""
        self.__exit__()
        try:
            return function(*args)
        finally:
            self.__enter__()

    def _wait(self) -> None:
        self._ends = True
        last = time.monotonic() + 2  # what comes after is as without this class
        others = set(threading.enumerate()) - {threading.current_thread()}
        while any(thread.ident in self._inside for thread in others) and time.monotonic() < last:
            time.sleep(0.001)


ending = Ending()
