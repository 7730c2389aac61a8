"""The audit trail: from an equation to its line of code, its test, its golden vectors and its numbers.

An equation has a tag such as ``gru.4``. ``source`` finds it in the code, ``pages`` in docs/math, ``ledger`` joins both
with the tests and the golden vectors, ``trace`` runs the law on the small ``examples`` and records what every tagged
statement gives. ``python -m refbss.audit`` writes what is generated from them.
"""
