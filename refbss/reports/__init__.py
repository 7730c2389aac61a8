"""Reports: an evaluation or a run as one HTML page that needs no network, no other file and no other program.

Figures are SVG and PNG written here, not by a plotting library: so they take the colours of the page, light, dark or on
paper, the same scores give the same bytes, and a report needs nothing that refbss does not need anyway.
"""
