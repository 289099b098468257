"""Run the agent's command line with `python -m core_ops`."""

from core_ops.cli import console

if __name__ == "__main__":
    console()
