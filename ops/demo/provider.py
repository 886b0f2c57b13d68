"""How the demo's provider misbehaves: it throttles, fails, cuts connections and says nothing at all."""

from collections.abc import Sequence

from ops.fake_provider import Accept, Answer, Cut, Fail, Hang, Maybe, Script, ServerFault

CALL_SECONDS = 1.0
"""How long outbound waits for an answer here, so that doubts come and go within the run."""
_CHANCES: Sequence[tuple[float, Answer]] = (
    (0.02, Fail(code=130429, retry_after=1)),
    (0.01, Fail(code=131016)),
    (0.01, Fail(code=131026)),
    (0.005, ServerFault(accepted=True)),
    (0.005, ServerFault(accepted=False)),
    (0.005, Cut(accepted=True)),
    (0.005, Cut(accepted=False)),
    (0.005, Hang(accepted=True, seconds=3 * CALL_SECONDS)),
    (0.005, Hang(accepted=False, seconds=3 * CALL_SECONDS)),
    (0.01, Accept(failed_later="131026")),
    (0.02, Accept(receipts_first=True)),
    (0.10, Accept(delay=0.3)),
)
PAIR_LIMIT, WINDOW_CLOSED = 131056, 131047


def script(seed: int, customers: Sequence[str]) -> Script:
    """Return what the provider answers: to a few customers something of their own, else by chance."""
    own: list[tuple[Answer, ...]] = [
        (Fail(code=PAIR_LIMIT),),
        (Accept(), Fail(code=PAIR_LIMIT)),
        (Fail(code=WINDOW_CLOSED),),
        (Accept(), Fail(code=WINDOW_CLOSED)),
    ]
    return Script(
        seed=seed,
        chances=tuple(Maybe(probability=chance, answer=answer) for chance, answer in _CHANCES),
        recipients={customer: own[n % len(own)] for n, customer in enumerate(customers)},
    )
