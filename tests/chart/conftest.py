import os
import shutil

import pytest

from tests.chart.rendering import Chart


@pytest.fixture(scope="session")
def chart() -> Chart:
    helm = os.environ.get("CHATDESK_HELM") or shutil.which("helm")
    if helm is None:
        pytest.skip("NOT RUN: helm is not on PATH: install helm 3, or name it by CHATDESK_HELM")
    return Chart(helm)
