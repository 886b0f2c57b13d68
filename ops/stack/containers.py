"""The three servers as containers of a Docker engine on this machine."""

from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

from ops.stack import state
from ops.stack.engine import Container, Engine
from ops.stack.errors import StackError
from ops.stack.kinds import Kind, Standing, Tell
from ops.stack.ports import free_port, is_free

# A slow line brings the largest image in about this time; after it, local processes are quicker.
_PULL_SECONDS = 180.0
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05
_POLLS_BETWEEN_LOOKS = 10


class ContainerServer:
    """One server as a container, known again by a name that follows from the stack's folder.

    A volume of the same name keeps its data. Stopping removes the container: the next one takes up the data
    with today's settings and image.
    """

    def __init__(self, kind: Kind, root: Path, engine: Engine, tell: Tell) -> None:
        self._kind = kind
        self._root = root
        self._engine = engine
        self._tell = tell
        self._record = root / f"{kind.name}.container.json"
        self._name = f"chatdesk-{sha256(str(root).encode()).hexdigest()[:10]}-{kind.name}"

    @property
    def name(self) -> str:
        """The container's and its volume's name."""
        return self._name

    @property
    def is_made(self) -> bool:
        """Say whether it was started here and not removed with its data since."""
        return self._record.exists()

    def can_be_had(self) -> bool:
        """Say whether an engine answers and has the image or gets it now; tell why not where that is news."""
        if self._engine.silence is not None:
            if self.is_made:
                self._tell(f"{self._kind.name}: it was a container with data, but {self._engine.silence}")
            return False
        refusal = self._fetch()
        if refusal:
            self._tell(f"{refusal}: a local process instead")
        return refusal is None

    def standing(self) -> Standing | None:
        """Tell of the running server; None if it does not run."""
        record = state.read_box(self._record)
        if record is None or not self._engine.runs(self._name):
            return None
        return self._standing(record)

    def answers(self) -> bool:
        """Say whether our own server answers on its port now."""
        standing = self.standing()
        return standing is not None and self._kind.silence(standing.address) is None

    def start_held(self) -> Standing:
        """As `Server.start_held`; StackError if there is no engine, or no image."""
        record = state.read_box(self._record)
        if record is None or not self._engine.runs(self._name):
            if self._engine.silence is not None:
                raise StackError(f"{self._kind.name} cannot be a container: {self._engine.silence}")
            if refusal := self._fetch():
                raise StackError(refusal)
            record = self._launch(record)
        if not self._becomes_ready(record):
            said = self._engine.last_words(self._name)
            self._engine.stop(self._name, _STOP_SECONDS)
            raise StackError(
                f"{self._kind.name} does not start: {said} (`docker logs {self._name}` has the rest)"
            )
        return self._standing(record)

    def stop_held(self) -> None:
        """End it in good order; its volume stays."""
        if self.is_made and self._engine.silence is None:
            self._engine.stop(self._name, _STOP_SECONDS)
            self._engine.remove(self._name)

    def discard_held(self) -> None:
        """End it and remove its volume; StackError if the engine is away, for its data would stay behind."""
        if not self.is_made:
            return
        if self._engine.silence is not None:
            raise StackError(f"the volume {self._name} cannot be removed: {self._engine.silence}")
        self.stop_held()
        if refusal := self._engine.remove_volume(self._name):
            raise StackError(f"the volume {self._name} cannot be removed: {refusal}")
        self._record.unlink()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._engine.kill(self._name)

    def _fetch(self) -> str | None:
        image = self._kind.box.image
        if self._engine.has(image):
            return None
        self._tell(f"{self._kind.name}: pulling {image}, this once ({_PULL_SECONDS:.0f} s at most)")
        refusal = self._engine.pull(image, _PULL_SECONDS)
        return refusal and f"{self._kind.name}: the image {image} cannot be had ({refusal})"

    def _launch(self, last: state.BoxRecord | None) -> state.BoxRecord:
        # What a reboot or a lost record left of it.
        self._engine.remove(self._name)
        port = last.port if last and is_free(last.port) else free_port(f"{self._root} {self._kind.name} box")
        box = self._kind.box
        boxed = box.run("127.0.0.1", port)
        chosen = (
            f"{self._kind.product} from the image {box.image} on 127.0.0.1:{port} (a Docker engine answers)"
        )
        record = state.BoxRecord(port, chosen)
        state.write(self._record, record)
        refusal = self._engine.run(
            Container(
                name=self._name,
                image=box.image,
                labels={"chatdesk.stack": str(self._root)},
                environment=boxed.environment,
                command=boxed.command,
                port=port,
                volume=self._name,
                data=box.data,
            )
        )
        if refusal:
            raise StackError(f"{self._kind.name} does not start: {refusal}")
        return record

    def _becomes_ready(self, record: state.BoxRecord) -> bool:
        deadline = monotonic() + _START_SECONDS
        address = self._kind.address(record.port)
        while self._engine.runs(self._name) and monotonic() < deadline:
            for _ in range(_POLLS_BETWEEN_LOOKS):
                if self._kind.silence(address) is None:
                    return True
                sleep(_POLL_SECONDS)
        return False

    def _standing(self, record: state.BoxRecord) -> Standing:
        return Standing(self._kind.address(record.port), record.chosen)
