"""`energan report` as a user types it, and its page in a browser."""

import shutil
import subprocess
from pathlib import Path

import pytest

from energan.cli import main as cli


def test_report_writes_a_page_and_says_where(own_run: Path, capsys, tmp_path: Path) -> None:
    assert cli.main(["report", str(own_run)]) == 0
    assert capsys.readouterr().out.strip() == f"report: {own_run / 'report.html'}"
    assert (own_run / "report" / "curves-losses.png").is_file()
    page = tmp_path / "new" / "page.html"
    assert cli.main(["report", str(own_run), str(own_run), "--out", str(page), "--no-data"]) == 0
    assert "Nearest training images" not in page.read_text(encoding="utf8")


def test_a_page_of_several_runs_that_is_replaced_is_told(
    own_run: Path, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report.html").write_text("mine", encoding="utf8")
    assert cli.main(["report", str(own_run), str(own_run), "--no-data"]) == 0
    assert "report.html exists and will be overwritten" in capsys.readouterr().err


def test_what_is_no_run_gets_a_sentence(own_run: Path, capsys, tmp_path: Path) -> None:
    assert cli.main(["report", str(own_run), str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_browser_shows_the_page_and_asks_no_one_for_anything(
    own_run: Path, tmp_path: Path
) -> None:
    """The page forbids requests itself, so a try would be a complaint in the console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium to open the page in")
    page = tmp_path / "page.html"
    assert cli.main(["report", str(own_run), "--out", str(page)]) == 0
    shown = opened(browser, page, tmp_path)
    assert "Nearest training images" in shown.stdout
    assert "CONSOLE" not in shown.stderr
    asking = page.read_text(encoding="utf8").replace("</body>", '<img src="http://a.test/x.png">')
    page.write_text(asking, encoding="utf8")
    assert "CONSOLE" in opened(browser, page, tmp_path).stderr


def opened(browser: str, page: Path, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update",
             "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--dump-dom",
             f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]  # fmt: skip
    return subprocess.run([browser, *words], capture_output=True, text=True, timeout=120)
