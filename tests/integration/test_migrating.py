"""What the migration page shows, carried out: all of its Python, from top to bottom, in one process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import qpid_messaging
import qpid_server

PAGE = Path(qpid_messaging.__file__).parent / "MIGRATING.md"


def test_the_programs_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(programs) > 5
    script = tmp_path / "page.py"
    with qpid_server.running() as broker:
        text = "import qpid_messaging\n" + "\n".join(programs).replace("localhost:5672", broker.url)
        script.write_text(text, "utf-8")
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_names_only_what_there_is() -> None:
    for name in re.findall(r"`from (qpid_messaging[\w.]*) import", PAGE.read_text("utf-8")):
        __import__(name)


def test_links_within_the_page_lead_somewhere() -> None:
    text = PAGE.read_text("utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors
