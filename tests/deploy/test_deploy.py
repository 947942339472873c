"""The files of deploy/: parsed as their tools parse them, and run as processes, with a tiny study, on the machine's PostgreSQL."""

import contextlib
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
import yaml
from aftermath import assert_whole
from containers import Host, Unset, compose, jobs, mounted_config
from databases import empty_database
from processes import Process, free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECRET = "hunter2"
VARIABLES = {"POSTGRES_PASSWORD": SECRET}
SECRETS = {"dfkd-tune": {"postgres-password": SECRET}}
GUIDE = (ROOT / "docs" / "guides" / "deployment.md").read_text(encoding="utf-8")
VERSION = importlib.metadata.version("dfkd-tune")


def containers():
    yield from compose(DEPLOY / "compose.yaml", VARIABLES).items()
    yield from jobs(DEPLOY / "kubernetes.yaml", SECRETS).items()


def until(true, what: str, patience: float = 120.0) -> None:
    limit = time.monotonic() + patience
    while not true():
        assert time.monotonic() < limit, what
        time.sleep(0.2)


class TestFiles:
    def test_images_are_pinned(self):
        for name, container in containers():
            image, _, version = container.image.rpartition(":")
            assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", version), (name, container.image)
            assert image != "dfkd-tune" or version == VERSION

    def test_secrets_come_from_outside(self):
        with pytest.raises(Unset, match="POSTGRES_PASSWORD"):
            compose(DEPLOY / "compose.yaml", {})
        held = [name for name, container in containers() if SECRET in container.environment.values()]
        assert held == ["postgres", "mlflow", "study", "worker", "pump", "pump-workers"]
        for name, container in containers():
            assert SECRET not in " ".join([*container.command, *container.health]), name  # where every user can see it
        for file in DEPLOY.iterdir():
            assert not re.search(r"password\W+\w+@|://\w+:\w+@", file.read_text()), file

    def test_two_workers_help_the_study(self):
        made = dict(containers())
        assert (made["worker"].copies, made["pump-workers"].copies) == (2, 2)

    def test_pods_are_let_into_a_restricted_namespace(self):
        """What the Pod Security Standard "restricted" demands; a namespace may enforce it."""
        for job in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")):
            pod = job["spec"]["template"]["spec"]
            own = [container["securityContext"] for container in pod["containers"]]
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert own == [{"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}]
            assert all(volume.keys() - {"name"} <= {"configMap", "emptyDir"} for volume in pod["volumes"])

    def test_by_default_compose_runs_the_quickstart(self):
        study = compose(DEPLOY / "compose.yaml", VARIABLES)["study"]
        (file,) = (word for word in study.command if word.startswith("/study/"))
        assert (DEPLOY / study.mounts["/study"] / Path(file).name).exists()

    def test_the_guide_names_what_there_is(self):
        made = dict(containers())
        for kind, name in re.findall(r"\b(job|configmap|secret generic)[ /](\S+)", GUIDE):
            there = {
                "job": set(made),
                "configmap": {source for container in made.values() for source in container.mounts.values()},
                "secret generic": set(SECRETS),
            }[kind]
            assert name in there, (kind, name)
        for file in re.findall(r"deploy/[\w.-]+", GUIDE):
            assert (ROOT / file.rstrip(".")).exists() or file == "deploy/.env", file
        for service in re.findall(r"compose\.yaml (?:exec|logs|up)[^#\n]*? (postgres|mlflow|study|worker)\b", GUIDE):
            assert service in made


class TestImage:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")).splitlines()

    def said(self, instruction: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.lines if line.startswith(instruction + " ")]

    def test_has_a_fixed_base_and_a_plain_user(self):
        assert [re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) is not None for base in self.said("FROM")] == [
            True
        ]
        assert self.said("USER") == ["1000"]

    def test_installs_what_the_project_has(self):
        (install,) = (line for line in self.said("RUN") if "pip install" in line)
        assert "--constraint constraints.txt" in install
        (extras,) = re.findall(r"'\.\[([\w,]+)\]'", install)
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert "postgresql" in extras and set(extras.split(",")) <= set(known)

    def test_the_package_builds_from_what_is_copied(self, tmp_path):
        allowed = [
            line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
        ]
        copied = [words.split() for words in self.said("COPY")]
        for *sources, target in copied:
            for source in sources:
                assert source in allowed, f"{source} is not sent to the builder"
                there = tmp_path / target / ("" if target.endswith("/") else ".")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, there)
        build = "import hatchling.build as b; print(b.build_wheel('dist'))"
        made = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        with zipfile.ZipFile(tmp_path / "dist" / made.stdout.split()[-1]) as wheel:
            names = set(wheel.namelist())
            (about,) = (name for name in names if name.endswith("entry_points.txt"))
            programs = io.TextIOWrapper(wheel.open(about)).read()
        assert {"dfkd_tune/cli/main.py", "dfkd_tune/studies/quickstart.yaml"} <= names
        assert "dfkd-tune = " in programs

    def test_every_command_is_a_program_of_the_image(self):
        for name, container in containers():
            if container.image.startswith("dfkd-tune:"):
                assert container.command[0] in ("dfkd-tune", "mlflow"), name
                assert (Path(sys.executable).parent / container.command[0]).exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory, small_teacher, tree) -> dict[str, bytes]:
    """What a person puts into the study's folder: a study of three trials, its teacher and its architecture."""
    made = tree("any", trials=3)
    made["teacher"] = {key: Path(path).name for key, path in small_teacher.items()}
    study = yaml.safe_dump(made).encode()
    beside = {Path(path).name: Path(path).read_bytes() for path in small_teacher.values()}
    return {"study.yaml": study, "tiny.yaml": study} | beside


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """PostgreSQL with the two databases of Compose, and its MLflow server, until it is healthy."""
    home, port = tmp_path_factory.mktemp("containers"), free_port()
    (home / "artifacts").mkdir()
    sql = " ".join(line for line in (DEPLOY / "databases.sql").read_text().splitlines() if not line.startswith("--"))
    services = compose(DEPLOY / "compose.yaml", VARIABLES)
    assert services["postgres"].mounts["/docker-entrypoint-initdb.d/databases.sql"] == "./databases.sql"
    with empty_database() as optuna, empty_database(sql.replace("mlflow", "{}").strip("; ")) as mlflow:
        here = Host(
            home,
            {
                f"postgresql://dfkd@postgres/{services['postgres'].environment['POSTGRES_DB']}": optuna,
                "postgresql+psycopg2://dfkd@postgres/mlflow": mlflow.replace("://", "+psycopg2://"),
                "http://mlflow:5000": f"http://127.0.0.1:{port}",
                "http://localhost:5000": f"http://localhost:{port}",
                "--port=5000": f"--port={port}",
                "--host=0.0.0.0": "--host=127.0.0.1",
                "=/artifacts": f"={home}/artifacts",
            },
        )
        assert is_healthy(here, services["postgres"])
        with here.running(services["mlflow"], "mlflow") as server:
            try:
                until(lambda: server.poll() is not None or is_healthy(here, services["mlflow"]), "not healthy")
                assert server.poll() is None
            except AssertionError:
                pytest.fail(here.said("mlflow")[-2000:])
            yield here, optuna, f"http://127.0.0.1:{port}"
            assert server.poll() is None, here.said("mlflow")[-2000:]


def is_healthy(host: Host, container) -> bool:
    command = host.words(container.health)
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None and not os.environ.get("CI"):
        return True  # a client of PostgreSQL need not be installed where its server is not
    ended = subprocess.run([str(program), *command[1:]], capture_output=True, env=host.environment(container))
    return ended.returncode == 0


def test_the_server_answers_by_its_name_in_compose_alone(host):
    """MLflow refuses requests for names that it does not know, which a server in a container must be told."""
    _, _, address = host
    asked = urllib.request.Request(f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0")
    asked.add_header("Host", "mlflow:5000")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200
    asked.add_header("Host", "elsewhere.example:5000")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(asked, timeout=10)


def end_well(host: Host, started: dict[str, Process]) -> None:
    """Every container ends by itself with exit status 0."""
    for name, process in started.items():
        assert process.wait(300) == 0, (name, host.said(name)[-2000:])
        assert SECRET not in host.said(name)


def assert_kept(host, name: str) -> None:
    here, storage, address = host
    assert_whole(storage, address, name, 3, here.home / "artifacts")


def test_compose(host, files):
    here, *_ = host
    folder = here.home / "study-folder"
    folder.mkdir()
    for file, data in files.items():
        (folder / file).write_bytes(data)
    services = compose(
        DEPLOY / "compose.yaml", VARIABLES | {"STUDY": "tiny", "STUDY_FOLDER": str(folder), "THREADS": "1"}
    )
    with contextlib.ExitStack() as engine:
        started = {}
        for name in ("worker", "study"):  # whoever is first: workers wait for the study
            assert services[name].mounts == {"/study": str(folder)}
            for copy in range(services[name].copies):
                mounts = {"/study/": f"{folder}/"}
                key = f"{name}-{copy}"
                started[key] = engine.enter_context(here.helping(services[name], key, mounts))
        end_well(here, started)
    assert_kept(host, "tiny")
    for copy in range(2):
        assert "tiny: all 3 trials are done" in here.said(f"worker-{copy}")


def test_kubernetes(host, files):
    """Every pod has the ConfigMap at the same place, but behind the links it is a folder of the pod's own."""
    here, *_ = host
    place = here.home / "config"
    for name, container in jobs(DEPLOY / "kubernetes.yaml", SECRETS).items():
        assert container.mounts == {"/study": "pump", "/home/dfkd/mlruns": ""}
        mounted_config(place, files, stamp=f"2025_11_29_01_35_00.{name}")
        with here.helping(container, name, {"/study/": f"{place}/"}) as process:
            end_well(here, {name: process})
        shutil.rmtree(place)
    assert_kept(host, "pump")
    assert "pump: all 3 trials are done" in here.said("pump-workers")
