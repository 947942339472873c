"""What a trial costs in the study's database: claim and tell, over recorded trials and workers, on PostgreSQL.

    python benchmarks/claims.py --url postgresql://postgres@127.0.0.1:5432 --recorded 0 1000 10000 --workers 1 8 64

Three ways: ``ours``, the slots of this package; ``optuna``, ``Study.ask`` and ``tell`` on the same database; ``grpc``, the same through
Optuna's gRPC storage proxy (``pip install grpcio``). A worker thinks between claim and tell, so that all of them together end
``--rate`` trials a second: what is timed is the database with so many workers, not a queue for the cores of one machine that
simulates them. The worker's processor time tells its part also on a busy machine. Recorded trials have 9 parameters, 8 reports and 8 attributes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import random
import socket
import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import datetime

import figures
import optuna
import psycopg2
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.storages import GrpcStorageProxy, RDBStorage, run_grpc_proxy_server
from optuna.storages._rdb import models
from optuna.trial import TrialState

from dfkd_tune.locations.paths import absolute
from dfkd_tune.search.optuna_kinds import AutoSampler
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.utils import hardware

FORK = multiprocessing.get_context("fork")
NAMES = [f"leaf.{i}" for i in range(9)]
SPACE = FloatDistribution(0.0, 1.0)
ATTRIBUTES = {f"metric.{i}": 0.5 for i in range(7)} | {"recipe": json.dumps({"student": {"kind": "mlp", "width": 50}})}


@contextlib.contextmanager
def database(server: str) -> Iterator[str]:
    """A database of its own."""
    name = f"dfkd_claims_{uuid.uuid4().hex[:8]}"
    admin = psycopg2.connect(f"{server}/postgres")
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{server}/{name}"
    finally:
        with admin.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()


def record(storage: RDBStorage, study: optuna.Study, count: int) -> None:
    """Complete trials, inserted at once."""
    dice, now, form = random.Random(0), datetime.now(), distribution_to_json(SPACE)
    with storage.scoped_session() as session:
        rows = [
            models.TrialModel(
                study_id=study._study_id, number=i, state=TrialState.COMPLETE, datetime_start=now, datetime_complete=now
            )
            for i in range(count)
        ]
        session.add_all(rows)
        session.flush()
        ids = [row.trial_id for row in rows]
        for model, made in (
            (
                models.TrialParamModel,
                lambda i: [
                    {"trial_id": i, "param_name": name, "param_value": dice.random(), "distribution_json": form}
                    for name in NAMES
                ],
            ),
            (
                models.TrialValueModel,
                lambda i: [{"trial_id": i, "objective": 0, "value": dice.random(), "value_type": "FINITE"}],
            ),
            (
                models.TrialUserAttributeModel,
                lambda i: [{"trial_id": i, "key": k, "value_json": json.dumps(v)} for k, v in ATTRIBUTES.items()],
            ),
            (
                models.TrialIntermediateValueModel,
                lambda i: [
                    {
                        "trial_id": i,
                        "step": step,
                        "intermediate_value": dice.random(),
                        "intermediate_value_type": "FINITE",
                    }
                    for step in range(8)
                ],
            ),
        ):
            session.execute(model.__table__.insert(), [row for i in ids for row in made(i)])
        session.commit()
        session.connection().exec_driver_sql("ANALYZE")
        session.commit()


def joined(url: str) -> TrialQueue:
    """The slots as one sees them who has read the trials on record, which every worker does once, as it joins."""
    storage = open_storage(url)
    study = optuna.load_study(study_name="claims", storage=storage, sampler=optuna.samplers.RandomSampler())
    study.get_trials(deepcopy=False)
    storage.scoped_session.remove()
    return TrialQueue(study, storage)


def ours(queue: TrialQueue, total: int):
    """Claim and tell by slots, in a copy of the process that joined."""
    queue.storage.engine.dispose(close=False)

    def tell(claimed) -> None:
        assert queue.complete(claimed.trial, TrialState.COMPLETE, (0.5,), ATTRIBUTES)

    return (lambda: queue.claim(total)), tell


def by_optuna(storage):
    """Claim and tell as Optuna does."""
    study = optuna.load_study(study_name="claims", storage=storage, sampler=optuna.samplers.RandomSampler())

    def tell(trial) -> None:
        for name, value in ATTRIBUTES.items():
            trial.set_user_attr(name, value)
        study.tell(trial, 0.5)

    return study.ask, tell


def work(
    way: str, url: str, queue: TrialQueue | None, port: int, total: int, think: float, until: float, results
) -> None:
    """One simulated worker."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if way == "ours":
        claim, tell = ours(queue, total)
    elif way == "optuna":
        claim, tell = by_optuna(RDBStorage(absolute(url), engine_kwargs={"pool_size": 1}))
    else:
        claim, tell = by_optuna(GrpcStorageProxy(host="127.0.0.1", port=port))
    time.sleep(random.random() * think)
    spent = []
    while time.time() < until:
        start, used = time.perf_counter(), time.process_time()
        trial = claim()
        claimed = time.perf_counter()
        time.sleep(think)
        told = time.perf_counter()
        tell(trial)
        spent.append((claimed - start, time.perf_counter() - told, time.process_time() - used))
    results.put(spent)


def measure(way: str, url: str, workers: int, total: int, rate: float, seconds: float) -> dict[str, float]:
    """Milliseconds of claim and tell, and processor seconds in which a worker joins."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = None
    if way == "grpc":
        server = FORK.Process(
            target=lambda: run_grpc_proxy_server(RDBStorage(absolute(url)), host="127.0.0.1", port=port), daemon=True
        )
        server.start()
        time.sleep(3)
    think = workers / rate
    began = time.process_time()
    queue = joined(url) if way == "ours" else None
    join = time.process_time() - began
    until, results = time.time() + seconds + 0.1 * workers + think, FORK.Queue()
    processes = [
        FORK.Process(target=work, args=(way, url, queue, port, total, think, until, results)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    spent = [each for _ in processes for each in results.get(timeout=seconds + 3 * think + 120)]
    for process in processes:
        process.join()
    if server is not None:
        server.kill()
        server.join()
    claims, tells, used = ([1000 * each[i] for each in spent] for i in range(3))
    both = sorted(a + b for a, b in zip(claims, tells, strict=True))
    return {
        "trials": len(spent),
        "claim": statistics.median(claims),
        "tell": statistics.median(tells),
        "p95": both[int(0.95 * len(both))],
        "used": statistics.median(used),
        "join": join,
    }


def suggest(url: str) -> float:
    """Milliseconds in which our sampler chooses nine parameters, its first look at the study left out."""
    study = optuna.load_study(study_name="claims", storage=open_storage(url), sampler=AutoSampler(0))
    took = []
    for _ in range(6):
        trial = study.ask()
        start = time.perf_counter()
        for name in NAMES:
            trial.suggest_float(name, 0.0, 1.0)
        took.append(time.perf_counter() - start)
        study.tell(trial, 0.5)
    return 1000 * statistics.median(took[1:])


TITLES = {
    ("ours", 0, 1): "0 trials on record",
    ("ours", 10_000, 1): "10,000 trials on record",
    ("ours", 0, 64): "0 trials, 64 workers",
    ("ours", 10_000, 64): "10,000 trials, 64 workers",
    ("optuna", 0, 64): "0 trials, Optuna's `ask` and `tell`",
    ("grpc", 0, 64): "0 trials, the same through Optuna's gRPC proxy",
}
"""Way, recorded trials and workers -> row of the published table."""


def entries(
    rows: dict[tuple[str, int, int], dict[str, float]], sampler: dict[int, float], args: argparse.Namespace
) -> dict[str, figures.Measured]:
    """What a run with ``--recorded 0 10000 --workers 1 64`` publishes.

    Args:
        rows: what ``measure`` returned, by way, recorded trials and workers.
        sampler: recorded trials -> milliseconds in which our sampler chooses.
        args: the rate of the simulated workers.
    """
    shown = {
        title: [str(case[2]), *(f"{rows[case][name]:,.0f}" for name in ("claim", "tell", "p95", "used"))]
        for case, title in TITLES.items()
    }
    budget = f"simulated workers that together end {args.rate:g} trials a second"
    machine = f"{hardware.name()}, PostgreSQL on the same machine"
    values = {"join_seconds": round(rows["ours", 10_000, 1]["join"], 1), "sampler_seconds": round(sampler[0] / 1000, 3)}
    return {"claims": figures.Measured([0], budget, shown, values, tier="none", machine=machine)}


def main() -> None:
    """Print a table in Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="postgresql://postgres@127.0.0.1:5432")
    options.add_argument("--recorded", type=int, nargs="+", default=[0, 1000, 10000])
    options.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    options.add_argument("--ways", nargs="+", default=["ours", "optuna", "grpc"])
    options.add_argument("--rate", type=float, default=4.0)
    options.add_argument("--seconds", type=float, default=15.0)
    figures.add_option(options)
    given = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        "| way | recorded | workers | trials timed | claim, ms | tell, ms | both, 95th percentile, ms | worker's processor, ms |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    rows: dict[tuple[str, int, int], dict[str, float]] = {}
    sampler: dict[int, float] = {}
    for recorded in given.recorded:
        for way in given.ways:
            for workers in given.workers:
                with database(given.url) as url:
                    storage = open_storage(url)
                    study = optuna.create_study(study_name="claims", storage=storage)
                    if recorded:
                        record(storage, study, recorded)
                    storage.engine.dispose()
                    found = measure(way, url, workers, recorded + 10**5, given.rate, given.seconds)
                    rows[way, recorded, workers] = found
                    cells = [f"{found[name]:.1f}" for name in ("claim", "tell", "p95", "used")]
                    print(
                        "|",
                        " | ".join([way, str(recorded), str(workers), str(found["trials"]), *cells]),
                        "|",
                        flush=True,
                    )
        with database(given.url) as url:
            storage = open_storage(url)
            record(storage, optuna.create_study(study_name="claims", storage=storage), recorded or 20)
            storage.engine.dispose()
            sampler[recorded] = suggest(url)
            print(
                f"\n(with {recorded or 20} recorded, the sampler chooses nine parameters in {sampler[recorded]:.0f} ms)\n",
                flush=True,
            )
    if given.publish:
        figures.publish(entries(rows, sampler, given))


if __name__ == "__main__":
    main()
