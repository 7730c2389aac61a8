"""What the tests of the audit trail share: the root of the checkout, and what a scan of it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from refbss.audit.ledger import Scan, build, checkout


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds pyproject.toml."""
    found = checkout()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def scan(root: Path) -> Scan:
    """The ledger as the files say it now."""
    return build(root)
