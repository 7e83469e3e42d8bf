"""`python -m cmdiad`: the workstation's command."""

from .cli.workstation import main

if __name__ == "__main__":
    main()
