"""The golden vectors, installed as refbss_golden; ``refbss.conformance`` reads them. See README.md for the format."""

if __name__ != "refbss_golden":
    raise ImportError("this folder is installed as refbss_golden: read it with refbss.conformance.vectors")
