"""What the stack takes from Maven Central: pinned by sha256, fetched once into the user's cache."""

import os
import tempfile
import tomllib
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

from ops.stack.errors import StackError

_LOCK = Path(__file__).with_name("jars.lock")
_CENTRAL = "https://repo1.maven.org/maven2"
_TRIES = 3
_AT_ONCE = 6
_PATIENCE_SECONDS = 60.0


def cache() -> Path:
    """Return the user's cache folder for this project (in `$XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatdesk"


def pinned(group: str, lock: Path = _LOCK) -> dict[str, str]:
    """Return the paths of a group of jars.lock below the repository, each with its sha256."""
    groups: dict[str, dict[str, str]] = tomllib.loads(lock.read_text("utf-8"))
    return groups[group]


def fetch(group: str, tell: Callable[[str], None], *, lock: Path = _LOCK) -> list[Path]:
    """Return the jars of one group of jars.lock, after fetching those that the cache lacks.

    Only a file whose sha256 is the pinned one ever gets its name in the cache.
    """
    wanted = pinned(group, lock)
    folder = cache() / "maven"
    missing = {path: digest for path, digest in wanted.items() if not (folder / path).exists()}
    if missing:
        central = os.environ.get("CHATDESK_MAVEN_URL", _CENTRAL).rstrip("/")
        tell(f"{group}: fetching {len(missing)} jars from {central} into {folder}, this once")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: _fetch_one(central, item[0], item[1], folder), missing.items()))
    return [folder / path for path in wanted]


def put(target: Path, content: bytes, mode: int) -> None:
    """Write the file in one step: it is there whole or not at all, whoever else writes it meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".writing-", delete=False) as draft:
        draft.write(content)
    Path(draft.name).chmod(mode)
    Path(draft.name).replace(target)


def _fetch_one(central: str, path: str, digest: str, folder: Path) -> None:
    url = f"{central}/{path}"
    content = _download(url)
    found = sha256(content).hexdigest()
    if found != digest:
        raise StackError(f"{url} has sha256 {found}, but {digest} is pinned: refused")
    put(folder / path, content, mode=0o644)


def _download(url: str) -> bytes:
    refusal: Exception | None = None
    for _ in range(_TRIES):
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - https, or what the user set
                content: bytes = answer.read()
                return content
        except (OSError, HTTPException) as failure:
            refusal = failure
    raise StackError(f"cannot fetch {url}: {refusal} (CHATDESK_MAVEN_URL names a mirror of Maven Central)")
