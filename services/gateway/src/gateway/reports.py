"""What every router is told of upstream targets: which calls are open, when they began to answer, how they ended.

Gathered for a moment and told together, and once a second while calls are open: a target that says nothing shows in
the age of its calls long before one of them has failed. The latest report of a gateway holds, so one that is lost costs
a second of knowledge.
"""

import asyncio
import time

from chassis.bus import Bus, tell
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished, FirstByte, TargetLoad

DELAY_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
MAX_GATHERED = 1000
# A client that leaves sooner says nothing of the target: most first bytes take longer than that.
WORTH_TELLING_SECONDS = 1.0


class Call:
    """An open call of a target. It has to be ended once: by `ended` or by `given_up`."""

    __slots__ = ("_has_ended", "_is_waiting", "_reports", "bucket", "since", "target")

    def __init__(self, reports: "Reports", target: str, bucket: int) -> None:
        self.target = target
        self.bucket = bucket
        self.since = time.monotonic()
        self._reports = reports
        self._is_waiting = True
        self._has_ended = False

    def answered(self) -> None:
        """The first byte is here."""
        if self._is_waiting:
            self._is_waiting = False
            self._reports.answered(self, is_censored=False)

    def ended(self, attempt: AttemptFinished) -> None:
        """It is over, and says something of its target."""
        self._end(is_told=attempt.result == "timed_out", attempt=attempt)

    def given_up(self, *, has_lost: bool = False) -> None:
        """Nobody waits for it any more. The target is not to blame; how long it was silent is told all the same.

        `has_lost`: another one was faster.
        """
        self._end(is_told=has_lost or time.monotonic() - self.since >= WORTH_TELLING_SECONDS, attempt=None)

    def _end(self, *, is_told: bool, attempt: AttemptFinished | None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._is_waiting:
            self._is_waiting = False
            self._reports.answered(self, is_censored=True, is_told=is_told)
        self._reports.over(self, attempt)


class _Open:
    """The open calls of one target. Those without a first byte are in the order in which they began."""

    __slots__ = ("in_flight", "started", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.started = 0
        self.waiting: dict[int, dict[Call, None]] = {}

    def told(self, target: str, now: float) -> TargetLoad:
        started, self.started = self.started, 0
        oldest = {bucket: now - next(iter(calls)).since for bucket, calls in self.waiting.items() if calls}
        waiting = sum(len(calls) for calls in self.waiting.values())
        return TargetLoad(
            target=target, in_flight=self.in_flight, waiting=waiting, oldest_seconds=oldest, started=started
        )


class Reports:
    """Tells the routers. One per process; one timer, and no task but for what is being sent."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, _Open] = {}
        self._attempts: list[AttemptFinished] = []
        self._first_bytes: list[FirstByte] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._sending: set[asyncio.Task[None]] = set()

    def begin(self, target: str, bucket: int) -> Call:
        """A call of this target begins now."""
        call = Call(self, target, bucket)
        opened = self._open.get(target)
        if opened is None:
            opened = self._open[target] = _Open()
        opened.in_flight += 1
        opened.started += 1
        calls = opened.waiting.get(bucket)
        if calls is None:
            calls = opened.waiting[bucket] = {}
        calls[call] = None
        self._changed()
        return call

    def answered(self, call: Call, *, is_censored: bool, is_told: bool = True) -> None:
        """It does not wait for its first byte any longer. (For the call.)"""
        del self._open[call.target].waiting[call.bucket][call]
        if is_told:
            seconds = time.monotonic() - call.since
            told = FirstByte(target=call.target, bucket=call.bucket, seconds=seconds, is_censored=is_censored)
            self._first_bytes.append(told)
        self._changed()

    def over(self, call: Call, attempt: AttemptFinished | None) -> None:
        """It is not open any longer. (For the call.)"""
        self._open[call.target].in_flight -= 1
        if attempt is not None:
            self._attempts.append(attempt)
        self._changed()
        if len(self._attempts) + len(self._first_bytes) >= MAX_GATHERED:
            self._send()

    def learnt(self, attempt: AttemptFinished) -> None:
        """Something is known of an attempt that has ended before."""
        self._attempts.append(attempt)
        self._changed()

    def flush_now(self) -> None:
        """Tell what is known ahead of all that is sent after this call on the same connection: the task that sends it
        is made now, and tasks begin in the order in which they were made."""
        if self._is_due:
            self._send()

    async def close(self) -> None:
        """Tell the rest: for the end of the process."""
        self.flush_now()
        if self._sending:
            await asyncio.wait(self._sending)
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._wake_after(DELAY_SECONDS)

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._send)

    def _send(self) -> None:
        if not self._is_due and not self._open:
            return
        report = self._report()
        if self._bus.is_connected:  # what has to wait for a connection is old when it is told
            task = self._loop.create_task(tell(self._bus, ATTEMPTS_FINISHED, report))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if self._open:
            self._wake_after(LONGEST_PAUSE_SECONDS)

    def _report(self) -> AttemptsFinished:
        """All that is to be told. A target without open calls is told once more, and forgotten."""
        now = time.monotonic()
        report = AttemptsFinished(
            gateway=self._bus.instance,
            attempts=tuple(self._attempts),
            first_bytes=tuple(self._first_bytes),
            loads=tuple(opened.told(target, now) for target, opened in self._open.items()),
        )
        self._attempts, self._first_bytes, self._is_due = [], [], False
        for target in [target for target, opened in self._open.items() if opened.in_flight == 0]:
            del self._open[target]
        return report
