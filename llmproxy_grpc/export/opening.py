"""Opens an export: fixes what it sees of the store, and freezes its selection or finds it again."""

from collections.abc import Callable, Iterator

from llmproxy_grpc.datasets.formats import PAIRED
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.errors import FieldViolation, InvalidRequest, ResourceNotFound, ResumeTokenExpired
from llmproxy_grpc.export.export import Export
from llmproxy_grpc.export.job import Job
from llmproxy_grpc.export.planner import build
from llmproxy_grpc.export.plans import Frozen, Plan, Plans
from llmproxy_grpc.export.spec import Choice, Output, PairSource, Part
from llmproxy_grpc.export.tokens import Position
from llmproxy_grpc.records.filters import Window
from llmproxy_grpc.records.plan_files import LIFETIME
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.store import RecordReader

GONE = "The plan no longer exists, or records of it have been erased; begin the export again."


def open_export(
    job: Job, reader: RecordReader, plans: Plans, *, resumed: Position | None, now: float, check: Callable[[], None]
) -> Export:
    """Opens an export; it closes the plan, but not the reader.

    Args:
        job: What is asked for.
        reader: The store.
        plans: Where plans are.
        resumed: Where an export before stopped.
        now: Unix seconds.
        check: Called now and then; raises if the caller has left.

    Raises:
        ResourceNotFound: There is no such plan.
        ResumeTokenExpired: What the token goes on with cannot be had any more.
        InvalidRequest: The plan does not fit the format.
    """
    if job.plan_id:
        plan_id, plan = job.plan_id, _named(job, plans, resumed)
    else:
        window = _window(job, reader, resumed)
        listed = job.choice.needs_plan or job.plan_only
        plan_id = plans.name(job.choice, window, listed=listed)
        plan = plans.open(plan_id, job.tenant) or _made(plan_id, job, window, reader, plans, check)
    try:
        _check(plan.frozen, job.output, resumed)
        return Export(
            job,
            reader,
            plan,
            plan_id=plan_id,
            resumed=resumed,
            expires_at=int(now + LIFETIME),
            redaction_key=plans.redaction_key(plan_id),
            check=check,
        )
    except BaseException:
        plan.close()
        raise


def _named(job: Job, plans: Plans, resumed: Position | None) -> Plan:
    """The plan that the request names."""
    plan = plans.open(job.plan_id, job.tenant)
    if plan is not None:
        return plan
    if resumed is not None:
        raise ResumeTokenExpired(GONE)
    raise ResourceNotFound("No such plan.", metadata={"resource": job.plan_id})


def _window(job: Job, reader: RecordReader, resumed: Position | None) -> Window:
    """Where to look: never past what is stored now, and always where the export before looked."""
    if resumed is not None:
        return Window(job.tenant, job.after_seq, resumed.as_of_seq, resumed.as_of_feedback_seq)
    marks = reader.watermarks(job.tenant)
    _reached("after_seq", job.after_seq, marks.seq, "records")
    _reached("as_of_seq", job.as_of_seq, marks.seq, "records")
    _reached("as_of_feedback_seq", job.as_of_feedback_seq, marks.feedback_seq, "judgements")
    return Window(job.tenant, job.after_seq, job.as_of_seq or marks.seq, job.as_of_feedback_seq or marks.feedback_seq)


def _reached(field: str, position: int, end: int, what: str) -> None:
    """Refuses a position that no earlier export can have told: it is mistyped, or of another store."""
    if position > end:
        raise InvalidRequest(
            f"The {what} end at {end}.",
            violations=[FieldViolation(f"filter.{field}", f"must be at most {end}, where the {what} end now")],
        )


def _made(
    plan_id: str, job: Job, window: Window, reader: RecordReader, plans: Plans, check: Callable[[], None]
) -> Plan:
    """A new plan; the same one as before where it was lost, as long as no record of it has been erased.

    Raises:
        StoreUnavailable: There is no room for it, or no place.
    """
    with faults_told(), plans.writing(plan_id) as writer:
        if job.choice.needs_plan or job.plan_only:
            build(reader, job.choice, window, writer, check=check)
        else:
            writer.freeze(Frozen(choice=job.choice, window=window, listed=False))
    plan = plans.open(plan_id, job.tenant)
    if plan is None:
        raise ResumeTokenExpired(GONE)
    return plan


def _check(frozen: Frozen, output: Output, resumed: Position | None) -> None:
    if resumed is not None and resumed.plan_digest != frozen.digest:
        raise ResumeTokenExpired(GONE)
    violations = list(_misfits(frozen.choice, output))
    if violations:
        fields = ", ".join(violation.field for violation in violations)
        raise InvalidRequest(f"The request is not valid: {fields}.", violations=violations)


def _misfits(choice: Choice, output: Output) -> Iterator[FieldViolation]:
    """What the output asks of the frozen selection in vain; of a request without plan_id it is known before."""
    selection = choice.selection
    by_score = selection.pairs.source == PairSource.SCORE
    if (by_score and output.format in PAIRED) != choice.pairs_of_records:
        kind = "pairs of records" if choice.pairs_of_records else "single records"
        yield FieldViolation("output.format", f"does not fit the plan, which holds {kind}")
    if output.format == Format.TRL_KTO and not selection.pairs.feedback_name:
        yield FieldViolation("output.format", "needs a plan whose selection.pairs.feedback_name labels the answers")
    if output.part != Part.ALL and selection.split is None:
        yield FieldViolation("output.part", "must be unset for a plan that has no split")
    if output.format is None and output.part == Part.ALL and selection.split is not None:
        yield FieldViolation("output.part", "is required for RECORDS of a plan with a split")
