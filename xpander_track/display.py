"""How recorded runs look: as text for people, as JSON data for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .local.embedded import KEY as EMBEDDED
from .platform import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .delivery.store import Delivery, Recorded
    from .doctor import Finding
    from .push import Pushed
    from .statistics import AgentStatistics

_GENERATED_ID = 32
_SHORT_ID = 8
_MAX_CELL = 40


def table_of_runs(runs: Iterable[Recorded]) -> str:
    """One line for each of *runs*."""
    head = ("ID", "WHEN", "AGENT", "ENDING", "DURATION", "TOKENS", "TOOLS", "DELIVERY")
    return _table(head, [_row(run) for run in runs], right={"DURATION", "TOKENS"})


def table_of_agents(agents: Iterable[AgentStatistics]) -> str:
    """One line for each of *agents*."""
    head = ("AGENT", "RUNS", "SUCCESS", "P50", "P95", "PROMPT TOKENS", "COMPLETION TOKENS")
    rows = [
        [
            agent.agent_id or "-",
            str(agent.runs),
            "-" if agent.success_rate is None else f"{agent.success_rate:.0%}",
            _seconds(agent.p50_duration),
            _seconds(agent.p95_duration),
            _count(agent.prompt_tokens),
            _count(agent.completion_tokens),
        ]
        for agent in agents
    ]
    return _table(head, rows, right=set(head[1:]))


def line_of_push(pushed: Pushed) -> str:
    """What came of a push, in a sentence or two."""
    line = f"{pushed.delivered} delivered, {pushed.rejected} rejected, {pushed.pending} pending at {pushed.where}"
    if (pushed.pending or pushed.rejected) and pushed.reason:
        line += f" ({_line(pushed.reason)})"
    return line + (f"; {pushed.elsewhere} wait for other platforms" if pushed.elsewhere else "") + "."


def list_of_findings(findings: Iterable[Finding]) -> str:
    """One line for each of *findings*, with a mark where something is not as it should be."""
    return "\n".join(f"{'  ' if one.is_well else '! '}{one.name:<14}{_line(one.found)}" for one in findings)


def page(run: Recorded) -> str:
    """Everything of one run."""
    report = run.report
    tokens = None if report.tokens is None else Tokens(**report.tokens).model_dump()
    facts = [
        ("id", report.id),
        ("agent", report.agent_id or "none: it was not given"),
        ("function", report.name),
        ("started", _when(report.started_at)),
        ("ending", report.ending or "running"),
        ("duration", _seconds(report.duration)),
        (
            "tokens",
            None if tokens is None else ", ".join(f"{name[:-7]} {_count(n, 'unknown')}" for name, n in tokens.items()),
        ),
        ("tools", ", ".join(report.used_tools) or "none"),
        *(("delivery", _state(delivery) + _tries(delivery)) for delivery in run.deliveries),
    ]
    parts = [
        "\n".join(f"{name:<10}{_line(value)}" for name, value in facts if value is not None),
        *(_tool_call(call) for call in report.tool_calls),
        *(
            _block(part.replace("_", " "), value)
            for part in ("input", "result", "llm_response")
            if (value := getattr(report, part)) is not None
        ),
    ]
    return "\n\n".join(parts)


def summary(run: Recorded) -> dict[str, Any]:
    """What a list of runs has of one."""
    report = run.report
    return {
        "id": report.id,
        "agent_id": report.agent_id,
        "function": report.name,
        "started_at": datetime.fromtimestamp(report.started_at, timezone.utc).isoformat(),
        "ending": report.ending,
        "is_success": report.is_success,
        "duration": report.duration,
        "tokens": None if report.tokens is None else Tokens(**report.tokens).model_dump(),
        "used_tools": report.used_tools,
        "input": report.input,
        "result": report.result,
        "deliveries": [
            {name: value for name, value in asdict(delivery).items() if name != "task"} for delivery in run.deliveries
        ],
    }


def whole(run: Recorded) -> dict[str, Any]:
    """Everything of one run, with what each destination has answered."""
    return {
        **summary(run),
        "tool_calls": run.report.tool_calls,
        "llm_response": run.report.llm_response,
        "tasks": {delivery.destination: delivery.task for delivery in run.deliveries if delivery.task is not None},
    }


def json_text(value: object) -> str:
    """*value* as indented JSON, without what would steer a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    # json.dumps leaves DEL as it is.
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]  # noqa: PLR2004


def _row(run: Recorded) -> list[str]:
    report = run.report
    return [
        report.id[:_SHORT_ID] if len(report.id) == _GENERATED_ID else report.id,
        _when(report.started_at),
        report.agent_id or "-",
        report.ending or "running",
        _seconds(report.duration),
        "-" if report.tokens is None else str(Tokens(**report.tokens).total_tokens),
        ", ".join(report.used_tools) or "-",
        "; ".join(_state(delivery) for delivery in run.deliveries) or "-",
    ]


def _tool_call(call: dict[str, Any]) -> str:
    failed = f"  failed: {_line(call['error'])}" if "error" in call else ""
    blocks = [_block(f"  {part}", call[part]) for part in ("arguments", "result") if part in call]
    return "\n".join([f"tool {_line(call['name'])}  {_seconds(call.get('duration'))}{failed}", *blocks])


def _state(delivery: Delivery) -> str:
    if delivery.destination == EMBEDDED:
        return "recorded here"
    where = delivery.destination.split(" ")[1]
    reason = f" ({delivery.reason})" if delivery.reason and delivery.state != "delivered" else ""
    return f"{delivery.state} {where}{reason}"


def _tries(delivery: Delivery) -> str:
    return f", after {delivery.attempts} tries" if delivery.attempts > 1 else ""


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"  # noqa: PLR2004  # a millisecond


def _count(count: int | None, unknown: str = "-") -> str:
    return unknown if count is None else str(count)


def _line(text: str) -> str:
    """*text* on one line, without what would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _block(title: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return "\n".join([f"{title}:", *(f"    {_line(line)}" for line in text.splitlines())])


def _table(head: Sequence[str], rows: list[list[str]], right: set[str]) -> str:
    cells = [list(head)] + [[_cut(_line(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 1]}…"
