"""``refbss convert``: GRU and LSTM weights from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from refbss_cli.options import emit, json_option

if TYPE_CHECKING:
    from refbss.conformance.convert import Conversion

LAYOUTS = ("torch", "refbss", "keras", "onnx")


@click.command()
@click.argument("source_file", metavar="IN")
@click.argument("target_file", metavar="OUT")
@click.option("--from", "source", type=click.Choice(LAYOUTS), required=True, help="Layout of IN.")
@click.option("--to", "target", type=click.Choice(LAYOUTS), required=True, help="Layout of OUT.")
@click.option(
    "--sum-biases",
    is_flag=True,
    help="To keras, where an LSTM has one bias: keep the sum of the two. This cannot be undone.",
)
@json_option
def convert(source_file: str, target_file: str, source: str, target: str, sum_biases: bool, as_json: bool) -> None:
    """Convert GRU and LSTM weights between torch, keras and onnx.

    IN and OUT are .safetensors or .npz; an OUT that exists is replaced, in one step. The order of the gates, the
    transposition and the biases change; every number keeps its bits and its type, so the way back gives every tensor
    again. Other tensors are copied as they are. refbss is another word for torch.

    \b
    torch  weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0, and .._reverse
    keras  kernel_l0 recurrent_kernel_l0 bias_l0, and .._reverse
    onnx   W_l0 R_l0 B_l0, both directions in one

    Names without _l0 mean layer 0. A GRU of Keras needs reset_after=True, one of ONNX linear_before_reset=1: with
    other settings it is another equation, which no weights can express.
    """
    from refbss._checks import InputError
    from refbss.conformance.convert import to_layout
    from refbss.conformance.tensor_files import TensorFile, check_suffix, read_tensors, write_tensors

    out = Path(target_file)
    check_suffix(out)
    file = read_tensors(Path(source_file))
    if out.exists() and out.samefile(source_file):
        raise InputError(f"{out}: is IN itself, wanted another file")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")
    made = to_layout(file.tensors, source, target, sum_biases=sum_biases)
    write_tensors(out, TensorFile(made.tensors, file.metadata))
    result = {
        "in": source_file,
        "out": target_file,
        "from": source,
        "to": target,
        "converted": [{"cell": move.cell, "from": move.sources, "to": move.targets} for move in made.moved],
        "unchanged": made.unchanged,
    }
    emit(result, _lines(out, source, target, made), as_json=as_json)


def _lines(out: Path, source: str, target: str, made: Conversion) -> list[str]:
    rows = [(move.cell, ", ".join(move.sources), ", ".join(move.targets)) for move in made.moved]
    width = max(len(before) for _, before, _ in rows)
    return [
        f"{out}: {source} to {target}, {sum(len(move.sources) for move in made.moved)} tensors converted, "
        f"{len(made.unchanged)} unchanged",
        *(f"  {cell:4}  {before:{width}}  ->  {after}" for cell, before, after in rows),
        *(f"  same  {name}" for name in made.unchanged),
    ]
