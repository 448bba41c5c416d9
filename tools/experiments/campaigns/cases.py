"""Runs a function on many cases in processes that may hang or die, and counts what came of them."""

import argparse
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

CASE_SECONDS = 60.0
MEMORY = 8 * 2**30  # bytes of address space above what the process has when it starts


@dataclass(frozen=True)
class Outcome:
    """The result of one case."""

    case: Any
    kind: str
    """What the function returned, or "hang", "died" or "exception"."""
    detail: str = ""


def run_cases(
    function: Callable[[Any], tuple[str, str]], cases: Sequence[Any], *, workers: int = 2, seconds: float = CASE_SECONDS
) -> Iterator[Outcome]:
    """Yield the outcome of each case, in the order in which they end.

    Args:
        function: importable by its name; takes a case and returns (kind, detail).
        cases: picklable values.
        workers: processes; 0 runs the cases in this process, without limits.
        seconds: after which a case counts as a hang, and its process is killed.
    """
    if not workers:
        for case in cases:
            yield Outcome(case, *_call(function, case))
        return
    waiting = list(reversed(cases))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Worker(function))
                running[-1].give(waiting.pop())
            ready = wait([worker.connection for worker in running], timeout=seconds / 20)
            for worker in list(running):
                outcome = worker.outcome(ready=worker.connection in ready, seconds=seconds)
                if outcome is None:
                    continue
                yield outcome
                if outcome.kind in ("hang", "died") or not waiting:
                    worker.stop()
                    running.remove(worker)
                else:
                    worker.give(waiting.pop())
    finally:
        for worker in running:
            worker.stop()


class _Worker:
    """A process that runs cases one after the other."""

    def __init__(self, function: Callable[[Any], tuple[str, str]]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.case: Any = None
        self.began = 0.0

    def give(self, case: Any) -> None:
        self.case, self.began = case, time.monotonic()
        self.connection.send(case)

    def outcome(self, *, ready: bool, seconds: float) -> Outcome | None:
        """The outcome of the current case, or None while it runs."""
        if ready:
            try:
                return Outcome(self.case, *self.connection.recv())
            except EOFError:
                self.process.join()
                return Outcome(self.case, "died", f"exit code {self.process.exitcode}")
        is_late = time.monotonic() - self.began > seconds
        return Outcome(self.case, "hang", f"more than {seconds:.0f} s") if is_late else None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(function: Callable[[Any], tuple[str, str]], connection: Connection) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        connection.send(_call(function, case))


def _call(function: Callable[[Any], tuple[str, str]], case: Any) -> tuple[str, str]:
    try:
        return function(case)
    except Exception as error:  # what the function itself does not expect
        return "exception", f"{type(error).__name__}: {str(error)[:200]}"


def line(name: str, outcomes: Sequence[Outcome], order: Sequence[str]) -> str:
    """One line of figures: "name: 500 cases: 310 refused, ..."; kinds of ``order`` first, zeros too."""
    counts = Counter(outcome.kind for outcome in outcomes)
    kinds = [*order, *sorted(set(counts) - set(order))]
    return f"{name}: {len(outcomes)} cases: " + ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


def main(
    doc: str, campaign: Callable[..., list[Outcome]], *, count: int, good: Sequence[str], bad: Sequence[str]
) -> None:
    """The command of a campaign: prints its figures, and on stderr the outcomes that are not good.

    Args:
        doc: the script's documentation.
        campaign: takes count, seed, workers and ``show``, which is called with each outcome.
        count: the default number of cases.
        good: kinds of outcomes that need no attention.
        bad: the other kinds.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()

    def show(outcome: Outcome) -> None:
        if outcome.kind not in good:
            print(f"{outcome.kind}: {outcome.case}: {outcome.detail}", file=sys.stderr, flush=True)

    found = campaign(wanted.count, wanted.seed, workers=wanted.workers, show=show)
    name = Path(sys.argv[0]).stem
    print(line(f"{name}, seed {wanted.seed}", found, [*good, *bad, "exception", "hang", "died"]))
