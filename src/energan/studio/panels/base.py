"""What panels share: how errors are told, and which runs they offer."""

import html
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from energan.errors import EnerganError
from energan.io.run_summary import DAMAGED
from energan.report.html import Picture
from energan.studio.open_runs import OpenRuns

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class StudioPanel:
    """One tab. refreshed: the components that `refresh` gives anew when the tab is opened, from the
    values of `kept`, which were chosen before."""

    kept: Sequence[Any] = ()
    refreshed: Sequence[Any] = ()

    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        self.runs, self.workspace, self.tab = runs, runs.workspace, tab

    def refresh(self, *kept: Any) -> Any:
        """What the panel's components show now."""
        return None

    def names(self, ability: str | None = None) -> list[str]:
        """The sound runs that have an ability, the newest first."""
        return [
            self.workspace.name(run.path)
            for run in self.workspace.runs()
            if run.state != DAMAGED and (ability is None or ability in run.abilities)
        ]

    def choices(self, ability: str | None, now: str | None) -> Any:
        """A dropdown of these; what was chosen stays, or it is the newest."""
        return dropdown(self.names(ability), now)


def dropdown(names: list[str], now: str | None) -> Any:
    """One of these names: what was chosen stays, or it is the first."""
    return gr.update(choices=names, value=now if now in names else next(iter(names), None))


def picture(label: str, **more: Any) -> Any:
    """A picture that is shown; nothing offers to send it anywhere."""
    return gr.Image(
        label=label, format="png", interactive=False, buttons=["download", "fullscreen"], **more
    )


def gallery(label: str, **more: Any) -> Any:
    """Pictures that are shown."""
    return gr.Gallery(
        label=label, format="png", interactive=False, buttons=["download", "fullscreen"],
        object_fit="contain", **more,
    )  # fmt: skip


def figure(drawn: Picture | None) -> str:
    """A figure for a light and a dark page, as HTML."""
    if drawn is None:
        return ""
    return "".join(
        f'<img class="{kind}" alt="{escape(drawn.caption)}" src="{uri}">'
        for kind, uri in (("on-light", drawn.uri), ("on-dark", drawn.dark_uri or drawn.uri))
    )


def told(work: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A user's error, raised by the work, is a message on the page."""

    @wraps(work)
    def answer(*args: Given.args, **named: Given.kwargs) -> Answer:
        try:
            return work(*args, **named)
        except EnerganError as error:
            raise gr.Error(escape(error), duration=None, print_exception=False) from None
        except OSError as error:
            raise gr.Error(
                escape(error.strerror or error), duration=None, print_exception=False
            ) from None

    return answer


def escape(text: object) -> str:
    """As HTML shows it: names of runs and files may hold anything."""
    return html.escape(str(text))


def chosen(run: str | None) -> str:
    """The run of a dropdown. Raises EnerganError where there is none."""
    if not run:
        raise EnerganError("choose a run first; the panel Train makes one")
    return run
