"""Routes for programs: energies and verdicts, classes, samples."""

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from energan.errors import EnerganError, RunError
from energan.inference.labels import class_number
from energan.inference.run import Run
from energan.inference.thresholds import kept_calibration
from energan.io.documents import explain
from energan.io.pictures import to_uint8
from energan.studio.open_runs import OpenRuns
from energan.studio.training import summaries
from energan.studio.uploads import MOST_BYTES, check_count, check_image

MOST_SAMPLES = 256
Name = Annotated[
    str, Field(min_length=1, max_length=1_000, description="its name, as in /api/runs")
]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run: Name


class AskedImages(Asked):
    """Images as JSON: the contents of image files in base64."""

    images: Annotated[list[str], Field(min_length=1)]


class AskedSamples(Asked):
    count: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1
    seed: Seed = 0
    label: str | None = Field(None, description="the class, of a conditional run")


class Verdict(BaseModel):
    image: str
    energy: float
    percentile: float = Field(description="percentage of normal images with at most this energy")
    anomalous: bool


class ScoreAnswer(BaseModel):
    run: str
    step: int
    weights: str
    threshold: float
    fpr: float = Field(description="at most this share of new normal images exceeds the threshold")
    scores: list[Verdict]


class Class(BaseModel):
    image: str
    label: str
    probability: float
    probabilities: dict[str, float]


class ClassifyAnswer(BaseModel):
    run: str
    step: int
    weights: str
    classes: list[Class]


class SampleAnswer(BaseModel):
    run: str
    step: int
    weights: str
    seed: int
    images: list[str] = Field(description="PNG files in base64")


class RunEntry(BaseModel):
    run: str
    state: str
    recipe: str
    step: int
    steps: int
    reason: str


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    """For OpenAPI: a request's body as a form with files, or as JSON."""
    form = {
        "type": "object", "required": ["run", "images"],
        "properties": {
            "run": {"type": "string"},
            "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }  # fmt: skip
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": kind.model_json_schema()},
    }
    return {"requestBody": {"required": True, "content": content}}


async def _images(request: Request) -> tuple[str, list[str], list[bytes]]:
    """The run, and names and contents of the images of a request. Raises HTTPException for others
    than it may have."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    try:
        if kind == "multipart/form-data":
            run, names, contents = await _from_form(request)
        elif kind == "application/json":
            asked = AskedImages.model_validate_json(await request.body())
            run, names = asked.run, [f"images[{i}]" for i in range(len(asked.images))]
            contents = [base64.b64decode(one, validate=True) for one in asked.images]
        else:
            raise HTTPException(415, "send multipart/form-data or application/json")
        check_count(len(contents))
    except ValidationError as error:
        raise HTTPException(422, explain(error)) from None
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    except binascii.Error:
        raise HTTPException(422, "images: they are not in base64") from None
    for name, content in zip(names, contents, strict=True):
        if reason := check_image(content):
            raise HTTPException(422, f"{name} cannot be read: {reason}")
    return run, names, contents


async def _from_form(request: Request) -> tuple[str, list[str], list[bytes]]:
    async with request.form(max_part_size=MOST_BYTES) as form:
        files = [file for file in form.getlist("images") if isinstance(file, UploadFile)]
        contents = [await file.read(MOST_BYTES + 1) for file in files]
        run = form.get("run")
        asked = Asked.model_validate({"run": run})
        return (
            asked.run,
            [file.filename or f"images[{i}]" for i, file in enumerate(files)],
            contents,
        )


def _about(name: str, run: Run) -> dict[str, Any]:
    return {"run": name, "step": run.step, "weights": run.weights}


def _score(runs: OpenRuns, name: str, names: Sequence[str], images: list[bytes]) -> ScoreAnswer:
    with runs.use(name) as run:
        run.check_judges()
        if run.calibration is None or run.calibration.network != run.network:
            runs.workspace.check_data(run)
        calibration = kept_calibration(run, None)
        found = calibration.scores(run.energy(images))
    rows = zip(names, found.energy.tolist(), found.percentile.tolist(), found.anomalous.tolist(),
               strict=True)  # fmt: skip
    scores = [Verdict(image=n, energy=e, percentile=p, anomalous=a) for n, e, p, a in rows]
    return ScoreAnswer(
        **_about(name, run), threshold=calibration.threshold, fpr=calibration.fpr, scores=scores
    )


def _classify(
    runs: OpenRuns, name: str, names: Sequence[str], images: list[bytes]
) -> ClassifyAnswer:
    with runs.use(name) as run:
        found = run.classify(images)
    classes = []
    for image, row, label in zip(names, found.probabilities, found.labels.tolist(), strict=True):
        each = dict(zip(run.class_names, row.tolist(), strict=True))
        own = run.class_names[label]
        classes.append(Class(image=image, label=own, probability=each[own], probabilities=each))
    return ClassifyAnswer(**_about(name, run), classes=classes)


def _sample(runs: OpenRuns, asked: AskedSamples) -> SampleAnswer:
    with runs.use(asked.run) as run:
        labels = None
        if asked.label is not None:
            labels = torch.full((asked.count,), class_number(run, asked.label))
        x = run.sample(asked.count, seed=asked.seed, condition=labels)
    pictures = [png(image) for image in to_uint8(x, run.domain)]
    images = [base64.b64encode(picture).decode("ascii") for picture in pictures]
    return SampleAnswer(**_about(asked.run, run), seed=asked.seed, images=images)


def png(pixels: Any) -> bytes:
    """uint8 (H, W, 1 or 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def routes(runs: OpenRuns) -> APIRouter:
    """The routes below /api."""
    router = APIRouter(prefix="/api", tags=["energan"])

    @router.get("/runs")
    def list_runs() -> list[RunEntry]:
        """The runs in the studio's folder, and trainings that have none yet."""
        return [
            RunEntry(
                run=runs.workspace.name(one.path), state=one.state, recipe=one.recipe,
                step=one.step, steps=one.steps, reason=one.reason,
            )
            for one in summaries(runs.workspace)
        ]  # fmt: skip

    @router.post("/score", openapi_extra=_body(AskedImages))
    async def score(request: Request) -> ScoreAnswer:
        """Energy, percentile and verdict of each image, as `energan score`."""
        return await run_in_threadpool(_score, runs, *await _images(request))

    @router.post("/classify", openapi_extra=_body(AskedImages))
    async def classify(request: Request) -> ClassifyAnswer:
        """The class of each image, with its probability, as `energan classify`."""
        return await run_in_threadpool(_classify, runs, *await _images(request))

    @router.post("/sample")
    def sample(asked: AskedSamples) -> SampleAnswer:
        """Samples of a run, as `energan sample`."""
        return _sample(runs, asked)

    return router


def answer_errors(app: FastAPI) -> None:
    """A user's error is a sentence with status 422, or 404 for a run that is not there."""

    @app.exception_handler(EnerganError)
    async def tell(request: Request, error: Exception) -> JSONResponse:
        missing = isinstance(error, RunError)
        return JSONResponse({"detail": str(error)}, 404 if missing else 422)

    @app.exception_handler(torch.OutOfMemoryError)
    async def tell_memory(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "out of memory: send fewer images"}, 503)
