"""Fast twins of the law: the same names, arguments and results, engineered for a CPU.

Signals travel as (B, C, N) arrays whose memory is laid out channels last, (B, N, C): the layout is in the strides, so
that a convolution is a matrix product over rows that already lie in order and no transposition is ever copied.
Every function here is tested against its namesake in ``refbss.ops`` or ``refbss.losses``.
"""
