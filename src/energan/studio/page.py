"""The page: a tab for each panel."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it is read when Gradio is imported

import gradio as gr
from fastapi import FastAPI

from energan.studio.open_runs import OpenRuns
from energan.studio.panels import PANELS, StudioPanel
from energan.studio.uploads import MOST_BYTES

FONTS = ["system-ui", "sans-serif"]
"""Of the reader's machine: nothing is fetched from elsewhere."""
CSS = """
.gradio-container { max-width: 1400px !important; }
.pixels img { image-rendering: pixelated; }
.pixels .image-frame img { width: 100%; height: 100%; object-fit: contain; }
.figure img { width: 100%; }
.dark .figure .on-light, .gradio-container:not(.dark *) .figure .on-dark { display: none; }
.status { overflow-wrap: anywhere; }
@media (max-width: 480px) { .gradio-container { padding: 6px !important; } }
"""


def mount(app: FastAPI, runs: OpenRuns) -> None:
    """Add the page to the application, at its root."""
    uploads = runs.workspace.uploads
    assert uploads is not None
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    theme = gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app, build(runs), "/", theme=theme, css=CSS, footer_links=[], run_history=False,
        ssr_mode=False, mcp_server=False, enable_monitoring=False, pwa=False, show_error=True,
        max_file_size=MOST_BYTES, allowed_paths=[],
    )  # fmt: skip


def build(runs: OpenRuns) -> gr.Blocks:
    """The page's components and what they call."""
    with gr.Blocks(title="energan studio", analytics_enabled=False) as blocks:
        panels: list[StudioPanel] = []
        with gr.Tabs():
            for name, make in PANELS.items():
                with gr.Tab(name, id=name) as tab:
                    panels.append(make(runs, tab))
        opened = [(blocks.load, panels[0]), *((panel.tab.select, panel) for panel in panels)]
        for event, panel in opened:
            event(panel.refresh, panel.kept, panel.refreshed, show_progress="hidden")
    blocks.queue(max_size=64, api_open=False)
    return blocks
