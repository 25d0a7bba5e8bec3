"""One run from job to receipt: unlearn, seal, measure, score. A stage that finished is not done again."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import logging
import shutil
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import __version__
from evaluator.artifact import BaseTensors, SealedArtifact, seal
from evaluator.attacks import ModelAttack, SampledAttack, attack_get
from evaluator.benchmark.secret import release_key
from evaluator.contract import EvaluationFailed, FailureCode, Job, Receipt, ReleaseCard, Scorecard
from evaluator.contract.disclosure import issued_at_format, stage_message
from evaluator.contract.seconds import MEASURING
from evaluator.home import Home, write_atomically
from evaluator.measures.score import cost_shown, scorecard_make
from evaluator.model.base import BaseModelDirectory, base_load
from evaluator.model.conformance import server_check, server_check_again
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.model.remote import RemoteModel
from evaluator.pipeline.base_values import base_values_add
from evaluator.pipeline.clock import Clock
from evaluator.pipeline.declared import stores_requests
from evaluator.pipeline.fast import asked_probes, fast_model, fast_told, unstable_left_out
from evaluator.pipeline.inputs import inputs_write
from evaluator.pipeline.progress import ProgressFile, StageRecord
from evaluator.pipeline.provenance import evaluator_sha256, hardware, versions
from evaluator.pipeline.timed import TimedModel, TimedWeights
from evaluator.receipt import receipt_sign, signing_key
from evaluator.sandbox import ContainerSpec, Mount, Progressed, Sandbox, sandbox_for
from evaluator.trace import trace_read, trace_redact, trace_seal, trace_write

if TYPE_CHECKING:
    from evaluator.model.engine.primitives import PrimitiveStore

logger = logging.getLogger(__name__)

SERVER_READY_S = 180.0
#: Less room than this on the work folder's disk is none.
DISK_FULL_BYTES = 1 << 20


@dataclass(frozen=True)
class Context:
    """What every stage of one run needs."""

    job: Job
    home: Home
    card: ReleaseCard
    release: Path
    base: BaseModelDirectory
    sandbox: Sandbox
    progress: ProgressFile
    record: StageRecord
    #: The file of the probes that are asked: the release's, or a sample of them.
    probes: Path
    clock: Clock

    @property
    def log(self) -> Path:
        return self.job.out_dir / "run.log"


def context_make(job: Job, home: Home, clock: Clock) -> Context:
    """Find the release and its base. Raises `EvaluationFailed(platform_error)` when one is not built here."""
    job.work_dir.mkdir(parents=True, exist_ok=True)
    job.out_dir.mkdir(parents=True, exist_ok=True)
    try:
        release = home.release(job.release)
        card = ReleaseCard.model_validate_json((release / "card.json").read_text())
        base = base_load(home.models / card.base_name)
    except (LookupError, ValueError, OSError) as error:
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"{type(error).__name__}: {error}") from None
    if base.sha256 != card.base_sha256:
        raise EvaluationFailed(
            FailureCode.PLATFORM_ERROR,
            f"base: {base.name} is {base.sha256}, the release was built on {card.base_sha256}",
        )
    sandbox = sandbox_for(job.backend, home.root)
    progress, record = ProgressFile(job.out_dir, job.run_id), StageRecord(job.work_dir)
    return Context(job, home, card, release, base, sandbox, progress, record, asked_probes(job, card, release), clock)


def run(job: Job, home: Home) -> Scorecard:
    """Do the whole run; every file of `out_dir` appears whole or not at all.

    Raises `EvaluationFailed` after writing the failure to `progress.json`.
    """
    job.out_dir.mkdir(parents=True, exist_ok=True)
    progress, clock = ProgressFile(job.out_dir, job.run_id), Clock(job.work_dir, job.run_id)
    try:
        context = context_make(job, home, clock)
        progress.stage("starting")
        context.sandbox.sweep(job.run_id)
        artifact = _unlearn(context)
        with clock.stage("measure"):
            rows = _measure(context, artifact)
        with clock.stage("results"):
            scorecard = _score(context, artifact, rows)
        write_atomically(job.out_dir / "seconds.json", clock.seconds().model_dump_json(indent=2) + "\n")
        progress.stage("done")
        return scorecard
    except EvaluationFailed as failure:
        progress.failed(failure.code, failure.detail)
        raise
    except Exception as error:
        detail = "".join(traceback.format_exception(error))
        progress.failed(FailureCode.PLATFORM_ERROR, detail)
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, detail) from error
    finally:
        clock.note()


def _unlearn(context: Context) -> SealedArtifact:
    job, clock = context.job, context.clock
    sealed_dir = job.work_dir / "sealed"
    tensors = BaseTensors.read(context.base.path)

    def sealed(out_dir: Path) -> SealedArtifact:
        with clock.stage("seal"):
            return seal(
                out_dir,
                sealed_dir,
                base=tensors,
                base_sha256=context.base.sha256,
                division=job.manifest.division,
                limits=job.limits,
            )

    if (sealed_dir / "seal.json").is_file():
        return sealed(sealed_dir)
    if job.manifest.run.base != "any" and context.base.sha256 not in job.manifest.run.base:
        raise EvaluationFailed(
            FailureCode.BASE_MISMATCH,
            f"run.base: the manifest allows {job.manifest.run.base}, the release has {context.base.sha256}",
        )
    with clock.stage("inspect"):
        report = context.sandbox.inspect(job.image, job.manifest)
    if not report.ok:
        reasons = "; ".join(f"{p['field']}: {p['problem']}" for p in report.problems)
        raise EvaluationFailed(FailureCode.IMAGE_REFUSED, reasons)
    context.progress.stage("unlearning")
    with clock.stage("inputs"):
        inputs = inputs_write(job.work_dir / "in", job=job, base=context.base, release=context.release)
    spec = ContainerSpec(
        run_id=job.run_id,
        role="unlearn",
        image=job.image,
        args=("unlearn", *job.manifest.run.args),
        mounts=(Mount(inputs, "/in"), Mount(context.base.path, "/in/base")),
        env={"PALIMPSEST_IN": "/in", "PALIMPSEST_OUT": "/out"},
        limits=job.limits,
        threads=job.threads,
    )

    def on_progress(step: Progressed) -> None:
        context.progress.fraction(step.fraction, stage_message(step.stage, hidden=context.card.split == "hidden"))

    scratch = job.work_dir / "scratch"
    for again in (False, True):
        life = context.sandbox.unlearn(spec, scratch=scratch, log=context.log, on_progress=on_progress)
        with clock.around("container", life) as ended:
            clock.shift(ended.wall_s, "container", "unlearn")
            if ended.killed_from_outside and not again:
                logger.warning("the container was killed for no reason that is counted; it is started once more")
                continue
            if ended.failure is not None:
                raise EvaluationFailed(_blame(ended.failure, job.work_dir), ended.detail)
            context.progress.stage("sealing")
            artifact = sealed(ended.out_dir)
            break
    context.record.add(unlearn_wall_s=ended.wall_s, peak_mb=ended.peak_mb, artifact_mb=artifact.size_bytes / 2**20)
    return artifact


def _blame(failure: FailureCode, work_dir: Path) -> FailureCode:
    """A method that could not write because our disk is full (backends without a disk of its own) has not failed."""
    full = shutil.disk_usage(work_dir).free < DISK_FULL_BYTES
    return FailureCode.PLATFORM_ERROR if full and failure is FailureCode.METHOD_ERROR else failure


@contextmanager
def _under_test(
    context: Context, artifact: SealedArtifact, tokenizer: Any, attack: ModelAttack | None = None
) -> Iterator[tuple[Any, str]]:
    """The model under test and its fingerprint: sealed weights in this process, or the method's server in a fresh
    container. With an `attack`, the weights after it.
    """
    job = context.job
    if artifact.kind != "server":
        from evaluator.model.adapter import adapter_merge  # noqa: PLC0415 - loads torch
        from evaluator.model.local import LocalModel, model_load, weights_sha256  # noqa: PLC0415 - loads torch

        model = model_load(context.base.path, artifact.path / "model" if artifact.kind == "weights" else None)
        if artifact.kind == "adapter":
            adapter_merge(model, artifact.path / "adapter")
        if attack is not None:
            model = attack.applied(model)
        local = fast_model(job, model, tokenizer, context.release) if job.fast else LocalModel(model, tokenizer)
        mark = weights_sha256(model) if attack is None else f"{weights_sha256(model)}:{attack.name}"
        yield TimedWeights(local, context.clock, attacked=attack is not None), mark
        return
    from evaluator.model.engine.lm import EvaluatorLM  # noqa: PLC0415 - loads torch

    spec = ContainerSpec(
        run_id=job.run_id,
        role="serve",
        image=job.image,
        args=("serve", *job.manifest.run.args),
        mounts=(Mount(artifact.path / "state", "/state"), Mount(context.base.path, "/base")),
        env={"PALIMPSEST_STATE": "/state", "PALIMPSEST_BASE": "/base", "PALIMPSEST_SOCKET": "/run/palimpsest/api.sock"},
        limits=job.limits,
        threads=job.threads,
    )
    with context.sandbox.serve(
        spec, scratch=job.work_dir / "scratch", log=context.log, ready_s=SERVER_READY_S
    ) as server:
        under_test = RemoteModel(server.socket, seed=_order(context.home, context.job.run_id))
        try:
            server_check(EvaluatorLM(under_test, tokenizer))
            yield TimedModel(under_test, context.clock), f"server:{job.run_id}:{artifact.sha256}"
        except EvaluationFailed as failure:
            code, detail = failure.code, failure.detail
            if code is FailureCode.SERVER_DIED and (reason := server.lost()):
                code, detail = FailureCode.PLATFORM_ERROR, reason
            raise EvaluationFailed(code, f"{detail}\n{server.log_tail()}") from None


def _order(home: Home, run_id: str) -> str:
    """What decides the order of a server's questions, and which are asked again: the same whenever this run is
    resumed, and nothing that its method can know. The job's seed it knows.
    """
    return hmac.digest(signing_key(home).private_bytes_raw(), f"order:{run_id}".encode(), hashlib.sha256).hex()


def _measure(context: Context, artifact: SealedArtifact) -> list[dict[str, Any]]:
    target = context.job.work_dir / "trace.parquet"
    if target.is_file():
        return trace_read(target)
    context.progress.stage("measuring")
    with context.clock.stage("load"):
        import torch  # noqa: PLC0415 - loads torch

    torch.set_num_threads(context.job.threads)
    # What a stopped measure stage had answered is still there; the base's own answers lie with the release.
    with closing(PrimitiveStore(context.job.work_dir / PRIMITIVES, shared=context.release / PRIMITIVES)) as store:
        try:
            rows = _answers(context, artifact, store)
        except EvaluationFailed as failure:
            if failure.code is not FailureCode.SERVER_DIED:
                raise
            logger.warning("the server died; it is started once more: %s", failure.detail.splitlines()[0])
            rows = _answers(context, artifact, store)
        with context.clock.stage("base"):
            rows = base_values_add(rows, context.probes, context.base.path, store)
    if context.job.fast:
        rows = unstable_left_out(rows, context.release)
    context.record.add(measure_wall_s=context.clock.wall_s(*MEASURING))
    trace_write(target, rows, fast=context.job.fast)
    return rows


def _answers(context: Context, artifact: SealedArtifact, store: PrimitiveStore) -> list[dict[str, Any]]:
    """Every probe's row, from one life of the model; what is in the store is not asked again."""
    with context.clock.stage("load"):
        from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load  # noqa: PLC0415 - loads torch
        from evaluator.tasks.measure import (  # noqa: PLC0415 - loads torch
            attack_not_run,
            measure,
            measure_attacked,
            measure_sampled,
        )

        tokenizer = tokenizer_load(context.base.path)
    probes = context.probes
    base = store.base_read()
    # Whose answers are a good guess: the base's, and of attacked weights first those that they had before.
    drafts = [base] if base else []

    def asked(attack: ModelAttack | None = None) -> list[dict[str, Any]]:
        """Loads the model anew, since an attack may change it in place; it is gone before the next is loaded."""
        opened = _under_test(context, artifact, tokenizer, attack)
        with context.clock.around("attack" if attack else "load", opened) as (under_test, fingerprint):
            lm = EvaluatorLM(under_test, tokenizer, store=store, fingerprint=fingerprint, draft_from=drafts)
            drafts.insert(0, fingerprint)
            if attack is not None:
                return measure_attacked(lm, probes, attack)
            found = measure(lm, probes)
            if artifact.kind == "server":
                server_check_again(lm, seed=_order(context.home, context.job.run_id))
                return found
            for sampled in (attack for attack in attacks if isinstance(attack, SampledAttack)):
                found += measure_sampled(lm, probes, sampled)
            return found

    attacks = [attack_get(name) for name in context.card.attacks]
    rows = asked()
    for attack in attacks:
        if artifact.kind == "server" and isinstance(attack, ModelAttack | SampledAttack):
            rows += attack_not_run(probes, attack)
        elif isinstance(attack, ModelAttack):
            rows += asked(attack)
    return rows


def _score(context: Context, artifact: SealedArtifact, rows: list[dict[str, Any]]) -> Scorecard:
    job, card, out = context.job, context.card, context.job.out_dir
    context.progress.stage("scoring")
    costs = context.record.load()
    scorecard = scorecard_make(
        job=job,
        card=card,
        rows=rows,
        costs=costs,
        declared=artifact.result.stores_forget_text,
        found=stores_requests(artifact, context.release, context.base, log=context.log),
        fast=fast_told(job, context.release) if job.fast else None,
    )
    key = signing_key(context.home)
    hidden = card.split == "hidden"
    trace_write(out / "trace.parquet", rows, fast=job.fast)
    shown, artifact_mark = rows, artifact.sha256
    if hidden:
        secret = release_key(context.home, context.release, card.content_sha256)
        trace_seal(out / "trace.sealed", rows, secret, run_id=job.run_id, content_sha256=card.content_sha256)
        # The method chooses its artifact's bytes: on a hidden split their plain hash could carry data out.
        artifact_mark = hmac.digest(secret, artifact.sha256.encode(), hashlib.sha256).hex()
        shown = trace_redact(rows, secret, run_id=job.run_id)
    trace_write(out / "trace_public.parquet", shown, fast=job.fast)
    write_atomically(out / "scorecard.json", scorecard.model_dump_json(indent=2) + "\n")
    if job.fast:  # nothing signs what counts nowhere
        (out / "receipt.json").unlink(missing_ok=True)
        shutil.rmtree(job.work_dir / "scratch", ignore_errors=True)
        return scorecard
    receipt = Receipt(
        run_id=job.run_id,
        release=card.slug,
        release_sha256=card.content_sha256,
        base_sha256=context.base.sha256,
        image=job.image if job.image_is_by_digest() else context.sandbox.inspect(job.image, job.manifest).image_id,
        manifest_sha256=job.manifest.digest(),
        artifact_sha256=artifact_mark,
        evaluator=__version__,
        evaluator_sha256=evaluator_sha256(),
        scorecard_sha256=_sha256(out / "scorecard.json"),
        trace_sha256=_sha256(out / "trace_public.parquet"),
        seed=job.seed,
        backend=job.backend,
        hardware=hardware(job.threads),
        versions=versions() | context.sandbox.describe(),
        durations_s={
            name: cost_shown(costs.get(name), card.split) or 0.0 for name in ("unlearn_wall_s", "measure_wall_s")
        },
        issued_at=datetime.datetime.now(datetime.UTC).strftime(issued_at_format(hidden=hidden)),
    )
    write_atomically(out / "receipt.json", receipt_sign(receipt, key).model_dump_json(indent=2) + "\n")
    shutil.rmtree(job.work_dir / "scratch", ignore_errors=True)
    return scorecard


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
