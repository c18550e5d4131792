"""``lockgate finetune``: train what Lockgate ships or a project needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import progress_bars

app = typer.Typer(no_args_is_help=True, help="Train detectors and adapters from recipes.")


@app.command()
def grounding(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder with one folder for each source of the recipe.")],
    out: Annotated[Path, typer.Option(help="Where the detector goes; a run that was cut off there goes on.")],
    recipe: Annotated[Path | None, typer.Option(help="Recipe file; default: the shipped one.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor threads for training.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train the grounding detector: data, encoder, ONNX export, calibration, figures and model card."""
    from finetune.grounding.measuring import table
    from finetune.grounding.pipeline import make_detector
    from finetune.grounding.recipe import SHIPPED, load_recipe
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.fetch import checked_path

    settings = settings_of(ctx.obj)
    loaded = load_recipe(recipe or SHIPPED)
    base = checked_path(load_catalogue(settings.project_dir).get(loaded.base, "embedder"), settings.models_path)
    with progress_bars() as report:
        trained = make_detector(loaded, data, base, out, report, threads)
    if as_json:
        figures = {name: asdict(item) for name, item in trained.figures.items()}
        typer.echo(json.dumps({"detector": trained.detector.digest, "figures": figures}, indent=2))
        return
    typer.echo(table(trained.figures))
    typer.echo(f"{trained.detector.name}\t{out}")


@app.command()
def injection(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder with one folder for each source of the recipe.")],
    out: Annotated[Path, typer.Option(help="Where the classifier goes.")],
    recipe: Annotated[Path | None, typer.Option(help="Recipe file; default: the shipped one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train the injection classifier: texts, vectors, training, thresholds, figures and model card."""
    from finetune.injection.pipeline import make_classifier
    from finetune.injection.recipe import SHIPPED, load_recipe
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.embedder import load_embedder

    settings = settings_of(ctx.obj)
    loaded = load_recipe(recipe or SHIPPED)
    embedder = load_embedder(settings, load_catalogue(settings.project_dir).get(loaded.embedder, "embedder"))
    with progress_bars() as report:
        trained = make_classifier(loaded, data, embedder, out, report)
    if as_json:
        rates = {name: asdict(rate) for name, rate in trained.rates.items()}
        typer.echo(json.dumps({"classifier": trained.classifier.digest, "rates": rates}, indent=2))
        return
    for name, rate in trained.rates.items():
        typer.echo(f"{name:<40}\t{rate.count}\t{rate.share:.3f}\t(phrases {rate.phrases:.3f})")
    typer.echo(f"{trained.classifier.manifest.name}\t{out}")


@app.command()
def toxicity(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder with one folder for each source of the recipe.")],
    out: Annotated[Path, typer.Option(help="Where the model goes.")],
    recipe: Annotated[Path | None, typer.Option(help="Recipe file; default: the shipped one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train the toxicity model: texts, vectors, training, thresholds, figures and model card."""
    from finetune.toxicity.artefact import table
    from finetune.toxicity.pipeline import make_model
    from finetune.toxicity.recipe import SHIPPED, load_recipe
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.embedder import load_embedder

    settings = settings_of(ctx.obj)
    loaded = load_recipe(recipe or SHIPPED)
    embedder = load_embedder(settings, load_catalogue(settings.project_dir).get(loaded.embedder, "embedder"))
    with progress_bars() as report:
        trained = make_model(loaded, data, embedder, out, report)
    if as_json:
        figures = {name: asdict(item) for name, item in trained.figures.items()}
        typer.echo(json.dumps({"model": trained.model.digest, "figures": figures}, indent=2))
        return
    typer.echo(table(trained.figures))
    typer.echo(f"{trained.model.manifest.name}\t{out}")
