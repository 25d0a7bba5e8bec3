"""Commands for authors of server entries: check a running server, and let stock tools reach it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import METHOD_FAILED, clear_errors
from evaluator.contract import EvaluationFailed
from evaluator.model.bridge import HOST, require_socket
from evaluator.model.bridge import bridge as opened
from evaluator.model.conformance import CHECKS
from evaluator.model.conformance import server_check as check
from evaluator.model.remote import RemoteModel

SocketOption = Annotated[Path, typer.Option(help="the unix socket that the server listens on")]


def server_check(
    socket: SocketOption,
    base: Annotated[Path, typer.Option(help="the base model's folder, for its tokenizer and chat template")],
) -> None:
    """Ask a running server all that is checked before a run is scored. Exit status: 0 it passes, 3 it does not."""
    from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load  # noqa: PLC0415 - loads torch

    with clear_errors():
        require_socket(socket)
        if not (base / "tokenizer_config.json").is_file():
            raise ValueError(f"base: {base} holds no tokenizer_config.json; give the folder of the base model")
        under_test = RemoteModel(socket, seed=0)
        try:
            check(EvaluatorLM(under_test, tokenizer_load(base)))
        except EvaluationFailed as failure:
            typer.echo(f"{failure.code.value}: {failure.detail}", err=True)
            raise typer.Exit(METHOD_FAILED) from None
    typer.echo(f"the server passes all {len(CHECKS)} checks")


def bridge(
    socket: SocketOption,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the loopback interface; 0: a free one")] = 8100,
) -> None:
    """Pass a server's unix socket on to a TCP port of this machine until Ctrl-C, for lm_eval's local-completions."""

    async def main() -> None:
        async with opened(socket, port) as found:
            typer.echo(f"listening: base_url=http://{HOST}:{found}/v1/completions")
            await asyncio.Event().wait()

    with clear_errors():
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            typer.echo("stopped")
