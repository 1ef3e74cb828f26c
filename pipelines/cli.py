"""The `tandem` command. Heavy packages are imported where a command needs them, so `--help` answers at once."""

import os
import signal

# TensorFlow Recommenders imports only with this set before TensorFlow is first imported.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Product search and recommendation for a shop: train, judge, export and serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The run's YAML file.")]
Source = Annotated[Path | None, typer.Option(help="The shop's folder or the data set's zip; overrides source.path.")]
Models = Annotated[Path, typer.Option(help="The folder of released models.")]


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Write a commented config and an example of each table, to see what your own files must look like."""
    from pipelines.scaffold import scaffold

    scaffold(folder)


@app.command()
def settings(
    section: Annotated[str | None, typer.Argument(help="One section or setting alone, as towers.training.")] = None,
) -> None:
    """Print every setting of a config as YAML: its default, what it says and the values it takes."""
    from pipelines.settings_reference import settings_reference

    typer.echo(settings_reference(section), nl=False)


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="The folder with products, events, users, judgments and images.")],
    out: Annotated[Path, typer.Argument(help="Where the validated tables go.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A config whose `ingest` section is used.")
    ] = None,
) -> None:
    """Check a shop's files: validated tables, rejected rows with their reasons, and a summary."""
    from catalog.errors import DataError
    from catalog.ingest import IngestConfig, summary_table
    from catalog.ingest import ingest as run_ingest
    from catalog.progress import output_console
    from pipelines.ownership import holds_run

    if holds_run(out.resolve().parent):
        raise DataError(
            f"{out} lies in the workspace of a run, which would take these tables for its own; give another folder, or "
            "make the run's with `tandem run --config CONFIG --until ingest`"
        )
    settings = IngestConfig()
    if config is not None:
        from pipelines.config import load_config

        settings = load_config(config).ingest
    run_ingest(source, out, settings)
    output_console().print(summary_table(out))


@app.command()
def run(
    config: Config,
    source: Source = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    force: Annotated[list[str] | None, typer.Option(help="Run this stage even if nothing changed.")] = None,
) -> None:
    """Run every stage that is not done yet, from the shop's files to a release and its report."""
    from pipelines.config import load_config
    from pipelines.run import run_pipeline

    run_pipeline(load_config(config, source), until=until, force=set(force or []))


@app.command()
def retrain(config: Config, source: Source = None) -> None:
    """Run the pipeline on new data into a new version; the stages whose input is the same as before are kept."""
    from pipelines.config import load_config
    from pipelines.run import retrain as run_retrain

    run_retrain(load_config(config, source))


@app.command()
def tune_index(config: Config, source: Source = None) -> None:
    """Choose the index and its settings for the recall target, and print what was measured."""
    from pipelines.config import load_config
    from pipelines.run import run_pipeline

    run_pipeline(load_config(config, source), until="index", force={"index"})


@app.command()
def tune(
    config: Config,
    source: Source = None,
    trials: Annotated[int, typer.Option(min=1, help="Finished trials in all, earlier calls' included.")] = 20,
    part: Annotated[Literal["towers", "rerank"], typer.Option(help="What is tuned.")] = "towers",
    timeout: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many seconds; the same command goes on.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="A YAML file with other ranges; the default is pipelines/search_space.py.")
    ] = None,
) -> None:
    """Search better settings of the towers or the reranker on the validation days; stopped, the same command goes on.

    Trains each trial from the finished stages of the run (`tandem run` first), the config's own values first, and
    changes none of them. Writes runs/NAME/tune/best-PART.yaml, a config for `tandem run`, and a study with trials.json.
    """
    from catalog.progress import console, output_console
    from pipelines.config import load_config
    from pipelines.tuning import tune as search

    result = search(load_config(config, source), part, trials, timeout, space)
    if result.report.table is not None:
        output_console().print(result.report.table)
    for line in result.report.lines():
        console.print(line)
    if result.ending != "finished":
        console.print(f"tune: stopped ({result.ending}) before {trials} trials; the same command goes on")
    if result.ending in ("SIGINT", "SIGTERM"):
        raise typer.Exit(128 + signal.Signals[result.ending])


@app.command()
def evaluate(config: Config, source: Source = None) -> None:
    """Score the last release of this config beside the baselines, and write report.json and report.html."""
    from pipelines.config import load_config
    from pipelines.run import evaluate as run_evaluate

    run_evaluate(load_config(config, source))


# The flags are tensorflow_model_server's, in its own forms: `serving/flags.py` reads them, `--help` among them.
@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    options_metavar="[--flag=value ...]",
)
def serve(context: typer.Context) -> None:
    """Serve released models over TF Serving's API until SIGTERM, with tensorflow_model_server's flags (`--help`)."""
    from serving.flags import parse_flags, usage

    flags = parse_flags(context.args)
    if flags.question == "help":
        typer.echo(usage())
        return
    from serving.process import prepare_environment

    prepare_environment()
    from pipelines.serve import print_version, run_server

    if flags.question == "version":
        print_version()
        return
    run_server(flags)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='What is searched for; "" asks for recommendations.')] = "",
    config: Annotated[Path, typer.Option("--config", "-c", help="The run whose users and products are meant.")] = Path(
        "pipelines/configs/demo.yaml"
    ),
    user: Annotated[str | None, typer.Option(help="Whose history comes with the query; nobody's if empty.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search with.")] = None,
    address: Annotated[str, typer.Option(help="host:port of the server.")] = "127.0.0.1:8500",
    k: Annotated[int, typer.Option(min=1, help="How many products to print.")] = 10,
) -> None:
    """Ask a running server and print the products in a table."""
    from pipelines.ask import print_search

    print_search(config, query, user, image, address, k)


@app.command()
def doctor(
    address: Annotated[str, typer.Argument(help="host:port of the server's gRPC.")] = "127.0.0.1:8500",
    models: Annotated[
        Path | None, typer.Option(help="The folder of releases, for sample requests and age; strangers without.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests a model is timed over.")] = 200,
    max_p99_ms: Annotated[float | None, typer.Option(min=0.0, help="Fail when p99 is above.")] = None,
    max_age_days: Annotated[float, typer.Option(min=0.0, help="Warn when the catalogue is older.")] = 14.0,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds a call may take.")] = 5.0,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the server's CA; turns TLS on.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file of a client certificate, for mutual TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table.")] = False,
) -> None:
    """Examine a running TF Serving: models, versions, signatures, latency, recall, age; exit code 1 if one fails."""
    from pipelines.doctor import run_doctor
    from serving.doctor import Standards

    standards = Standards(timeout=timeout, calls=requests, p99_ms=max_p99_ms, age_days=max_age_days)
    if not run_doctor(address, models, standards, (ca, cert, key), as_text=not json):
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """The demo shop end to end: data, training, release, a server in its own process, answers and the report."""
    from pipelines.demo import run_demo

    run_demo()


@app.command()
def render_config(
    template: Annotated[Path, typer.Argument(help="serving_config/embedded.config or serving_config/stock.config.")],
    models: Models = Path("saved_models"),
    out: Annotated[Path | None, typer.Option(help="Write here instead of printing.")] = None,
) -> None:
    """Render a model config with the absolute paths that TF Serving wants."""
    from catalog.files import atomic_path
    from serving.model_config import render_config as render

    text = render(template, models)
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Run the command line; an error of the input or of a file is a message and exit code 1, not a traceback."""
    import logging

    from catalog.errors import TandemError

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        app()
    except TandemError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno is None:  # not the system's: a library that met something it does not expect
            raise
        from pipelines.folders import in_words

        typer.secho(f"error: {in_words(error)}", fg="red", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
