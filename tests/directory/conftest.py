from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.conftest import Installation
from tests.directory.shell import Shell


@pytest.fixture
def shell(installation: Installation, tmp_path: Path) -> Iterator[Shell]:
    """The command, in an installation of the test's own; its logging is put back afterwards."""
    logging = structlog.get_config()
    yield Shell(installation, tmp_path)
    structlog.configure(**logging)
