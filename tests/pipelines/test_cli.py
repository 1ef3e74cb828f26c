"""The command line answers at once, and an error of the input is a message, not a traceback."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import ConfigError
from pipelines import cli
from pipelines.config import load_config
from pipelines.run import STAGES, config_path
from pipelines.scaffold import scaffold

HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "duckdb", "pydantic", "optuna")


def tandem(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['tandem', '--help']\n"
        "from pipelines.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print(sorted(name for name in {HEAVY} if name in sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    commands = "init settings ingest run retrain tune-index tune evaluate serve search demo"
    for command in commands.split():
        assert command in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--config", "absent.yaml"), "absent.yaml: not a readable YAML file"),
        (("run", "--config", "odd.yaml"), "did you mean 'towers'"),
        (("run", "--config", "files.yaml"), "no path came; give `--source PATH`"),
        (("run", "--config", "files.yaml", "--source", "nowhere"), "nowhere does not exist"),
        (("run", "--config", "files.yaml", "--until", "towrs"), "unknown stage 'towrs'"),
        (("tune", "--config", "files.yaml"), "source, ingest, features, images not done for this config"),
        (("tune", "--config", "files.yaml", "--space", "absent.yaml"), "tandem run --config CONFIG --until images"),
        (("settings", "towers.trainin"), "did you mean 'towers.training'"),
        (("init", "."), "not an empty folder"),
        (("ingest", ".", "ours/tables"), "ours/tables lies in the workspace of a run"),
        (("serve", "--modle_name", "m"), "unknown flag --modle_name; did you mean --model_name?"),
        (("serve", "--model_config_file=absent.config"), "absent.config: the model config cannot be read"),
    ],
)
def test_errors_are_messages(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "odd.yaml").write_text("name: shop\ntower: {dim: 8}\n")
    (tmp_path / "files.yaml").write_text("name: shop\nsource: {kind: files}\n")
    (tmp_path / "ours" / "stages").mkdir(parents=True)
    (tmp_path / "ours" / "stages" / "source.json").touch()
    result = tandem(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def without_tensorflow(*arguments: str, code: int, loaded: str, cwd: Path) -> str:
    """What `tandem` prints where it ends with `code`, having loaded a module of ours and not TensorFlow."""
    program = (
        f"import sys; sys.argv = ['tandem', *{arguments!r}]\n"
        "from pipelines.cli import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert (end.code or 0) == {code}\n"
        f"assert {loaded!r} in sys.modules\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_serve_tells_its_flags_without_tensorflow(tmp_path: Path) -> None:
    told = without_tensorflow("serve", "--help", code=0, loaded="serving.flags", cwd=tmp_path)
    assert "--rest_api_port" in told


def test_the_settings_are_listed_without_tensorflow(tmp_path: Path) -> None:
    listed = without_tensorflow("settings", "release", code=0, loaded="pipelines.settings_reference", cwd=tmp_path)
    assert "  candidates: 200\n" in listed


def test_a_run_says_what_is_wrong_before_tensorflow_is_there(tmp_path: Path) -> None:
    without_tensorflow("run", "--config", "absent.yaml", code=1, loaded="pipelines.run", cwd=tmp_path)


@pytest.mark.parametrize("name", ["demo", "fashion", "fashion-small"])
def test_the_configs_that_ship_are_valid(name: str) -> None:
    assert load_config(config_path(name)).name == name


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my-shop", "my-shop"),
        ("2024", "2024"),
        ("on", "on"),
        ("Shop #1", "shop-1"),
        ("a: b", "a-b"),
        ("'红' \"[é]\" \\ \x7f \U0001f45f", "shop"),
    ],
)
def test_a_new_shops_config_names_its_folder_whatever_it_is_called(tmp_path: Path, folder: str, name: str) -> None:
    scaffold(tmp_path / folder)
    config = load_config(tmp_path / folder / "shop.yaml")
    assert config.source.path == tmp_path / folder / "raw"
    assert config.workspace == tmp_path / folder / "run"  # shared with no other shop, as the next
    assert config.models_dir == tmp_path / folder / "saved_models"
    assert (config.source.path / "products.csv").exists()
    assert config.name == name


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (("init", "shop.yaml/new"), "", "error: shop.yaml/new: Not a directory"),
        (("run", "--config", "shop.yaml"), "workspace: shop.yaml/run", "workspace: shop.yaml/run cannot be written to"),
        (("run", "--config", "shop.yaml"), "models_dir: shop.yaml", "models_dir: shop.yaml cannot be written to"),
        (("run", "--config", "shop.yaml", "--source", "other"), "source: /data", "source: received '/data'"),
    ],
)
def test_folders_that_are_none_are_messages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tandem", *arguments])
    Path("shop.yaml").write_text(f"name: shop\n{text}\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert message in capsys.readouterr().err


def test_an_error_of_the_system_is_a_message_and_one_of_the_program_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: OSError) -> Callable[[], None]:
        def app() -> None:
            raise error

        return app

    monkeypatch.setattr(cli, "app", fail(OSError(errno.EROFS, "Read-only file system", "/mnt/run")))
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == "error: /mnt/run: Read-only file system\n"
    monkeypatch.setattr(cli, "app", fail(OSError("not what the library expects")))
    with pytest.raises(OSError, match="not what the library expects"):
        cli.main()


def test_the_sources_path_comes_beside_what_the_config_says_of_it(tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("name: shop\nsource: {kind: fashion, limit: 5}\nsimulate: {products: 0}\n")
    source = load_config(config, tmp_path / "fashion.zip").source
    assert (source.kind, source.limit, source.path) == ("fashion", 5, tmp_path / "fashion.zip")


def test_settings_that_must_agree_are_named(tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("name: shop\nrelease: {candidates: 50, results: 20}\n")

    with pytest.raises(ConfigError, match=r"index\.k = 200 and release\.candidates = 50 must be the same"):
        load_config(config)


def test_stages_read_only_what_came_before() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert set(stage.after) <= seen
        seen.add(stage.name)
