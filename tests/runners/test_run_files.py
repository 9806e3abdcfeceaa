"""What training code gets, what it leaves, and what is kept of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from core.errors import InvalidParameter
from runners import datasets, packages
from runners import services as runners
from runners.models import (
    FailureClass,
    Pipeline,
    Run,
    RunStatus,
)
from tests.runners.conftest import DATA, log_of, start
from tests.runners.packages import package as zipped_package
from tests.runners.packages import with_train, zipped

pytestmark = pytest.mark.django_db
SCHEMA = json.loads(Path("runners/results.schema.json").read_text())
Finish = Callable[[Run], Run]
Upload = Callable[[BytesIO], None]


def test_up_06_training_code_sees_the_dataset_byte_for_byte(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = """import json, os
found = {}
for folder, _, names in os.walk(data_directory):
    for name in names:
        path = os.path.join(folder, name)
        found[os.path.relpath(path, data_directory)] = open(path).read()
print('SEEN', json.dumps([data_directory, found]))"""
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline))

    line = next(x for x in log_of(run).splitlines() if x.startswith("SEEN"))
    assert json.loads(line.removeprefix("SEEN")) == [
        "./data",
        {path: content.decode() for path, content in DATA.items()},
    ]


def test_up_05_run_may_take_a_folder_of_the_dataset(
    pipeline: Pipeline, finish: Finish
) -> None:
    run = finish(start(pipeline, dataset="prod.fraud.cells/sub"))

    assert "trained on 2 files" in log_of(run)
    with pytest.raises(InvalidParameter, match="no folder 'nowhere'"):
        start(pipeline, dataset="prod.fraud.cells/nowhere")


def test_up_07_parameters_are_environment_variables_and_nothing_is_inherited(
    pipeline: Pipeline, upload: Upload, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENLIGHT_SECRET_KEY", "hidden")
    body = "import json\nprint('ENV', json.dumps(dict(os.environ)))"
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline, parameters={"depth": "3"}))

    line = next(x for x in log_of(run).splitlines() if x.startswith("ENV"))
    seen = json.loads(line.removeprefix("ENV"))
    assert seen["depth"] == "3"
    assert seen["artifacts_directory"] == "artifacts"
    assert seen["save_training_data"] == "false"
    assert "GREENLIGHT_SECRET_KEY" not in seen
    assert "DJANGO_SETTINGS_MODULE" not in seen


def test_up_10_and_11_nested_artifacts_come_back_byte_for_byte(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = """root = pathlib.Path(os.environ['artifacts_directory'])
(root / 'plots').mkdir()
(root / 'plots' / 'curve.png').write_bytes(bytes(range(256)))
(root / 'my-training-artifact.txt').write_text('hello')"""
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline))

    found = {output.path: output.size for output in run.outputs.all()}
    assert found == {"my-training-artifact.txt": 5, "plots/curve.png": 256}
    with runners.open_output(
        run, "plots/curve.png", principal=pipeline.owner
    ) as stored:
        assert stored.read() == bytes(range(256))
    assert run.results["run_summary"]["outputs"]["artifacts_data"]


def test_up_17_artifacts_are_kept_when_the_run_fails(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = "open('artifacts/why.txt', 'w').write('x')\nraise ValueError"
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline))

    assert [output.path for output in run.outputs.all()] == ["why.txt"]


def test_up_18_run_works_in_a_private_copy(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = "pathlib.Path('train.py').open('a').write('# changed')"
    upload(zipped_package(with_train(body)))
    before = packages.path_of(runners.get_package_version(pipeline.package).digest)
    content = before.read_bytes()

    run = finish(start(pipeline))

    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    assert before.read_bytes() == content


def test_up_19_dataset_is_untouched_by_code_that_writes_into_it(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = """for path in pathlib.Path('data').rglob('*'):
    path.chmod(0o700)
pathlib.Path('data/a.csv').write_text('mine')"""
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline))

    with datasets.open_file(run.snapshot, "a.csv") as stored:
        assert stored.read() == DATA["a.csv"]


def test_up_21_trained_package_holds_the_model_but_no_data(
    pipeline: Pipeline, finish: Finish, tmp_path: Path
) -> None:
    run = finish(start(pipeline))

    with runners.open_package(run.trained_version) as stored:
        packages.unpack(stored, tmp_path / "again")
    names = sorted(
        path.relative_to(tmp_path / "again").as_posix()
        for path in (tmp_path / "again").rglob("*")
        if path.is_file()
    )
    assert names == [
        "model/MLmodel",
        "model/weights.txt",
        "requirements.txt",
        "train.py",
    ]


def test_up_31_trained_package_uploads_and_trains_again(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    first = finish(start(pipeline))
    with runners.open_package(first.trained_version) as stored:
        upload(BytesIO(stored.read()))

    run = finish(start(pipeline, version="2.0"))

    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    assert run.trained_version.number == "2.1"


def test_model_that_came_with_the_package_is_not_the_run_s(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    first = finish(start(pipeline))
    lazy = with_train("pass", save="pass")
    with runners.open_package(first.trained_version) as stored:
        files = packages_of(stored.read())
    upload(zipped({**files, "train.py": lazy.encode()}))

    run = finish(start(pipeline))

    assert run.failure_class == FailureClass.REGISTRATION


def packages_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_run_without_a_model_fails_and_names_what_was_found(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("pass", save="open('model.pkl', 'w').close()")))

    run = finish(start(pipeline))

    assert run.failure_class == FailureClass.REGISTRATION
    assert "no directory holds an MLmodel" in run.failure_summary
    assert "model.pkl" in run.failure_summary
