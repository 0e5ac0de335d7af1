"""``python -m aionorth`` is the command line too."""

from aionorth.cli import main

if __name__ == "__main__":
    main()
