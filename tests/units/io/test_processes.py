"""Processes side by side: their order and their ends."""

import asyncio
import signal
from pathlib import Path

import pytest

from energan.io.processes import Pool, Work, run_process


def test_works_begin_in_order_and_so_many_at_once() -> None:
    pool, running, most, order = Pool(), set[int](), 0, list[int]()

    def work_of(number: int) -> Work:
        async def work(place: int) -> None:
            nonlocal most
            assert place not in running
            running.add(place)
            order.append(number)
            most = max(most, len(running))
            await asyncio.sleep(0.01)
            running.remove(place)

        return work

    pool.run([work_of(i) for i in range(7)], 3)
    assert order == list(range(7))
    assert (most, pool.stopped) == (3, None)


def test_an_error_of_one_ends_the_others_and_is_raised() -> None:
    pool, told = Pool(), list[int]()

    async def broken(place: int) -> None:
        await asyncio.sleep(0.01)
        raise OSError("disk full")

    async def other(place: int) -> None:
        end = asyncio.Event()

        def stop(number: signal.Signals) -> None:
            told.append(number)
            end.set()

        with pool.ending_by(place, stop):
            await end.wait()

    with pytest.raises(OSError, match="disk full"):
        pool.run([other, broken, other], 2)
    assert told == [signal.SIGTERM]  # the third never began


def test_a_process_says_its_exit_code_and_its_lines_have_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = (
        "import os, sys; print('out'); print(os.environ['NUMBER'], file=sys.stderr); sys.exit(3)"
    )
    (tmp_path / "small_module.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool, codes, log = Pool(), list[int](), tmp_path / "log.txt"

    async def work(place: int) -> None:
        words = ["small_module"]
        codes.append(await run_process(pool, place, words, {"NUMBER": "1"}, name="s1"))
        codes.append(await run_process(pool, place, words, {"NUMBER": "2"}, log=log))

    pool.run([work], 1)
    assert codes == [3, 3]
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "s1: 1\n")
    assert sorted(log.read_text().split()) == ["2", "out"]
