"""The command line of refbss. The folder is called cli, the installed package refbss_cli."""

if __name__ != "refbss_cli":
    raise ImportError("this folder is installed as refbss_cli: import that, or run the command refbss")
